"""What is left of a text without its prose: most texts hold no value, and this says so in a microsecond.

Every value needs a sign that prose can do without: a digit, an `@`, a colon, a key's `_`, the name of a password. So
`bytes.translate` deletes small letters, blanks and the punctuation of prose at a gigabyte a second, and a family looks
for its sign in the twenty bytes that are left. That a sign is there says little (what is left may come from different
words); that it is missing is certain.
"""

from __future__ import annotations

import re
import string

_PROSE = (string.ascii_lowercase + " \n\r\t.,;!?'\"()").encode()
_DIGIT = re.compile(b"[0-9]")
_KELVIN = "\u212a"  # the only sign outside ASCII whose lower case, "k", is in it


class Signs:
    """The signs of a folded text.

    rest:      its ASCII signs, less prose.
    words:     its ASCII part in lower case.
    has_digit: is there an ASCII digit?

    >>> signs = Signs("Tel. 电话 138, mail Ann@x.org")
    >>> signs.rest, signs.has_digit, signs.words
    (b'T138A@', True, 'tel.  138, mail ann@x.org')
    """

    __slots__ = ("has_digit", "rest", "words")

    def __init__(self, text: str) -> None:
        plain = text.replace(_KELVIN, "K").encode("ascii", "ignore")
        self.words = plain.lower().decode("ascii")
        self.rest = plain.translate(None, _PROSE)
        self.has_digit = _DIGIT.search(self.rest) is not None
