"""Exercises of notebook 05: `from dslab.exercises import n05 as exercises`, then `exercises.append` and so on."""

from dslab.exercises.n05.accept import exercise as accept
from dslab.exercises.n05.append import exercise as append
from dslab.exercises.n05.bill import exercise as bill
from dslab.exercises.n05.blocks import exercise as blocks
from dslab.exercises.n05.evict import exercise as evict

__all__ = ["accept", "append", "bill", "blocks", "evict"]
