"""Exercises of notebook 03: `from dslab.exercises import n03 as exercises`, then `exercises.bands` and so on."""

from dslab.exercises.n03.bands import exercise as bands
from dslab.exercises.n03.boundaries import exercise as boundaries
from dslab.exercises.n03.check_digit import exercise as check_digit
from dslab.exercises.n03.hard_negative import exercise as hard_negative
from dslab.exercises.n03.pseudonym import exercise as pseudonym

__all__ = ["bands", "boundaries", "check_digit", "hard_negative", "pseudonym"]
