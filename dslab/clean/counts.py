"""What happened to every row of a shard: the books that must balance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from dslab.clean.errors import CleanError


@dataclass
class ShardCounts:
    """rows_in = rows_out + sum(quarantined) + sum(dropped), checked by `check`.

    quarantined, dropped: reason -> rows.
    spans:                type -> values masked in the rows that went out (found, where mask is "off": none).
    notes:                what was put right without touching a row ("UTF-8 BOM dropped") -> times.
    bytes_in, bytes_out:  of the files as they lie on disk (compressed, where they are).
    sha256_in, sha256_out: of the same bytes, computed while they were read and written.
    """

    rows_in: int = 0
    rows_out: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    spans: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    bytes_in: int = 0
    bytes_out: int = 0
    sha256_in: str = ""
    sha256_out: str = ""

    def check(self) -> ShardCounts:
        """Return self if every row is accounted for.

        Raises CleanError with the four numbers if not.
        """
        quarantined, dropped = sum(self.quarantined.values()), sum(self.dropped.values())
        if self.rows_in != self.rows_out + quarantined + dropped:
            raise CleanError(
                f"rows do not add up: {self.rows_in} in, but {self.rows_out} out + {quarantined} quarantined "
                f"+ {dropped} dropped = {self.rows_out + quarantined + dropped}"
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """As plain data for a manifest; `ShardCounts(**d)` is the way back."""
        return asdict(self)

    @classmethod
    def total(cls, counts: Iterable[ShardCounts]) -> ShardCounts:
        """The sum over shards; the digests are left empty."""
        whole = cls()
        for one in counts:
            for name in (f.name for f in fields(cls) if not f.name.startswith("sha256")):
                value = getattr(one, name)
                if isinstance(value, dict):
                    for key, n in value.items():
                        add(getattr(whole, name), key, n)
                else:
                    setattr(whole, name, getattr(whole, name) + value)
        return whole


def add(tally: dict[str, int], key: str, n: int = 1) -> None:
    """tally[key] += n, from 0."""
    tally[key] = tally.get(key, 0) + n
