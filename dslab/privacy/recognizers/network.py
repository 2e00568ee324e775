"""Addresses of machines: IPv4 and IPv6.

Four numbers with dots are an address, a version, an object identifier or a section of a contract; the shape cannot say
which. What stands around it can: `Chrome/114.0.5735.90`, `v1.2.3.4`, `foo-1.2.3.4.tar.gz` and `section 4.2.1.3` are no
addresses; four small numbers need a word or a port that makes them one. IPv6 is checked with `ipaddress`, after which
slices (`a[1::2]`), scopes (`std::vector`), MACs and clocks remain to be told apart.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from dslab.privacy.recognizers.base import Document
from dslab.privacy.spans import Span

_V4 = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9])")
_V6 = re.compile(r":[0-9A-Fa-f]{0,4}:")
_V6_SIGNS = "0123456789abcdefABCDEF:."
_JOINED_LEFT = re.compile(
    r"(?:[0-9A-Za-z]|[0-9]\.|[A-Za-z]\.|[A-Za-z0-9)]-|(?<![0-9])\.|[=~<>^]=|[A-Za-z]@|§ ?|[A-Za-z0-9]_)\Z"
)
_NAMED_LEFT = re.compile(
    r"(?:ip|host|addr|address|server|src|dst|peer|node)[-_]?(?:v4|addr|ess|ip)?[-_.@]\Z|[0-9]{1,3}(?:\.[0-9]{1,3}){3}-\Z",
    re.IGNORECASE,
)
_PRODUCT_LEFT = re.compile(r"[A-Za-z][A-Za-z0-9+._\-]*/\Z")
_URL_LEFT = re.compile(r"(?:[a-z]+:)?//(?:[^\s/@]{1,64}@)?\Z")
_LOGIN_LEFT = re.compile(r"[A-Za-z0-9._\-]+@\Z")
_FILE_RIGHT = re.compile(
    r"(?:\.(?:tar|t?gz|zip|whl|jar|exe|deb|rpm|dmg|msi|apk|so|dll|pkg|[a-z]{2,4}[0-9]?\b)|-(?:[a-z]|[0-9]+[.\-])|_[a-z]|\+[0-9a-z])",
    re.IGNORECASE,
)
_PORT_RIGHT = re.compile(r":[0-9]{1,5}(?![0-9])|/[0-9]{1,2}(?![0-9./])|\.in-addr")
_SECTION_RIGHT = re.compile(r"[ \t]{1,3}[A-Za-z一-鿿]|\.?[ \t]*[节章条款版]|\.?\s*$")
_IP = frozenset(("ip",))
_NOT_IP = frozenset(("version", "goods", "time", "money"))


def find(document: Document) -> Iterator[Span]:
    """IP."""
    if "IP" not in document.types:
        return
    for match in _V4.finditer(document.text):
        if _is_v4(document, match.start(), match.end()):
            yield Span(match.start(), match.end(), "IP", 0.9, "ip:pattern+context")
    taken = 0
    for match in _V6.finditer(document.text):
        if match.start() >= taken:
            span, taken = _v6(document, match.start())
            if span:
                yield span


def _is_v4(document: Document, start: int, end: int) -> bool:
    text = document.text
    octets = [int(part) for part in text[start:end].split(".")]
    if max(octets) > 255:
        return False
    right = text[end : end + 12]
    if right[:1].isascii() and right[:1].isalpha() or right[:1] == "_" and right[1:2].isalnum():
        return False
    if right[:1] == "." and right[1:2].isascii() and right[1:2].isalnum() and not right[1:].startswith("in-addr"):
        if right[1].isdigit() or _FILE_RIGHT.match(right):
            return False
    if (
        right[:1] == "-"
        and _FILE_RIGHT.match(right)
        and not re.match(r"-[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]", text[end : end + 20])
    ):
        return False
    if right[:1] == "+" and right[1:2].isalnum():
        return False
    left = text[max(0, start - 40) : start]
    if left[-1:] in ("%",):
        return False
    named = _NAMED_LEFT.search(left) or _URL_LEFT.search(left)
    if not named and _JOINED_LEFT.search(left):
        if not (_LOGIN_LEFT.search(left) and max(octets) > 40):
            return False
    if not named and left[-1:] == "/" and _PRODUCT_LEFT.search(left):
        # Java writes host/address; a product starts with a capital or is no address by its numbers.
        if left.rstrip("/")[-1:].isupper() or not (_PORT_RIGHT.match(right) or octets[0] in (10, 127, 172, 192)):
            return False
        if re.search(r"(?<![a-z0-9])[A-Z][A-Za-z]*/\Z", left):
            return False
    if named:
        return True
    label = document.label(start, end)
    if label and label.bound and label.kind in _NOT_IP:
        return False
    called = label is not None and label.kind == "ip" and (label.bound or label.gap <= 24)
    if called or _PORT_RIGHT.match(right):
        return True
    if document.policy == "precision":
        return False
    if (
        octets[0] in (0, 10, 127, 172, 192)
        or max(octets) > 40
        or octets in ([8, 8, 8, 8], [1, 1, 1, 1], [8, 8, 4, 4], [9, 9, 9, 9])
    ):
        return True
    return False


def _v6(document: Document, inside: int) -> tuple[Span | None, int]:
    """The address around a position, if the whole run of hexadecimal digits and colons is one; and where the run ends."""
    text = document.text
    start = end = inside
    while start > 0 and text[start - 1] in _V6_SIGNS and inside - start < 64:
        start -= 1
    while end < len(text) and text[end] in _V6_SIGNS and end - start < 128:
        end += 1
    run_end = end
    if end - start >= 64:
        return None, run_end
    before = text[start - 1 : start]
    if before.isascii() and (before.isalnum() or before == "_") or before == "":
        # "addr:2001:db8::1": the word ends at the first colon.
        pass
    value = text[start:end].rstrip(".")
    if value.endswith(":") and not value.endswith("::"):
        value = value[:-1]
    value = value.rstrip(".")
    begin = start
    word = before.isascii() and (before.isalnum() or before == "_")
    if word:
        cut = value.find(":")
        if value.startswith("::", cut):
            return None, run_end
        begin, value = start + cut + 1, value[cut + 1 :]
    elif value.startswith(":") and not value.startswith("::"):
        begin, value = start + 1, value[1:]
    elif value.startswith("."):
        return None, run_end
    address = _parse(value)
    if address is None and ":" in value:
        head, _, tail = value.rpartition(":")
        if tail.isdigit() and value.count(":") == 8:
            value, address = head, _parse(head)
        elif not address:
            head, _, tail = value.partition(":")  # a label of hexadecimal letters: "face:2001:db8::1"
    if address is None or not _is_address(document, value, begin):
        return None, run_end
    stop = begin + len(value)
    after = text[stop : stop + 1]
    if after.isascii() and (after.isalnum() or after == "_"):
        return None, run_end
    zone = re.compile(r"%[0-9A-Za-z]{1,15}").match(text, stop)
    return Span(begin, zone.end() if zone else stop, "IP", 0.9, "ip:pattern+parse"), run_end


def _parse(value: str) -> ipaddress.IPv6Address | None:
    try:
        return ipaddress.IPv6Address(value)
    except ValueError:
        return None


def _is_address(document: Document, value: str, start: int) -> bool:
    groups = [group for group in value.split(":") if group]
    if value == "::" or not any(c.isdigit() for c in value) and not (len(groups) > 2 and max(map(len, groups)) == 4):
        return False
    if "::" not in value and all(len(group) == 2 for group in groups):
        return False
    if max(len(group) for group in groups) >= 3:
        return True
    text = document.text
    before, after = text[max(0, start - 3) : start], text[start + len(value) : start + len(value) + 3]
    if before.endswith("//[") or before.endswith("[") and after.startswith("]:"):
        return True
    if before.endswith("[") and before[:-1][-1:].isalnum() or after.startswith("]"):
        return False
    if value == "::1":
        return True
    return document.is_called(start, start + len(value), _IP, 24)
