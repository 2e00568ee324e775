"""Passwords and tokens behind their name: `password=...`, `"api_key": "..."`, `Authorization: Bearer ...`, 密码是...

The name is found by plain search, the rest is read from there: what stands between (`:`, `=`, `=>`, quotes), then the
value. A password may be what people choose (`hunter2!`); a key, token or secret must look random.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator

from dslab.privacy.recognizers.base import Document
from dslab.privacy.recognizers.entropy import is_password, is_placeholder, is_random, switches
from dslab.privacy.spans import Span

# What is searched for, in lower case. Whatever else belongs to the name follows or precedes.
_HINTS = ("pass", "pwd", "secret", "token", "key", "credential", "bearer", "authorization")
# Each letter pair of them once: `re` looks for these faster than `in` for the words.
_GATES = [re.compile(gate).search for gate in ("p(?:ass|wd)", "cre[td]", "ke[yn]", "bearer", "authorization")]
_NAME = re.compile(
    r"(?P<word>pass(?:word|wd|phrase|code|wort)?s?|pwd|secret|token|key|credentials?|authorization|bearer)"
    r"(?P<tail>(?:[_\-. ]?(?:access|key|token|secret|id|value|hash|string|code|base|b64|new|old|current"
    r"|prod|dev|test|admin|root|user|db|[0-9])){0,3})"
    r"(?P<gap>\\?[\"'`\])]{0,2}(?:[ \t]{1,3}(?:value|content))?[ \t]{0,4}(?:>|:=|=>|->|==?|:|：|＝)[ \t]{0,4}"
    r"|[ \t]{1,2}(?:is|was|为|是)[ \t:：]{1,3}|[\"'],[ \t]{0,2}(?=[\"'])"
    r"|[\"']?[ \t]{0,2}\r?\n[ \t\-]{0,12}[\"']?value[\"']?[ \t]{0,2}[:=][ \t]{0,2}"
    r"|[ \t]{0,2}[.·…_]{3,40}[ \t]{0,2}|[ \t]{1,8})"
    r"(?:str[ \t]{0,2}=[ \t]{0,2})?(?P<scheme>[\"'`]?(?:Bearer|Basic|Token|token)[ \t]{1,2})?"
    r"(?P<quote>[\"'`]|\\[\"']|&quot;)?",
    re.IGNORECASE,
)
_CHINESE = re.compile(
    "(?:密码|口令|密钥|私钥|令牌|秘钥|凭据|暗号)(?:已?(?:重置|修改|变更|设置|更新)[成为]"
    "|是|为|改成|改为|设为|：|:|=|＝|[ \\t]"
    "|“|\"|「|`|'|【|（|\\(){1,4}"
)
_CHINESE_HINTS = ("密码", "口令", "密钥", "私钥", "令牌", "秘钥", "凭据", "暗号")
_VALUE = re.compile(r"[!-~]{6,600}")
_END = re.compile(r"[\"'`<>\\]|&(?=[A-Za-z_]+=)|[,;](?=\s|$|[A-Za-z_]+=)")
_QUOTED = {
    '"': re.compile(r'[^"\n]{6,600}(?=")'),
    "'": re.compile(r"[^'\n]{6,600}(?=')"),
    "`": re.compile(r"[^`\n]{6,600}(?=`)"),
}
_CHOSEN = frozenset(("pass", "password", "passwd", "passphrase", "passcode", "passwort", "pwd", "passwords"))


# A name with none of these behind it is a word of the text.
_TAG_LEFT = re.compile(r"<[A-Za-z0-9:._\-]{0,30}\Z")
_SIGNS = ("'", '"', ">", ":", "=", "：", "＝", " is ", " was ", "|", "..", "…", "\t", ",", "\n", ";", "->")


def assigned(document: Document) -> Iterable[Span]:
    """SECRETs that a name before them betrays."""
    found: list[Span] = []
    if _is_hinted(document.signs.words):
        found += _english(document)
    text = document.text
    if not text.isascii() and ("密" in text or "钥" in text or "令" in text or "凭" in text or "暗" in text):
        found += _chinese(document)
    return found


def _is_hinted(words: str) -> bool:
    """Could a text in lower case hold a hint?"""
    for search in _GATES:  # noqa: SIM110 - a generator costs as much as two of the searches
        if search(words):
            return True
    return False


def _english(document: Document) -> Iterator[Span]:
    text, lower = document.text, document.lower
    if len(lower) == len(text):
        past, has_tables = 0, "\n" in text
        for position in _hints(lower):
            if position < past:
                continue
            near = text[position : position + 40]
            if not (_BARE.match(near) or any(sign in near for sign in _SIGNS) or near[:6].lower() == "bearer"):
                continue
            name = _NAME.match(text, position)
            if name and _is_name(text, position, name):
                start, end, is_secret = _value(text, name)
                past = end if is_secret or end - start > 64 else name.end("word")
                if is_secret:
                    yield Span(start, end, "SECRET", 0.9, "secret:keyword+entropy")
            if has_tables:
                yield from _column(document, position)


def _chinese(document: Document) -> Iterator[Span]:
    text = document.text
    for found in _CHINESE.finditer(text):
        value = _plain(text, found.end())
        if len(value) >= 6 and not is_placeholder(value) and (is_password(value) or _is_base64(value)):
            yield Span(found.end(), found.end() + len(value), "SECRET", 0.9, "secret:keyword+entropy")
    for hint in _CHINESE_HINTS:
        at = text.find(hint)
        while at >= 0:
            yield from _column(document, at)
            at = text.find(hint, at + 2)


def _is_base64(value: str) -> bool:
    """Base64 that begins with a slash, as no path does: 20 signs and more, an end in = or two slashes at most."""
    return len(value) >= 20 and is_random(value) and (value.endswith("=") or value.count("/") <= 2)


def _column(document: Document, position: int) -> Iterator[Span]:
    """SECRETs below a name that heads a column of a table."""
    text = document.text
    near = _NEAR.match(text, position)
    if near is None or not (near[1] or _EDGE_LEFT.search(text, max(0, position - 16), position)):
        return
    cells = document.context.tables.below(position)
    if not cells:
        return
    head = document.context.tables.cell(position).lower()
    chosen = any(word in head for word in ("pass", "pwd", "密码", "口令"))
    if not _HEAD.search(head):
        return
    for start, end in cells:
        value = text[start:end]
        if len(value) < 6 or is_placeholder(value[:80]) or " " in value:
            continue
        if is_password(value) if chosen else len(value) >= 16 and is_random(value):
            yield Span(start, end, "SECRET", 0.88, "secret:column+entropy")


# A cell's end behind the name, or its start before a name that ends the line.
_NEAR = re.compile(r"[\w .\-()\"'（）]{2,24}(?:([|\t,;])|\r?\n)")
_EDGE_LEFT = re.compile(r"[|\t,;][^|\t,;\n]{0,15}\Z")
_HEAD = re.compile(
    r"(?<![a-z])(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|credentials?)(?![a-z])"
    r"|(?:api|access|auth|private|secret)[ _\-]?key"
    r"|\A(?:key|keys)\Z|apikey|密码|口令|密钥|私钥|令牌|秘钥|凭据"
)


def _hints(lower: str) -> list[int]:
    found: set[int] = set()
    for hint in _HINTS:
        at = lower.find(hint)
        while at >= 0:
            found.add(at)
            at = lower.find(hint, at + len(hint))
    return sorted(found)


def _is_name(text: str, start: int, match: re.Match[str]) -> bool:
    """A name of its own, or the end of one: db_password, apiKey, X-Api-Key; not "monkey" or "compass"."""
    before = text[start - 1 : start] if start else ""
    if before.isascii() and before.isalpha():
        camel = before.islower() and text[start].isupper()
        joined = re.search(
            r"(?i)(?:api|auth|access|db|my|user|root|admin|secret|private|app|ssh|client|enc|ftp|smtp|redis|pg|mysql|wifi)\Z",
            text[max(0, start - 8) : start],
        )
        if not camel and not joined:
            return False
    return not (before == "$" or text[start - 2 : start] == "${")


def _value(text: str, match: re.Match[str]) -> tuple[int, int, bool]:
    """Where the value behind a name stands, and whether it is a secret."""
    word, start = match["word"].lower(), match.end()
    explicit = match["gap"].strip(" \t\"'`])") != "" or match["scheme"] is not None
    is_option = not explicit and _OPTION_LEFT.search(text, max(0, match.start() - 24), match.start()) is not None
    if not explicit and not is_option and word != "bearer":
        return _unsigned(text, match)
    quote = match["quote"] or (match["scheme"] or "")[:1].strip("BbTt")
    if quote in _QUOTED:
        found = _QUOTED[quote].match(text, start)
        value = found[0] if found else ""
    else:
        value = _plain(text, start)
    end, chosen = start + len(value), word in _CHOSEN and (explicit or is_option)
    if "hash" in match["tail"].lower() or match["tail"].lower().strip("_-. ") == "id":
        return start, end, False
    if len(value) < 6 or (" " in value and not chosen) or is_placeholder(value[:80]):
        return start, end, False
    if match["gap"].strip() == ">" and not text.startswith("</", end):
        return start, end, False
    if "basic" in (match["scheme"] or "").lower() and _is_login(value):
        return start, end, True
    if chosen and (is_password(value) or is_random(value)):
        return start, end, True
    if (
        word == "key"
        and _DIGEST.fullmatch(value)
        and not _QUALIFIED.search(text, max(0, match.start() - 16), match.start())
    ):
        return start, end, False  # a bare "key" is also what tables and caches have
    return start, end, len(value) >= 16 and is_random(value) and not _is_public(text, match)


def _is_login(value: str) -> bool:
    """Base64 of user:password, as HTTP's Basic sends it."""
    try:
        decoded = base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except ValueError:
        return False
    return b":" in decoded and decoded.isascii() and decoded.decode().isprintable()


def _unsigned(text: str, match: re.Match[str]) -> tuple[int, int, bool]:
    """A password or key behind blanks alone: in quotes, filling the rest of a form's line, or too odd for a word."""
    start, quote = match.end(), match["quote"] or ""
    found = _QUOTED[quote].match(text, start) if quote in _QUOTED else None
    value = found[0] if found else _plain(text, start)
    end = start + len(value)
    if _is_odd(text, match, value):
        return start, end, True
    in_form = text[match.start() - 1 : match.start()] in ("", "\n") and text[end : end + 1] in ("", "\n", "\r")
    is_shown = (found is not None or in_form) and match["word"].lower() in _CHOSEN and not is_placeholder(value[:80])
    return (
        start,
        end,
        is_shown and len(value) >= 8 and " " not in value and is_password(value) and bool(_DIGIT.search(value)),
    )


_DIGIT = re.compile("[0-9]")
# A name, blanks, and a word of eight signs with a digit.
_BARE = re.compile(r"[A-Za-z_\-]{3,20}(?: [A-Za-z]{2,6})?[ \t]{1,8}(?=\S{8})[^\s0-9]{0,24}[0-9]")
_OPTION_LEFT = re.compile(r"(?<![0-9A-Za-z\-])--?(?:[a-z]{1,12}[\-_.]?){0,2}\Z")
# Names with a number, dates, sizes, addresses: what prose puts behind "password" and "token".
_ORDINARY = re.compile(
    r"[A-Za-z]+[\-_ ./]?v?[0-9]+(?:[.\-][0-9A-Za-z]+)*|[0-9]+(?:[.\-–/:][0-9]+)*[A-Za-z%+]{0,8}|\S+@\S+\.\w+"
    r"|[0-9]{4}-[0-9]{2}-\S+|\(.*|[A-Z0-9]+(?:[\-_][A-Z0-9]+)+|(?:[A-Z]{1,3}[a-z]{1,12}[0-9]{0,2}){2,6}"
    r"|(?:[a-z]+[_\-])+[a-z0-9]+|[0-9]+(?:st|nd|rd|th|x)[\-/].*|(?:[a-z0-9]+[/\-])+[a-z0-9]*"
)


_HASH_BEHIND = re.compile(r" ?[(（]?(?:hash|digest|checksum|md5|sha)", re.IGNORECASE)


def _is_odd(text: str, match: re.Match[str], value: str) -> bool:
    """Is a word behind "password" or "api key" no word of a sentence: three kinds of signs, or drawn at random?"""
    word, tail = match["word"].lower(), match["tail"].lower()
    if len(value) < 8 or "hash" in tail or tail.strip("_-. ") == "id" or is_placeholder(value[:80]) or " " in value:
        return False
    if _HASH_BEHIND.match(text, match.end() + len(value)):
        return False
    if len(value) >= 16 and is_random(value) and not _ORDINARY.fullmatch(value) and word != "authorization":
        is_named = (
            word != "key" or "secret" in tail or _QUALIFIED.search(text, max(0, match.start() - 16), match.start())
        )
        return bool(is_named) and not _is_public(text, match)
    if word not in _CHOSEN or not is_password(value) or not _DIGIT.search(value) or _ORDINARY.fullmatch(value):
        return False
    kinds = sum((not value.islower(), not value.isupper(), not value.isalnum()))
    return any(char.isalpha() for char in value) and kinds + (switches(value) >= 4) >= 3


def _is_public(text: str, match: re.Match[str]) -> bool:
    """A "key" that is no secret: public key, cache key, primary key, key fingerprint, object key."""
    if match["word"].lower() != "key":
        return False
    return _PUBLIC.search(text, max(0, match.start() - 14), match.start()) is not None


_DIGEST = re.compile(r"[0-9a-f]{16,128}|[0-9A-F]{16,128}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_QUALIFIED = re.compile(
    r"(?:api|secret|access|private|auth|sign(?:ing)?|encrypt(?:ion)?|master|app|account|client|subscription|service"
    r"|webhook|license|storage|admin|consumer|shared|deploy)[ _\-]?\Z",
    re.IGNORECASE,
)
_PUBLIC = re.compile(
    r"(?:public|pub|cache|primary|foreign|sort|partition|object|s3|row|idempotency|dedup|index|hot|map|shard"
    r"|fingerprint|routing|etag)[ _\-.]?\Z",
    re.IGNORECASE,
)


def _plain(text: str, start: int) -> str:
    """The unquoted value that starts here: up to a blank, a quote, `&name=`, or a comma before a blank."""
    match = _VALUE.match(text, start)
    if not match:
        return ""
    end = _END.search(match[0])
    value = match[0][: end.start()] if end else match[0]
    return value.rstrip(".,;:)]}>|")
