"""Passwords that no name betrays but their place: an argument of a tool, or a clause of SQL.

    curl -u ann:X    mysql -pX    sshpass -p X    redis-cli -a X    CREATE USER ann IDENTIFIED BY 'X'

`-p` means a port to ssh, a path to mkdir and a print to others, so the tool must stand before it in its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from dslab.privacy.recognizers.base import Document
from dslab.privacy.recognizers.entropy import is_password, is_placeholder, is_random
from dslab.privacy.spans import Span

_VALUE = r"(?:\"(?P<double>[^\"\n]{3,128})\"|'(?P<single>[^'\n]{3,128})'|(?P<plain>[^\s\"'|;<>]{3,128}))"
_ARGUMENT = re.compile(
    r" -(?P<flag>[uUpPaw]|-(?:proxy-)?user)(?P<gap>[ =]?)"
    rf"(?P<user>(?<=[uUr ='\"])(?<=[uUr ][= ]|.[uU])[\"']?[^\s:\"'/@%]{{1,64}}[:%])?{_VALUE}"
)
_TOOLS = {
    "u": re.compile(r"(?<![A-Za-z])(?:curl|wget|https?|xh|ab|siege|hey|lftp|ldap[a-z]+|skopeo|httpie)\b"),
    "p": re.compile(r"(?<![A-Za-z])(?:mysql[a-z]*|mariadb[a-z\-]*|7z[ar]?|rar|unrar|xtrabackup|mysqlsh)\b"),
    "p ": re.compile(
        r"(?<![A-Za-z])(?:sshpass|docker login|podman login|helm|mongo[a-z]*|az login|oc login|nerdctl login"
        r"|smbmap|crackmapexec|influx|cqlsh|skopeo login)\b"
    ),
    "P ": re.compile(r"(?<![A-Za-z])(?:mosquitto_[a-z]+|zip|unzip|sqlcmd|bcp|isql|freebcp)\b"),
    "a ": re.compile(r"(?<![A-Za-z])redis-cli\b"),
    "w ": re.compile(r"(?<![A-Za-z])ldap[a-z]+\b"),
}
_SQL = re.compile(
    r"identified[ \t]{1,4}(?:with[ \t]{1,4}['\"`]?\w{1,40}['\"`]?[ \t]{1,4})?(?:by|as)[ \t]{1,4}"
    r"(?:(?:password|values)[ \t]{1,4})?"
    r"(?:(?P<quote>['\"])(?P<value>[^'\"\n]{4,128})(?P=quote)|(?P<bare>[^\s'\";,]{6,128}))"
    r"|\bpassword(?:[ \t]{1,4}|[ \t]{0,4}[=(][ \t]{0,4}|[ \t]{0,4}=[ \t]{0,4}password\()'(?P<word>[^'\n]{4,128})'",
    re.IGNORECASE,
)


_FLAGS = frozenset("uUpPaw-")


def passed(document: Document) -> Iterable[Span]:
    """SECRETs by their place."""
    found: list[Span] = []
    if b"-" in document.signs.rest:
        found += _arguments(document.text)
    if (
        b"PASSWORD" in document.signs.rest
        or "identified by" in document.signs.words
        or ("identified with" in document.signs.words)
    ):
        found += _clauses(document.text)
    return found


def _arguments(text: str) -> Iterator[Span]:
    at = text.find(" -")
    while at >= 0:
        match = _ARGUMENT.match(text, at) if text[at + 2 : at + 3] in _FLAGS else None
        at = text.find(" -", at + 2)
        if match is None:
            continue
        flag, group = match["flag"], match.lastgroup or "plain"
        tool: re.Pattern[str] | None
        if flag[0] == "-" or (flag in "uU" and match["user"]):
            if not match["user"]:
                continue
            tool = _TOOLS["u"]
        else:
            tool = _TOOLS.get(flag + match["gap"])
        if tool is None or (match["user"] and flag not in "uU" and flag[0] != "-"):
            continue
        line = text.rfind("\n", max(0, match.start() - 300), match.start()) + 1
        if not tool.search(text, max(line, match.start() - 300), match.start()):
            continue
        start, end = match.span(group)
        if match["user"] and match["user"][0] in "\"'" and text[end : end + 1] != match["user"][0]:
            continue
        if _is_chosen(text[start:end]):
            yield Span(start, end, "SECRET", 0.93, "secret:argument")


def _clauses(text: str) -> Iterator[Span]:
    for match in _SQL.finditer(text):
        group = match.lastgroup or "value"
        if _is_chosen(match[group]):
            yield Span(*match.span(group), "SECRET", 0.93, "secret:sql")


def _is_chosen(value: str) -> bool:
    return not is_placeholder(value) and (is_password(value) or is_random(value))
