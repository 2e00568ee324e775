"""E-mail addresses: looked for at the `@`, read outwards.

The local part is ASCII (or an accented Latin, Greek or Cyrillic letter): Chinese characters before it are prose glued
to it. The domain must end in a top-level domain that exists, or in a long word where a label says e-mail; that leaves
out `icon@2x.png`, `x@self.weight` and `pkg@1.2.3`. `git@host:path` is a remote, `//user:password@host` a URL's login.
`.invalid` (RFC 2606) is nothing: it is what surrogates end in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from dslab.privacy.recognizers.base import Document, walk_left
from dslab.privacy.recognizers.domains import is_top_level
from dslab.privacy.spans import Span

_LOCAL_SIGNS = frozenset(
    [
        chr(c)
        for c in (*range(0x30, 0x3A), *range(0x41, 0x5B), *range(0x61, 0x7B), *range(0xC0, 0x250), *range(0x370, 0x500))
    ]
    + list("._%+-'!#$&*=^{}~|")
)
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9\-]{0,62})(?:\.[A-Za-z0-9][A-Za-z0-9\-]{0,62}){1,8}")
_WIDE_DOMAIN = re.compile(r"(?:[^\W_]|-){1,63}(?:\.(?:[^\W_]|-){1,63}){1,6}")
_MAY_BE_DOMAIN = re.compile(r"\[|(?:[^\W_]|-){1,63}\.[^\W_]")
_LITERAL = re.compile(r"\[(?:IPv6:)?[0-9A-Fa-f:.]{3,45}\]")
_URL_LOGIN = re.compile(r"://[^\s/@]{0,200}\Z")
_SCP = re.compile(r":[~/]|:[A-Za-z0-9._\-]{1,64}/")
_PASSWORD_BEHIND = re.compile(r":[^/\s]{0,20}[^A-Za-z0-9._\-/~\s]")
# What a mask left of an address: z***g@example.com. Two stars behind a blank make letters bold.
_MASKED_LEFT = re.compile(r"(?:[0-9A-Za-z][*#]{2}|[*#•●]{3}|[•●])\Z")
_COMMON = re.compile(r"\.(?:com|cn|org|net)\Z")
_MAIL_WORD = re.compile(r"e-?mail|mail|邮箱|邮件|邮", re.IGNORECASE)


def find(document: Document) -> Iterable[Span]:
    """EMAIL."""
    return _all(document.text) if b"@" in document.signs.rest and "EMAIL" in document.types else ()


def _all(text: str) -> Iterator[Span]:
    at = text.find("@")
    while at >= 0:
        span = _around(text, at)
        if span:
            yield span
        at = text.find("@", at + 1)


def _around(text: str, at: int) -> Span | None:
    before, after = text[at - 1 : at] if at else "", text[at + 1 : at + 2]
    if not before or before.isspace() or before in "@.，。：" or not (after.isalnum() or after == "["):
        return None
    if not _MAY_BE_DOMAIN.match(text, at + 1):
        return None
    if before == '"':
        quoted = text.rfind('"', max(0, at - 66), at - 1)
        if quoted < 0 or "\n" in text[quoted:at]:
            return None
        start = quoted
    else:
        start = _trim(text, walk_left(text, at, _LOCAL_SIGNS, 130), at)
        if start >= at or at - start > 64 or _MASKED_LEFT.search(text, max(0, start - 4), start):
            return None
    end = _domain_end(text, start, at)
    if end is None:
        return None
    if text[at - 1] == "." or ".." in text[start:at]:
        return None
    if _URL_LOGIN.search(text, max(0, start - 200), start):
        return None
    # git@host:path and user@host:/path are remotes; ann@example.com:hunter2! is an address and a password.
    if _SCP.match(text, end) and (text[start:at] == "git" or not _PASSWORD_BEHIND.match(text, end)):
        return None
    # q@k.mm(...) multiplies matrices; no address is called.
    if text[end : end + 1] == "(" and text[at + 1 : end].count(".") == 1 and not _COMMON.search(text, at, end):
        return None
    return Span(start, end, "EMAIL", 0.9, "email:pattern+domain")


def _trim(text: str, start: int, at: int) -> int:
    """Drop what cannot start a local part, and a key before `=` (email=ann@x.com)."""
    for sign in "=&|{}#*!$^'~":
        # These are legal inside a local part and almost always syntax around it; only an apostrophe in a name stays.
        cut = text.rfind(sign, start, at)
        if cut >= 0 and not (
            sign == "'" and cut > start and text[cut - 1].isalpha() and text[cut + 1].isalpha() and cut + 1 < at
        ):
            start = cut + 1
    while start < at and text[start] in ".%+-'":
        start += 1
    return start


def _domain_end(text: str, start: int, at: int) -> int | None:
    match = _DOMAIN.match(text, at + 1)
    if match:
        end = _cut_at_top_level(text, at + 1, match.end(), start)
        if end is not None:
            return end
    if at + 1 < len(text) and text[at + 1] == "[":
        literal = _LITERAL.match(text, at + 1)
        return literal.end() if literal else None
    wide = _WIDE_DOMAIN.match(text, at + 1)
    if wide and not wide[0].isascii():
        labels = wide[0].split(".")
        for count in range(len(labels), 1, -1):
            if is_top_level(labels[count - 1]):
                return at + 1 + len(".".join(labels[:count]))
        tail = re.match(r"[A-Za-z]{2,6}|中国|公司|网络|集团|香港", labels[-1])
        if tail and is_top_level(tail[0]) and not labels[-1][tail.end() : tail.end() + 1].isascii():
            return at + 1 + len(wide[0]) - len(labels[-1]) + tail.end()
    return None


def _cut_at_top_level(text: str, begin: int, stop: int, start: int) -> int | None:
    """End of the longest prefix that ends in a top-level domain; what follows may not continue a label."""
    domain = text[begin:stop].rstrip("-.")
    labels = domain.split(".")
    for count in range(len(labels), 1, -1):
        label = labels[count - 1]
        rest = labels[count] if count < len(labels) else ""
        if rest and not (rest[0].isupper() or rest.isdigit()) and labels[-1].lower() != "invalid":
            # Another label follows in lower case: part of a longer name.
            return _unknown(text, begin, domain, start)
        if labels[-1].lower() in ("invalid", "localhost"):
            return None
        name, dash, _ = label.partition("-")
        if is_top_level(label):
            return begin + len(".".join(labels[:count]))
        if dash and is_top_level(name):
            return begin + len(".".join([*labels[: count - 1], name]))
    return _unknown(text, begin, domain, start)


def _unknown(text: str, begin: int, domain: str, start: int) -> int | None:
    """An unknown top-level word counts if a label says e-mail, and if it could be one."""
    last = domain.rpartition(".")[2]
    if not last.isalpha() or not 2 <= len(last) <= 24 or is_top_level(last, files=True) or last.lower() == "invalid":
        return None
    window = text[max(0, start - 24) : start]
    return begin + len(domain) if _MAIL_WORD.search(window) or window.endswith("<") else None
