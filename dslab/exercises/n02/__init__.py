"""Exercises of notebook 02: `from dslab.exercises import n02 as exercises`, then `exercises.lost` and so on."""

from dslab.exercises.n02.lost import exercise as lost
from dslab.exercises.n02.plan import exercise as plan
from dslab.exercises.n02.step import exercise as step
from dslab.exercises.n02.tiles import exercise as tiles
from dslab.exercises.n02.unscale import exercise as unscale

__all__ = ["lost", "plan", "step", "tiles", "unscale"]
