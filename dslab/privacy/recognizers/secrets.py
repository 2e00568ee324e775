"""Credentials: keys by their maker's prefix, tokens by their structure, passwords by the word before and their disorder.

A prefix that a maker registered for secret scanning is near proof. A keyword is not: `password = getpass()`, `token:
str`, `secret: <your-secret>` follow one too. There the value must look random (letters and digits mixed, many different
signs) and must not be a placeholder. Hashes and UUIDs without a keyword are nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dslab.privacy.recognizers.base import Document
from dslab.privacy.recognizers.entropy import entropy, is_password, is_placeholder, is_random, switches
from dslab.privacy.spans import Span

_WORD = "[0-9A-Za-z_\\-]"
# Prefix, then what must follow. Every entry starts with a literal, so that `re` skips by first letters.
_SHAPES = (
    r"A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}(?![0-9A-Za-z])",
    r"AIza[0-9A-Za-z_\-]{35}",
    r"gh[pousr]_[0-9A-Za-z]{36,255}",
    r"github_pat_[0-9A-Za-z_]{22,255}",
    r"gl(?:pat|dt|rt|cbt|ptt|oas|soat|ft|imt|agent)-[0-9A-Za-z_\-]{20,300}(?:\.[0-9a-z.]{2,40})?",
    r"sk-[0-9A-Za-z_\-]{20,300}",
    r"[sr]k_(?:live|test)_[0-9A-Za-z]{16,255}",
    r"whsec_[0-9A-Za-z+/=]{20,100}",
    r"xox[abeoprs]-[0-9A-Za-z\-]{10,255}",
    r"xapp-[0-9A-Za-z\-]{20,255}",
    r"hf_[0-9A-Za-z]{30,100}",
    r"npm_[0-9A-Za-z]{36}",
    r"pypi-[0-9A-Za-z_\-]{50,300}",
    r"SG\.[0-9A-Za-z_\-]{16,30}\.[0-9A-Za-z_\-]{30,60}",
    r"(?:AC|SK)[0-9a-f]{32}(?![0-9A-Za-z])",
    r"LTAI[0-9A-Za-z]{12,26}(?![0-9A-Za-z])",
    r"AKID[0-9A-Za-z]{28,40}(?![0-9A-Za-z])",
    r"ya29\.[0-9A-Za-z_\-]{20,300}",
    r"GOCSPX-[0-9A-Za-z_\-]{20,40}",
    r"dop_v1_[0-9a-f]{64}",
    r"shp(?:at|ss|ca|pa)_[0-9A-Fa-f]{32}",
    r"sq0(?:atp|csp)-[0-9A-Za-z_\-]{22,50}",
    r"EAACEdEose0cBA[0-9A-Za-z]{20,300}",
    r"key-[0-9a-zA-Z]{32}(?![0-9A-Za-z])",
    r"(?:r8|nvapi|gsk|xai|pplx|fw|rpa|lin_api|PMAK|pat|sntrys|sbp|rnd|hvs|tvly|figd|dckr_pat|NRAK|glsa|ops|secret|tskey)[_\-.][0-9A-Za-z_\-]{24,300}",
    r"AGE-SECRET-KEY-1[0-9A-Z]{58}",
    r"eyJ[0-9A-Za-z_\-]{10,4000}\.[0-9A-Za-z_\-]{10,8000}\.[0-9A-Za-z_\-]{10,2000}",
)
_PREFIX = re.compile(
    r"A(?:KIA|SIA|BIA|CCA|Iza|KID)|gh[pousr]_|github_pat_|gl(?:pat|dt|rt|cbt|ptt|oas|soat|ft|imt|agent)-|sk-|[sr]k_(?:live|test)_|whsec_|xox[abeoprs]-|"
    r"xapp-|hf_|npm_|pypi-|SG\.|AC[0-9a-f]{8}|SK[0-9a-f]{8}|LTAI|ya29\.|GOCSPX-|dop_v1_|shp[a-z]{2}_|sq0|EAAC|key-[0-9a-zA-Z]{8}|"
    r"(?:r8|nvapi|gsk|xai|pplx|fw|rpa|lin_api|PMAK|pat|sntrys|sbp|rnd|hvs|tvly|figd|dckr_pat|NRAK|glsa|ops|secret|tskey)[_\-.][0-9A-Za-z]{8}|AGE-SECRET|eyJ"
)
_KEY = re.compile(f"(?:{'|'.join(_SHAPES)})")
_PEM = re.compile(r"-----BEGIN ((?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?)-----")
_BOT = re.compile(r"[0-9]{8,10}:[0-9A-Za-z_\-]{35}(?![0-9A-Za-z_\-])")
_AZURE = re.compile(r"(?:AccountKey|SharedAccessKey|sig)=([0-9A-Za-z+/%]{30,100}={0,2})")
_HOOK = re.compile(
    r"hooks\.slack\.com/(?:services|workflows)/([0-9A-Za-z/]{20,120})|discord(?:app)?\.com/api/webhooks/([0-9]{15,22}/[0-9A-Za-z_\-]{40,90})"
)
_DISCORD = re.compile(
    r"(?<![0-9A-Za-z])[MNO][0-9A-Za-z_\-]{23,27}\.[0-9A-Za-z_\-]{6}\.[0-9A-Za-z_\-]{27,40}(?![0-9A-Za-z_\-])"
)
_URL = re.compile(r"://([^\s:/@'\"<>]{0,64}):([^\s/@'\"<>]{3,128}|[^\s@'\"<>]{3,128})@(?=[0-9A-Za-z\[.$_{\-])")
_ASSIGNED = re.compile(
    r"(?<![A-Za-z])(?P<word>pass(?:word|wd|phrase|code)?|pwd|pw|secret|token|api[_\- ]?key|key|credentials?|authorization|bearer|auth|cookie|salt|psk)(?P<tail>[A-Za-z0-9_\-]{0,24})"
    r"(?P<gap>[\"'`\]]{0,2}(?:\s{0,3}(?::=|=>|->|[:=：])\s{0,3}|\s{1,2}(?:is|was|为)[ :]{1,2}|\s{1,2})(?:str\s{0,2}=\s{0,2}|(?:Bearer|Basic|Token)\s{1,2})?)(?P<quote>[\"'`]?)",
    re.IGNORECASE,
)
_CHINESE = re.compile(
    "(?:密码|口令|密钥|私钥|令牌|秘钥|凭据|token|暗号)(?:是|为|改成|设为|重置为|：|:|=|＝|\\s|“|\"|「|`|'){1,4}"
)
_VALUE = re.compile(r"[!-~]{6,512}")
_QUOTED = {
    '"': re.compile(r'[^"\n]{6,512}(?=")'),
    "'": re.compile(r"[^'\n]{6,512}(?=')"),
    "`": re.compile(r"[^`\n]{6,512}(?=`)"),
}
_WORDS = re.compile(r"(?:[A-Z]?[a-z]{2,}[_\-.]?)+[0-9]{0,3}")  # names joined by dashes
_STRONG = frozenset(("pass", "password", "passwd", "passphrase", "passcode", "pwd", "pw", "psk"))


def find(document: Document) -> Iterator[Span]:
    """SECRET."""
    if "SECRET" not in document.types:
        return
    text = document.text
    yield from _shaped(text)
    if "PRIVATE KEY" in text:
        yield from _pem(text)
    if "://" in text and "@" in text:
        yield from _urls(text)
    low = text.lower() if text.isascii() else text.casefold()
    if any(word in low for word in _ASSIGNED_HINTS):
        yield from _assigned(text)
    if not text.isascii() and any(word in text for word in ("密码", "口令", "密钥", "私钥", "令牌", "秘钥")):
        for match in _CHINESE.finditer(text):
            span = _value_at(text, match.end(), strong=True, quote="")
            if span:
                yield span


_ASSIGNED_HINTS = (
    "passw",
    "passphrase",
    "passcode",
    "pwd",
    "secret",
    "token",
    "key",
    "credential",
    "bearer",
    "authorization",
    "pass",
    "psk",
    "cookie",
)


def _shaped(text: str) -> Iterator[Span]:
    taken = 0
    for hit in _PREFIX.finditer(text):
        start = hit.start()
        if (
            start < taken
            or start
            and (text[start - 1].isascii() and (text[start - 1].isalnum() or text[start - 1] in "_-"))
            and not text[start - 1] == "_"
        ):
            continue
        match = _KEY.match(text, start)
        if not match or is_placeholder(match[0]) or not _has_body(match[0]):
            continue
        taken = match.end()
        yield Span(start, _trim(text, start, match.end()), "SECRET", 0.99, "secret:prefix+shape")
    for pattern in (_BOT, _DISCORD) if ":AA" in text or "." in text else ():
        if pattern is _BOT and ":AA" not in text:
            continue
        if pattern is _DISCORD and not re.search(r"[MNO][A-Za-z0-9_\-]{23}", text):
            continue
        for match in pattern.finditer(text):
            if not (match.start() and text[match.start() - 1].isdigit()) and is_random(match[0]):
                yield Span(*match.span(), "SECRET", 0.98, "secret:shape")
    if "Key=" in text or "sig=" in text:
        for match in _AZURE.finditer(text):
            if not is_placeholder(match[1]) and is_random(match[1]):
                yield Span(*match.span(1), "SECRET", 0.98, "secret:keyword+shape")
    if "hooks" in text:
        for match in _HOOK.finditer(text):
            group = 1 if match[1] else 2
            yield Span(*match.span(group), "SECRET", 0.98, "secret:shape")


def _has_body(value: str) -> bool:
    """A key's body holds digits, or upper and lower case mixed; words joined by dashes (sk-learn-contrib-...) do not."""
    body = re.sub(r"^[A-Za-z]{2,12}[_\-.]", "", value)
    if value.startswith("eyJ"):
        return True
    digits = sum(c.isdigit() for c in body)
    return entropy(body) >= 3.0 and (digits >= 2 or switches(body) * 5 >= len(body)) and not _WORDS.fullmatch(body)


def _trim(text: str, start: int, end: int) -> int:
    while text[end - 1] in "-_." and end - start > 20:
        end -= 1
    return end


def _pem(text: str) -> Iterator[Span]:
    """From BEGIN to its END; a block without END (cut off) runs to the last line of base64."""
    taken = 0
    for begin in _PEM.finditer(text):
        if begin.start() < taken:
            continue
        footer = f"-----END {begin[1]}-----"
        end = text.find(footer, begin.end(), begin.end() + 20_000)
        if end >= 0:
            stop = end + len(footer)
        else:
            body = re.compile(r"(?:(?:\\n|\s|[>|*#\"'+])*[A-Za-z0-9+/=]{16,}){1,400}").match(
                text, begin.end(), begin.end() + 20_000
            )
            if not body:
                continue
            stop = body.end()
        if stop - begin.end() < 40 + len(footer) and is_placeholder(text[begin.end() : stop]):
            continue
        if len(re.findall(r"[A-Za-z0-9+/=]", text[begin.end() : end if end >= 0 else stop])) < 24:
            continue
        taken = stop
        yield Span(begin.start(), stop, "SECRET", 1.0, "secret:pem")


def _urls(text: str) -> Iterator[Span]:
    for match in _URL.finditer(text):
        if not is_placeholder(match[2]) and not match[2].isdigit():
            yield Span(*match.span(2), "SECRET", 0.97, "secret:url")


def _assigned(text: str) -> Iterator[Span]:
    for match in _ASSIGNED.finditer(text):
        word = match["word"].lower()
        tail = match["tail"].lower()
        explicit = match["gap"].strip(" \t\"'`]") != ""
        if word in ("key", "auth", "cookie", "salt", "credential", "credentials") and not explicit:
            continue
        strong = word in _STRONG and not tail or word in _STRONG and explicit
        span = _value_at(text, match.end(), strong=strong and explicit, quote=match["quote"])
        if span and (explicit or strong or span.end - span.start >= 16):
            yield span


def _value_at(text: str, start: int, strong: bool, quote: str) -> Span | None:
    """The value that starts here, if it is no placeholder, no code, and random enough for its keyword."""
    if quote:
        match = _QUOTED[quote].match(text, start)
        value = match[0] if match else ""
    else:
        match = _VALUE.match(text, start)
        value = re.split(r"[\"'`<>\s，。；、）]|&(?=[a-z_]+=)|[,;](?=\s|$)", match[0])[0] if match else ""
        value = value.rstrip(".,;:)]}>\"'`\\|")
    if len(value) < 6 or is_placeholder(value):
        return None
    if strong and is_password(value) or is_random(value) and len(value) >= 16:
        return Span(start, start + len(value), "SECRET", 0.9, "secret:keyword+entropy")
    return None
