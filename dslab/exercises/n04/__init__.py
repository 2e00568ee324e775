"""Exercises of notebook 04: `from dslab.exercises import n04 as exercises`, then `exercises.forward` and so on."""

from dslab.exercises.n04.budget import exercise as budget
from dslab.exercises.n04.forward import exercise as forward
from dslab.exercises.n04.labels import exercise as labels
from dslab.exercises.n04.merge import exercise as merge
from dslab.exercises.n04.targets import exercise as targets

__all__ = ["budget", "forward", "labels", "merge", "targets"]
