"""Exercises of notebook 01: `from dslab.exercises import n01 as exercises`, then `exercises.window` and so on."""

from dslab.exercises.n01.attend import exercise as attend
from dslab.exercises.n01.classify import exercise as classify
from dslab.exercises.n01.reach import exercise as reach
from dslab.exercises.n01.select import exercise as select
from dslab.exercises.n01.window import exercise as window

__all__ = ["attend", "classify", "reach", "select", "window"]
