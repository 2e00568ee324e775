"""The parts of the set-up, standard library only: what is needed, pip, the checkout's own `.venv`."""
