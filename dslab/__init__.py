"""dslab: notebooks and a small library about how large language models are really built."""

__version__ = "0.1.0"
