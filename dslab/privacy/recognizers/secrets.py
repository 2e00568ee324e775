"""Credentials: keys by their maker's prefix, tokens by their structure, passwords by the word before and their
disorder.

A prefix that a maker registered for secret scanning is near proof. A keyword is not: `password = getpass()`, `token:
str`, `secret: <your-secret>` follow one too. There the value must look random (letters and digits mixed, many different
signs) and must not be a placeholder. Hashes and UUIDs without a keyword are nothing.

Three ways in: a digit glued to a letter inside a long word (prefixed keys, JWTs), the words of `keywords.py`, and the
fixed texts `PRIVATE KEY` and `://`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator

from dslab.privacy.recognizers.arguments import passed
from dslab.privacy.recognizers.base import Document, walk_left
from dslab.privacy.recognizers.entropy import entropy, is_placeholder, is_random, switches
from dslab.privacy.recognizers.keywords import assigned
from dslab.privacy.signs import Signs
from dslab.privacy.spans import Span

_SHORTEST = 16
_WORD = re.compile(r"[0-9A-Za-z_\-]+")
_WORD_SIGNS = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-")
_REST = r"[0-9A-Za-z_\-]"
_KEY = re.compile(
    r"(?<![0-9A-Za-z])(?:"
    r"A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}(?![0-9A-Za-z])"
    rf"|AIza{_REST}{{35}}|ya29\.{_REST}{{20,300}}|GOCSPX-{_REST}{{20,40}}"
    r"|gh[pousr]_[0-9A-Za-z]{36,255}|github_pat_[0-9A-Za-z_]{22,255}"
    rf"|gl(?:pat|dt|rt|cbt|ptt|oas|soat|ft|imt|agent)-{_REST}{{20,300}}"
    rf"|sk-{_REST}{{20,300}}|(?:[sr]k|pk)_(?:live|test)_[0-9A-Za-z]{{16,255}}|whsec_[0-9A-Za-z+/=]{{20,100}}"
    rf"|xox[abeoprs]-[0-9A-Za-z\-]{{10,255}}|xapp-[0-9A-Za-z\-]{{20,255}}"
    r"|hf_[0-9A-Za-z]{30,100}|npm_[0-9A-Za-z]{36}|dckr_pat_[0-9A-Za-z_\-]{20,60}"
    rf"|pypi-{_REST}{{40,300}}|SG\.{_REST}{{16,30}}\.{_REST}{{30,60}}|key-[0-9a-zA-Z]{{32}}(?![0-9A-Za-z])"
    r"|(?:AC|SK)[0-9a-f]{32}(?![0-9A-Za-z])|LTAI[0-9A-Za-z]{12,26}(?![0-9A-Za-z])|AKID[0-9A-Za-z]{28,40}(?![0-9A-Za-z])"
    rf"|dop_v1_[0-9a-f]{{64}}|shp(?:at|ss|ca|pa)_[0-9A-Fa-f]{{32}}|sq0(?:atp|csp)-{_REST}{{22,50}}|EAACE[0-9A-Za-z]{{20,300}}"
    rf"|(?:r8|nvapi|gsk|xai|pplx|fw|lin_api|PMAK|sntrys|sbp|rnd|hvs|tvly|figd|NRAK|glsa|tskey|ops|AGE-SECRET-KEY|bce-v3/ALTAK|ark|pat)[_\-.]{_REST}{{24,300}}"
    # Signed (three parts), encrypted (five, the second may be empty), unsigned (two).
    rf"|(?:eyJ|eyA|ew[o0]){_REST}{{10,4000}}\.(?:{_REST}{{0,8000}}\.{_REST}{{10,8000}}(?:\.{_REST}{{8,8000}}\.{_REST}{{10,200}})?"
    rf"|ey[JA]{_REST}{{10,8000}})"
    rf"|[MNO]{_REST}{{23,27}}\.{_REST}{{6}}\.{_REST}{{27,40}}(?!{_REST})"
    r")"
)
# Its first signs, and what of them is left when prose is taken away.
_STARTS = ("SG.", "AKIA", "ASIA", "LTAI", "glpat-", "hf_", "k_live_", "npm_", "ghp_", "gho_", "ghs_")
_LACKING = [(Signs(sign).rest, sign) for sign in _STARTS]
# The same of a token's header, which is JSON in base64: what follows its first signs is a name of three letters.
_HEADER_LEFT = re.compile(rb"J[GWMH]|A[YH]|I[CFR]|JI|0K")
_HEADERS = ("eyJ", "eyA", "ewog", "ewoJ", "ew0K")
_UNDIGITED = re.compile("ey[JA]|ewo[gJ]|ew0K|SG[.]|A[KS]IA|LTAI|glpat-|hf_|npm_|gh[pos]_|[srp]k_live_")
_BOT = re.compile(rf"(?<![0-9])[0-9]{{8,10}}:AA{_REST}{{33}}(?!{_REST})")
_AZURE = re.compile(
    r"(?:AccountKey|SharedAccessKey|sig(?==[0-9A-Za-z+/%]{30,90}(?:=|%3[Dd])))=([0-9A-Za-z+/%]{30,100}={0,2})"
)
_HOOK = re.compile(
    r"hooks\.slack\.com/(?:services|workflows)/([0-9A-Za-z/]{20,120})"
    rf"|discord(?:app)?\.com/api/webhooks/([0-9]{{15,22}}/{_REST}{{40,90}})"
)
_PEM = re.compile(r"-----BEGIN ((?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?)-----")
_PEM_BODY = re.compile(r"(?:(?:\\n|[\s>|*#\"'+,])*[A-Za-z0-9+/=]{16,}){1,400}")
_URL = re.compile(r"://([^\s:/@'\"<>]{0,64}):([^\s/@'\"<>]{3,128}|[^\s@'\"<>]{3,128})@(?=[0-9A-Za-z\[.$_{\-])")
_IS_PORT = re.compile(r"[0-9]{1,5}(?:[/?#]|\Z)")
_NAMES = re.compile(r"(?:[A-Z]?[a-z]{2,}[_\-.]?)+[0-9]{0,3}")  # words joined by dashes, perhaps numbered
_MAKER = re.compile(r"[A-Za-z0-9]{2,12}[_\-.]")
# Where a key may begin: each way that `_KEY` starts, without what must follow.
_PREFIX = re.compile(
    r"(?<![0-9A-Za-z])(?:A(?:KIA|SIA|BIA|CCA|Iza|KID|GE-)|ya29|GOCSPX|gh[pousr]_|github_pat_|gl[a-z]{2,5}-|sk-|[srp]k_|whsec|xox|xapp"
    r"|hf_|npm_|dckr_|pypi-|SG\.|key-|AC[0-9a-f]|SK[0-9a-f]|LTAI|dop_|shp|sq0|EAACE|r8_|nvapi|gsk_|xai|pplx|fw_|lin_|PMAK"
    r"|sntrys|sbp_|rnd_|hvs|tvly|figd|NRAK|glsa|tskey|ops|bce-|ark|pat|ey[JA]|ew[o0]|[MNO][0-9A-Za-z])"
)


# What is left of every secret but a named one (signs.py): a digit, or a sign of the few that may lack one.
_SHAPED = re.compile(rb"[0-9=_]|://|-----|SG|AKIA|ASIA|LTAI")


def find(document: Document) -> Iterable[Span]:
    """SECRET."""
    if "SECRET" not in document.types:
        return ()
    named = [*assigned(document), *passed(document)]
    rest = document.signs.rest
    if _SHAPED.search(rest) or (b"-" in rest and "glpat-" in document.text):
        return [*_shaped(document), *named]
    return named


def _shaped(document: Document) -> Iterator[Span]:
    text, rest = document.text, document.signs.rest
    yield from _prefixed(document)
    if b":AA" in rest:
        yield from (Span(*m.span(), "SECRET", 0.98, "secret:shape") for m in _BOT.finditer(text))
    if b"=" in rest and ("Key=" in text or "sig=" in text):
        for match in _AZURE.finditer(text):
            if not is_placeholder(match[1]) and is_random(match[1]):
                yield Span(*match.span(1), "SECRET", 0.98, "secret:keyword+shape")
    if b"://" in rest and "hooks" in text:
        for match in _HOOK.finditer(text):
            yield Span(*match.span(1 if match[1] else 2), "SECRET", 0.98, "secret:shape")
    if b"-----BEGIN" in rest:
        yield from _pem(text)
    if b"://" in rest and b"@" in rest:
        for match in _URL.finditer(text):
            if not is_placeholder(match[2]) and not _IS_PORT.match(match[2]):
                yield Span(*match.span(2), "SECRET", 0.97, "secret:url")


def _prefixed(document: Document) -> Iterator[Span]:
    """Keys that begin with their maker's sign, in words of 16 signs and more that hold a digit next to a letter."""
    text, past = document.text, 0
    starts = [*document.spots.mixed]
    rest = document.signs.rest
    has_header = _HEADER_LEFT.search(rest) is not None and any(sign in text for sign in _HEADERS)
    if has_header or any(left in rest and sign in text for left, sign in _LACKING):
        # These may hold no digit before a letter.
        starts = sorted([*starts, *(m.start() for m in _UNDIGITED.finditer(text))])
    for spot in starts:
        if spot < past:
            continue
        begin = walk_left(text, spot, _WORD_SIGNS, 200)
        word = _WORD.match(text, begin)
        if word is None:
            continue
        past = word.end()
        # "SG." and "ya29." stand before a full stop.
        if text[begin - 1 : begin] == "." and begin >= 3:
            begin -= 3 if text.startswith("SG", begin - 3) else 5 if text.startswith("ya29", begin - 5) else 0
        if text.startswith("SG.", begin):
            past = max(past, begin + 3)
        elif past - begin < _SHORTEST:
            continue
        for prefix in _PREFIX.finditer(text, begin, min(past, begin + 300)):
            match = _KEY.match(text, prefix.start())
            if match and not is_placeholder(match[0]) and _has_body(match[0]):
                past = max(past, match.end())
                yield Span(match.start(), match.end(), "SECRET", 0.99, "secret:prefix+shape")
                break


def _has_body(value: str) -> bool:
    """A key's body is disordered; words joined by dashes are not (sk-learn-contrib-stacking-2)."""
    if value.startswith(("eyJ", "AKIA", "ASIA", "LTAI")):
        return True
    if value.startswith(("eyA", "ewo", "ew0")):
        return _is_token_header(value.partition(".")[0])
    prefix = _MAKER.match(value)
    body = value[prefix.end() :] if prefix else value
    digits = sum(char.isdigit() for char in body)
    return entropy(body) >= 3.0 and (digits >= 2 or switches(body) * 5 >= len(body)) and not _NAMES.fullmatch(body)


def _is_token_header(part: str) -> bool:
    """Is this base64url of a JSON object that names an algorithm? However its blanks and line breaks are set."""
    try:
        decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        return False
    return decoded.lstrip().startswith(b"{") and b'"alg"' in decoded


def _pem(text: str) -> Iterator[Span]:
    """From BEGIN to its END; a block without END (cut off) runs to the last line of base64."""
    past = 0
    for begin in _PEM.finditer(text):
        if begin.start() < past:
            continue
        footer = f"-----END {begin[1]}-----"
        end = text.find(footer, begin.end(), begin.end() + 20_000)
        if end < 0:
            body = _PEM_BODY.match(text, begin.end(), begin.end() + 20_000)
            if not body:
                continue
            end, footer = body.end(), ""
        if sum(char.isalnum() for char in text[begin.end() : end]) < 24:
            continue
        past = end + len(footer)
        yield Span(begin.start(), past, "SECRET", 1.0, "secret:pem")
