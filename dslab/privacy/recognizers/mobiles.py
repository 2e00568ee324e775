"""Chinese mobile numbers: 11 digits with an assigned prefix, with or without +86.

The prefixes are those of the numbering plan as phonenumbers keeps it: 13x 18x, 15x without 154, 17x up to 1705-series
resellers and 178, 19x without 194, 145 147 149 and the reseller blocks 162 165 166 167. The plan grows, and people
misremember it: another prefix 13 to 19 counts beside a word for a telephone, but for 154, of which surrogates are made.
"""

from __future__ import annotations

import re

from dslab.privacy.context import NEGATIVE
from dslab.privacy.recognizers.base import Document
from dslab.privacy.recognizers.runs import Chunk
from dslab.privacy.spans import Span

ASSIGNED = re.compile(r"1(?:[38][0-9]|4[579]|5[0-35-9]|6[2567]|7[0-35-8]|9[0-35-9])[0-9]{8}|1740[0-5][0-9]{6}")
_PLAUSIBLE = re.compile(r"1(?!54)[3-9][0-9]{9}")
_COUNTRY = re.compile(r"(?:0086|86)(?=1[3-9])")
_PLUS_LEFT = re.compile(r"[(（]?\+ ?\Z")
_FOREIGN_BEFORE = re.compile(r"\+ ?[0-9]{1,3}[ \-.)）]{0,2}(?:[(（]0[)）][ \-.]?|[ \-]0[ \-])?\Z")
_DIALLED_BEFORE = re.compile(r"(?<![0-9.\-])00 ?[2-9][0-9]{1,2}(?:[ \-.]{1,2}|[ \-]?[(（]0[)）][ \-.]?)\Z")
_CODE_BEFORE = re.compile(r"(?:\+|[(（]\+?|(?<![0-9]))(?:0086|86)[)）]?[ \-.]{0,3}\Z")
_SHAPES = frozenset(((11,), (3, 4, 4), (3, 8), (3, 3, 5), (7, 4), (4, 4, 3), (3, 5, 3), (4, 3, 4)))
_SUM_LEFT = re.compile(r"[0-9)] ?[=×*^÷] ?\Z|(?<![0-9])[0-9]{1,6} [/+\-] \Z")
_SUM_RIGHT = re.compile(
    r" ?(?:元|块|美元|字节|人次|人|次|件|个|吨|円|行|条|km|%"
    r"|(?:bytes?|octets|[kKMGT]i?B|[mnu]s|rows|lines)(?![0-9A-Za-z]))"
    r"| ?[×*^÷] ?[0-9]| [/+\-] [0-9]{1,4}(?![0-9.\-])| ?= ?[0-9]"
    r"|[ \t]{1,4}(?:\.{0,2}/)?[0-9A-Za-z_.\-/]{1,60}\.(?:tar|gz|zip|iso|img|bin|sql|log|dmp|bak|rar|7z|xz|mp4|mkv"
    r"|jsonl?|parquet|db)(?![0-9A-Za-z])"
    r"|\t\.{0,2}/|[ \t]{1,8}(?:\.{1,2}/"
    r"|/(?:var|home|usr|opt|data|tmp|mnt|srv|etc|root|dev|media|backup|boot)(?![A-Za-z]))"
    r"|\t\.(?=\s|\Z)| B(?=[\s,;)|]|\Z)|\+[0-9] records"
    r"|,? (?:free|used|total|transferred|available|copied)(?![0-9A-Za-z])"
    r"|(?:[ \t]{1,12}[0-9]{1,15}){0,2}[ \t]{1,8}[0-9]{1,3}%"
)
# A count of bytes by what a program writes before it: modes of `ls -l`, a status of HTTP, a range, a call.
_SIZE_LEFT = re.compile(
    r"(?:^|[ \t])[\-dlbcps](?:[r\-][w\-][xsStT\-]){3}[.+@]?[ \t][^\n]{0,40}\Z"
    r"|HTTP/[0-9.]{1,3}\"? [1-5][0-9]{2} \Z"
    r"|(?:bytes?|ranges?|offsets?|sizes?|lengths?|usage|expected)"
    r"[\"' :=]{1,3}(?:[0-9]{1,20}[,/ \-]{1,2}(?:of |got |to )?){1,2}\Z"
    r"|(?:seek|alloc|truncate|resize|reserve|sleep|advise|pread|pwrite)[a-z0-9_]{0,4}\((?:[^()\n]{1,20}, ?)?\Z",
    re.IGNORECASE,
)
# The same by its word; asked where no telephone is named.
_COUNT_LEFT = re.compile(
    r"(?:\A|[\n,{;|(\[\t]|, ) {0,8}[\"']?"
    r"(?:free|used|total|avail(?:able)?|transferred)[\"']?[:=] {0,4}\Z"
    r"|(?:disk|mem(?:ory)?|space|swap|heap|bytes|zfs)[ _\-.]?(?:free|used|total|avail(?:able)?)[\"']?[:=]? {0,4}"
    r"(?:[0-9]{1,20} ?(?:/|of) ?)?\Z"
    r"|(?:free|used|total|disk|available)[ _\-.]?(?:space|mem|storage)[\"']?[:=]? {0,4}\Z"
    r"|(?<![A-Za-z])(?:total|avail(?:able)?|returned|rss|vms|transferred|copied|downloaded|uploaded|remaining|allocated"
    r"|progress)[\"']?[:=]?[ \t]{1,14}(?:[0-9]{1,20} ?(?:/|of) ?)?\Z"
    r"|_(?:bytes|total|count|seconds|sum)(?:\{[^{}\n]{0,40}\})? \Z|bytes \*/\Z"
    r"|已(?:传输|下载|上传|用|使用)[ :：]{0,2}\Z"
    r"|(?:size_t|usize|off_t)[ ]\w{1,20} ?= ?\Z|(?:Mem|Swap):(?:[ \t]{1,12}[0-9]{1,15}){0,5}[ \t]{1,12}\Z"
    r"|(?:/dev/[a-z0-9/\-]{1,30}|tmpfs|overlay)[ \t]{1,12}(?:[0-9]{1,15}[ \t]{1,12}){0,2}\Z",
    re.IGNORECASE,
)
# A number that is called the id of somebody or something; "account" and "user" alone are often a mobile.
_ID_LEFT = re.compile(
    r"(?:(?<![a-z])u(?:ser)?[ _\-]?id|(?<![a-z])(?:member|account|acct|customer|client|player|profile|product|shop"
    r"|seller|buyer|order|goods|item|group|tenant)[ _\-]?id|(?<![a-z])(?:member|membership)[ _\-]?(?:no\.?|number)"
    r"|(?:会员|用户|账号|账户|帐号|玩家|客户|商品|店铺|产品|租户)[ _]?(?:id|编号)|会员卡?号)"
    r"[\"')）]?[ \t]?[:：=#是为]{0,2}[ \t]?[\"'(（]?\Z",
    re.IGNORECASE,
)
_WORD_RIGHT = re.compile(r"[a-z]+(?![0-9A-Z@])")
_GLUED_LEFT = re.compile(
    r"(?<![0-9A-Za-z])(?:tel|phone|mobile|mob|cell|call|vx|wx|wechat|ph|m|t|dial|sms|whatsapp|sj|dh)\Z", re.IGNORECASE
)
# "手机/QQ": one of the two is meant, and eleven digits with a carrier's prefix say which.
_SHARED_LEFT = re.compile(
    r"(?:手机|电话|微信|phone|tel|mobile|wechat|vx)[号码]{0,2} ?[/、&或和] ?(?:QQ|扣扣)[号码]{0,2}[:：]? ?\Z",
    re.IGNORECASE,
)
_PART_LEFT = re.compile(r"[0-9A-Z]{2,}[-_]\Z|[0-9][A-Za-z]{0,4}[-_]\Z")
_DENIED = NEGATIVE - {"money"}


def read(document: Document, chunk: Chunk) -> Span | None:
    """A CN_MOBILE, if this chunk is one; its country code belongs to it."""
    if "CN_MOBILE" not in document.types or len(chunk.digits) not in (11, 13, 15):
        return None
    text, digits, shape, joints, start = document.text, chunk.digits, chunk.shape, chunk.joints, chunk.start
    code = None
    if len(digits) > 11:
        code = _COUNTRY.match(digits)
        if not code or len(digits) - code.end() != 11:
            return None
        digits, shape, joints = digits[code.end() :], *_without(shape, joints, code.end())
        if not shape:
            return None
    is_assigned = ASSIGNED.fullmatch(digits) is not None
    if not is_assigned and not _PLAUSIBLE.fullmatch(digits):
        return None
    is_usual = (shape in _SHAPES or max(shape) == 1) and ("." not in joints or shape == (3, 4, 4))
    if any(joint in ("  ", "   ") for joint in joints) and (not is_usual or len(set(joints)) > 1):
        return None  # columns of a table
    before = chunk.before
    if code:
        plus = _PLUS_LEFT.search(text, max(0, start - 3), start)
        start = plus.start() if plus else start
    else:
        prefix = _CODE_BEFORE.search(text, max(0, start - 12), start)
        if prefix:
            start, before = prefix.start(), None
            code = prefix
        elif _FOREIGN_BEFORE.search(text, max(0, start - 12), start):
            return None
        else:
            dialled = _DIALLED_BEFORE.search(text, max(0, start - 12), start)
            # "0049 151 52622212"; but "0049 13812345678" is line 49 of a list, unless somebody says phone.
            if dialled and (shape != (11,) or _is_phone(document, dialled.start(), chunk.end)):
                return None
    if text[start : start + 1] in ("(", "（") and not re.search("[)）]", text[start : chunk.end]):
        start += 1
    if before in (".", "-") or chunk.after == "." or not _side_by_side(chunk, shape, joints, bool(code)):
        return None
    if not _stands_alone(text, start, chunk.end, bool(code)):
        return None
    if not _is_phone(document, start, chunk.end) and (
        _ID_LEFT.search(text, max(0, start - 24), start)
        or _COUNT_LEFT.search(text, max(0, start - 80), start)
        or _is_id_column(document, start, chunk.end)
    ):
        return None
    is_certain = (code and text[start] in "+(") or _SHARED_LEFT.search(text, max(0, start - 16), start)
    if not is_certain and document.is_denied(start, chunk.end, _DENIED):
        return None
    called = None
    if chunk.has_break or not is_usual or not is_assigned or (document.policy == "precision" and not code):
        # Broken anywhere, by a scanner or the end of a line: the digits alone do not make it a number.
        called = document.is_called(start, chunk.end, frozenset(("phone", "phoneish"))) or any(
            label.kind == "number" and label.bound for label in document.context.left(start)
        )
        if not called:
            return None
    evidence = (
        "pattern" + ("+prefix" if is_assigned else "") + ("+country" if code else "") + ("+context" if called else "")
    )
    return Span(start, chunk.end, "CN_MOBILE", 0.8, f"cn_mobile:{evidence}")


def _is_phone(document: Document, start: int, end: int) -> bool:
    label = document.label(start, end)
    return label is not None and label.kind == "phone" and label.bound


def _is_id_column(document: Document, start: int, end: int) -> bool:
    label = document.label(start, end)
    return label is not None and label.where == "column" and label.word.lower() in _IDS


_IDS = frozenset(("id", "uid", "user id", "userid", "member id", "account id", "customer id", "member no", "会员号"))


def _without(shape: tuple[int, ...], joints: tuple[str, ...], taken: int) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Shape and joints after the first `taken` digits are gone."""
    while shape and taken >= shape[0]:
        taken -= shape[0]
        shape, joints = shape[1:], joints[1:]
    if taken and shape:
        shape = (shape[0] - taken, *shape[1:])
    return shape, joints


def _side_by_side(chunk: Chunk, shape: tuple[int, ...], joints: tuple[str, ...], coded: bool) -> bool:
    """May this stand next to other numbers of its run? A dash to a short number is an extension, not a longer run."""
    if chunk.after == "-":
        return chunk.length_after <= 4 and "-" not in joints
    if max(shape) == 1 and len(shape) > 1:
        return chunk.is_whole or coded
    if len(shape) > 1 and chunk.after == joints[-1] and chunk.length_after == shape[-1]:
        return False
    return not (len(shape) > 1 and not coded and chunk.before == joints[0] and chunk.length_before == shape[0])


def _stands_alone(text: str, start: int, end: int, coded: bool) -> bool:
    """No letters or digits glued on, except a word that is no code: `tel138...`, `138...hhh`; no arithmetic around."""
    left, right = text[max(0, start - 1) : start], text[end : end + 1]
    if left == "+" and not coded:
        return False
    if left.isascii() and left.isalnum() and not _GLUED_LEFT.search(text, max(0, start - 10), start):
        return False
    if right.isascii() and right.isalnum() and not _WORD_RIGHT.match(text, end):
        return False
    if _SIZE_LEFT.search(text, max(0, start - 64), start):
        return False
    if _PART_LEFT.search(text, max(0, start - 6), start) or _SUM_LEFT.search(text, max(0, start - 4), start):
        return False
    return _SUM_RIGHT.match(text, end) is None
