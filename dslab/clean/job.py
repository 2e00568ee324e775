"""What is to be done to every row: one frozen, picklable value, and a fingerprint of all that changes the output."""

from __future__ import annotations

import hashlib
import hmac
import json
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dslab.clean.atomic import sha256_of
from dslab.clean.errors import CleanError, cannot

MASKS = ("off", "tag", "partial", "surrogate", "hmac")
POLICIES = ("recall", "precision")
ON_ERROR = ("quarantine", "fail", "skip")
KEYED = ("surrogate", "hmac")
# Their data or code decide what is found and which bytes are written.
LIBRARIES = ("dslab-course", "phonenumbers", "python-stdnum", "pyarrow", "zstandard")


@dataclass(frozen=True)
class Job:
    """One configuration of `dslab clean`.

    text_column:   the top-level key (JSONL) or column (Parquet) that is cleaned; all others pass through.
    mask:          off, tag, partial, surrogate or hmac.
    types:         names from `dslab.privacy.TYPES`; None for all of them.
    policy:        recall or precision, for the detector.
    key_file:      where the key of surrogate and hmac lies; None for the environment variable DSLAB_KEY.
    on_error:      a row that cannot be read is put in quarantine, fails its shard, or is dropped ("skip").
    quality:       drop rows that fail a Gopher or C4 rule.
    dedup:         Jaccard threshold of the pass over all shards, or None.
    decontaminate: files of test items; a row that shares an n-gram with one is dropped.
    ngram:         n of that.
    decontaminate_min_words: test items of fewer words are not looked for: "yes" stands in nearly every row. 8 is the
                   least n of Brown et al. (2020, appendix C). An item of fewer than `ngram` words is looked for whole.
    max_row_bytes: a longer row of JSON lines is never held in memory; it is an error row, as is a Parquet row whose
                   text is longer.
    Raises         CleanError naming the option and what it may be.

    >>> Job(mask="blur")
    Traceback (most recent call last):
    dslab.clean.errors.CleanError: mask must be one of off, tag, partial, surrogate, hmac; got 'blur'
    """

    text_column: str = "text"
    mask: str = "tag"
    types: tuple[str, ...] | None = None
    policy: str = "recall"
    key_file: str | None = None
    on_error: str = "quarantine"
    quality: bool = False
    dedup: float | None = None
    decontaminate: tuple[str, ...] = ()
    ngram: int = 13
    decontaminate_min_words: int = 8
    max_row_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        for name, choices in (("mask", MASKS), ("policy", POLICIES), ("on_error", ON_ERROR)):
            if getattr(self, name) not in choices:
                raise CleanError(f"{name} must be one of {', '.join(choices)}; got {getattr(self, name)!r}")
        if not self.text_column:
            raise CleanError("text_column must name a column, got an empty name")
        if self.dedup is not None and not 0 < self.dedup <= 1:
            raise CleanError(f"dedup is a Jaccard similarity, 0 < dedup <= 1; got {self.dedup}")
        for name in ("ngram", "decontaminate_min_words", "max_row_bytes"):
            if getattr(self, name) < 1:
                raise CleanError(f"{name} must be >= 1; got {getattr(self, name)}")
        if self.types is not None:
            from dslab.privacy import TYPES

            unknown = [name for name in self.types if name not in TYPES]
            if unknown or not self.types:
                raise CleanError(f"types must be some of {', '.join(TYPES)}; got {', '.join(unknown) or 'none'}")

    def key(self) -> bytes | None:
        """The key, where the mode needs one.

        Raises CleanError if it is missing, too short, or its file cannot be read.
        """
        if self.mask not in KEYED:
            return None
        from dslab.privacy.keys import load_key

        reason = ""
        try:
            return load_key(self.key_file)
        except OSError as error:
            reason = str(cannot("read", self.key_file or "", error))
        except (ValueError, LookupError) as error:  # load_key says what is wrong and never quotes the key
            reason = str(error.args[0]) if error.args else type(error).__name__
        raise CleanError(f"mask {self.mask!r} needs a key: {reason}")

    def describe(self) -> dict[str, Any]:
        """The options that change the output, as plain data for a manifest.

        Test files by name and SHA-256. The key as an HMAC under itself: whoever reads it can tell that the key changed,
        not what it is.

        Raises CleanError if the key or a test file cannot be read.
        """
        options = asdict(self)
        del options["key_file"]
        options["types"] = None if self.types is None else list(self.types)
        options["decontaminate"] = [{"file": Path(p).name, "sha256": sha256_of(Path(p))} for p in self.decontaminate]
        key = self.key()
        options["key"] = hmac.new(key, b"dslab clean: fingerprint of a job", "sha256").hexdigest() if key else None
        return options

    def fingerprint(self) -> str:
        """64 hexadecimal digits over everything that changes the output: the options, the contents of the test files
        whatever they are called, the key, the versions of the libraries that find and write.

        Raises CleanError if the key or a test file cannot be read.
        """
        parts = self.describe()
        parts["decontaminate"] = [one["sha256"] for one in parts["decontaminate"]]
        parts["versions"] = {name: _version(name) for name in LIBRARIES}
        parts["versions"]["python"] = ".".join(platform.python_version_tuple()[:2])
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
