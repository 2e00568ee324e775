"""The key of pseudonyms: at least 32 bytes, from a file or the environment, and nowhere else.

A hash without a key protects nothing: there are some 10^10 mobile numbers, and a laptop tries them all in an afternoon.
With a secret key of 256 bits nobody can try. So a key may not stand on a command line (every user of the machine sees
those), may not be a short password, and no message here ever quotes one.

    head -c 32 /dev/urandom > dslab.key && chmod 600 dslab.key       or       export DSLAB_KEY=$(openssl rand -hex 32)

Source: HMAC keys should have at least the length of the hash (RFC 2104, section 3): 32 bytes for SHA-256.
"""

from __future__ import annotations

import hmac
import os
import stat
import warnings
from pathlib import Path

SHORTEST = 32
HOW = "make one with: head -c 32 /dev/urandom > dslab.key && chmod 600 dslab.key"


def load_key(path: str | os.PathLike[str] | None = None, variable: str = "DSLAB_KEY") -> bytes:
    """The key in the file `path`, or, without a path, in the environment variable.

    A line break at the end of a file belongs to the editor, not to the key, as long as 32 bytes remain without it.
    Warns   if others than the owner may read the file.
    Raises  OSError if the file cannot be read, LookupError if neither is given, ValueError if the key is empty, too
            short or one byte repeated.

    >>> import os
    >>> os.environ["DSLAB_KEY_OF_THIS_EXAMPLE"] = "too short"
    >>> load_key(variable="DSLAB_KEY_OF_THIS_EXAMPLE")
    Traceback (most recent call last):
    ValueError: the key in the environment variable DSLAB_KEY_OF_THIS_EXAMPLE has 9 bytes; at least 32 are needed; ...
    """
    if path is not None:
        file = Path(path)
        where = f"the file {str(file)!r}"
        with file.open("rb") as stream:
            _warn_if_open(where, os.fstat(stream.fileno()))
            key = stream.read()
        bare = key.rstrip(b"\r\n")
        key = bare if len(bare) >= SHORTEST or not bare else key
    else:
        where = f"the environment variable {variable}"
        text = os.environ.get(variable)
        if text is None:
            raise LookupError(f"no key: name a key file, or set {where}; {HOW}")
        key = os.fsencode(text)
    return check_key(key, f"the key in {where}")


def check_key(key: bytes | None, name: str = "key") -> bytes:
    """The key, if it can serve.

    Raises ValueError saying what is wrong and what to do; TypeError if it is text.
    """
    if key is not None and not isinstance(key, bytes | bytearray | memoryview):
        raise TypeError(f"{name} must be bytes (see dslab.privacy.keys.load_key), got {type(key).__name__}")
    key = bytes(key or b"")
    if not key.strip():
        raise ValueError(f"{name} is empty; at least {SHORTEST} bytes are needed; {HOW}")
    if len(key) < SHORTEST:
        raise ValueError(f"{name} has {len(key)} bytes; at least {SHORTEST} are needed; {HOW}")
    if len(set(key)) == 1:
        raise ValueError(f"{name} is one byte repeated; {HOW}")
    return key


def keyed_digest(key: bytes, type: str, normalised: str) -> bytes:
    """HMAC-SHA256(key, type || 0 || normalised value): 32 bytes that name a value to whoever holds the key.

    The zero byte keeps type and value apart: ("A", "BC") and ("AB", "C") differ.

    >>> keyed_digest(bytes(range(32)), "CN_ID", "1").hex()[:8]
    'eb972424'
    """
    return hmac.digest(key, type.encode() + b"\0" + normalised.encode("utf-8", "surrogatepass"), "sha256")


def _warn_if_open(where: str, state: os.stat_result) -> None:
    # Windows keeps access lists instead; its mode bits say nothing.
    if os.name == "posix" and state.st_mode & 0o077 and stat.S_ISREG(state.st_mode):
        mode = stat.S_IMODE(state.st_mode)
        warnings.warn(f"{where} can be read by others (mode {mode:04o}); chmod 600 it", stacklevel=3)
