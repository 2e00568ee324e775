"""Addresses of machines: IPv4 and IPv6.

Four numbers with dots are an address, a version, an object identifier or a section of a contract; the shape cannot
say which. What stands around it can: `Chrome/114.0.5735.90`, `v1.2.3.4`, `foo-1.2.3.4.tar.gz` and `section 4.2.1.3`
are no addresses, and four small numbers need a word or a port that makes them one. IPv6 is checked with `ipaddress`,
after which slices (`a[1::2]`), scopes (`std::vector`), MACs and clocks remain to be told apart.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator

from dslab.privacy.context import Label
from dslab.privacy.recognizers.base import Document, walk_left
from dslab.privacy.spans import Span

_V4 = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}")
_V6 = re.compile(r":[0-9A-Fa-f]{0,4}:")
_V6_SIGNS = frozenset("0123456789abcdefABCDEF:.")
_V6_RUN = re.compile(r"[0-9A-Fa-f:.]+")
# What a version, an identifier or a longer number has on its left.
_JOINED = re.compile(
    r"(?:[0-9A-Za-z]|[0-9A-Za-z]\.|[A-Za-z0-9)]-|(?<![0-9])\.|[=~<>^!]=|[<>~^]= |[~^]|~> ?|< |[≤≥] ?"
    r"|@|§ ?|[A-Za-z0-9]_)\Z"
)
_IP_WORD = r"(?:ip|ipv[46]|host|addr|address|server|src|dst|peer|node|gateway|dns|endpoint|inet6?)"
_NAMED = re.compile(rf"(?<![a-z]){_IP_WORD}[-_.@ ]?\Z|[0-9]{{1,3}}(?:\.[0-9]{{1,3}}){{3}}-\Z", re.IGNORECASE)
_PRODUCT = re.compile(r"[A-Za-z][A-Za-z0-9+._\-]*/\Z")
_URL = re.compile(r"(?:[a-z]+:)?//(?:[^\s/@]{1,64}@)?\Z")
_LOGIN = re.compile(
    r"(?<![0-9A-Za-z])(?:root|admin|ubuntu|deploy|ec2-user|centos|user|pi|git)@\Z|(?:ssh|scp|sftp|rsync|mosh|ftp)\b[^\n]{0,40}@\Z"
)
_FILE = re.compile(
    r"\.(?:tar|t?gz|zip|whl|jar|exe|deb|rpm|dmg|msi|apk|so|dll|pkg|x\b|\*|[A-Za-z]{2,4}[0-9]?\b)|-(?:[A-Za-z]|[0-9])|_[A-Za-z0-9]|\+[0-9A-Za-z]|\.[0-9]"
)
_RANGE = re.compile(r"-[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|-[0-9]{1,3}(?![0-9.\-])")
# A port, a prefix length, or what an access log writes next.
_PORT = re.compile(
    r":[0-9]{1,5}(?![0-9])|/[0-9]{1,2}(?![0-9./])|\.in-addr| - (?:-|\S{1,40} \[)"
    r"|(?: \"?|,\"?)(?:GET|POST|PUT|HEAD)\b| \[[0-9]"
)
_VERSION_LEFT = re.compile(r"(?<![0-9A-Za-z])(?:v|ver|rev)[ .:=]{0,2}\Z", re.IGNORECASE)
# Names of software that are followed by a version as often as not by the word; 微信 and QQ are labels of other things.
_PRODUCT_LEFT = re.compile(
    r"(?<![A-Za-z])(?:oracle|weblogic|websphere|tomcat|apache|mysql|mariadb|postgres(?:ql)?|mongodb|redis|kafka|spark|hadoop"
    r"|elasticsearch|rails|django|flask|spring|struts|log4j|openssl|glibc|gcc|node(?:js)?|python|java|jdk|jre|php|ruby|golang"
    r"|windows|android|ios|macos|ubuntu|debian|centos|chrome|chromium|firefox|safari|edge|opera|webkit|flash|acrobat|reader|okhttp|foxmail"
    r"|office|word|excel|photoshop|wps|zoom|teams|skype|slack|discord|steam|wechat|virtualbox|vmware|docker|kubernetes|jenkins"
    r"|gitlab|sap|studio|itunes|outlook|nginx|net framework|sdk|app|微信|qq|钉钉|支付宝|淘宝|抖音|微博|浏览器"
    r"|客户端版|安卓|内核|控件|插件|卫士|输入法|网盘|播放器|词典|音乐|视频|会议|助手|管家|杀毒|软件|飞书|迅雷|向日葵|火绒|大师"
    r"|下载器|压缩|看图|办公|地图|游戏|桌面|驱动|固件|版)"
    r"[ _]?[(（]?v?\Z",
    re.IGNORECASE,
)
# A name with a capital: "Foxmail 9.9.15.148", "Intel ME (12.0.85.101)".
_CAPITAL_LEFT = re.compile(
    r"(?<![0-9A-Za-z.@\-])(?:[A-Z][A-Za-z0-9]{1,20}|7-[Zz]ip)[+]{0,2}(?:[ _]|(?P<bracket> ?[(（]))\Z"
)
_LOCK_LEFT = re.compile(r"(?:\A|\n) {2,8}[a-z][\w\-]{0,40} \((?:[~<>=!]{1,2} )?\Z")
_COORDINATES = re.compile(r"[\"'][\w.\-]{2,60}:[\w.\-]{2,40}:\Z")
_UPGRADE_LEFT = re.compile(
    r"(?:(?:up|down)grad|migrat|bump|roll)[a-z]{0,4} (?:[a-z\-]{1,20} )?(?:back )?(?:from|to) v?\Z"
    r"|(?<![a-z])prior to v?\Z|(?:升级|回滚|降级)[到至]? ?\Z",
    re.IGNORECASE,
)
# What stands between the members of a pair: "from 1.2.3.4 to 1.2.3.5".
_PAIR = re.compile(r" ?(?:->|=>|→|-|–|~|to|至|到|升级到|升级至|更新到|更新至|、|and|or|和|或|/) ?v?", re.IGNORECASE)
_NAME_LEFT = re.compile(r"(?<![0-9A-Za-z])[A-Za-z][A-Za-z.+_]{1,20}[ (]\Z")
_TITLE = re.compile(r"\s*#{1,6}\s*\[?v?")
_NOT_AFTER = re.compile(
    r"[ \t]{0,2}(?:[(（\-—]? ?(?:19|20)[0-9]{2}[\-./年]"
    r"|or (?:later|newer|higher|above|earlier|older)|and (?:later|above|newer)"
    r"|版|及以上|以上|或更高|之前的版本|节|章|条|\((?:[0-9a-f]{7,40}|build|release|amd64|x64|x86)"
    r"|above|below|released|release|build|update|patch|firmware|已发布|发布|升级|及以下"
    r"|(?:所示|所述|所列)|\[[a-z]{2}\]|is already installed"
    r"|[:：\-–—] ?(?:fix|bug|initial|first|improv|minor|修复|新增|优化|改进|解决|首个|首次)"
    r"|(?:first|initial|final|stable|beta|alpha|public) (?:release|version)"
    r"|(?:CHS|ENU|x64|x86|beta|alpha|rc[0-9]?|stable|lts|sp[0-9])(?![A-Za-z]))",
    re.IGNORECASE,
)
# Said of software, and now and then of a machine.
_SOFT_AFTER = re.compile(
    r"[ \t]{0,2}(?:绿色|官方|破解|中文|正式|汉化|下载|安装|以下|之前|for (?:Windows|Mac|Linux|Android|iOS|x64|x86)"
    r"|installed(?! on)|on your (?:computer|device|phone)|listening"
    r"|\|? ?(?:MIT|Apache-?2|BSD|L?GPL|ISC|MPL)(?![A-Za-z]))",
    re.IGNORECASE,
)
_FIGURE_LEFT = re.compile(r"(?:如|见|参照?|[详参]见|按照?|依|第|\A|[\n（(，。])(?:图|表|附[图表录]|公?式|节|章|条) ?\Z")
_HOSTS = re.compile(r"[ \t]{1,12}[a-z][a-z0-9\-]*(?:\.[a-z0-9\-]+)+(?:[ \t\r\n]|\Z)")
# Beginnings of object identifiers: attributes and extensions of certificates, SNMP, algorithms of ISO members.
_ARCS = frozenset(((2, 5, 4), (2, 5, 29), (1, 3, 6), (1, 2, 840), (1, 2, 156)))
_HEADING = re.compile(r"[ \t]{1,3}[A-Za-z一-鿿《(（]|[ \t]*[\n,|\t]|[ \t]*\Z|[、，。；]")
_IP = frozenset(("ip",))
_SOFTWARE = frozenset(("software", "version"))
_NOT_IP = frozenset(("version", "goods", "time", "money"))
_PRIVATE = ((10,), (127,), (192, 168), (169, 254), *((172, second) for second in range(16, 32)))
_FAMOUS = frozenset(("8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "0.0.0.0"))


def find(document: Document) -> Iterable[Span]:
    """IP."""
    may_be = document.signs.has_digit or b":" in document.signs.rest  # the digits of face:cafe::beef are letters
    return _all(document) if may_be and "IP" in document.types else ()


def _all(document: Document) -> Iterator[Span]:
    text, taken = document.text, 0
    for match in _V6.finditer(text):
        if match.start() >= taken:
            span, taken = _v6(document, match.start())
            if span:
                taken = max(taken, span.end)
                yield span
    end, is_address = -100, True
    for groups in document.spots.runs:
        if len(groups) < 4:
            continue
        for match in _V4.finditer(text, groups[0][0], groups[-1][1]):
            # The second of a pair is what the first was, whatever the shape of either.
            if match.start() - end > 12 or not _PAIR.fullmatch(text, end, match.start()):
                is_address = _is_v4(document, match.start(), match.end())
            end = match.end()
            if is_address:
                yield Span(match.start(), end, "IP", 0.9, "ip:pattern+context")


def _is_v4(document: Document, start: int, end: int) -> bool:
    text = document.text
    octets = [int(part) for part in text[start:end].split(".")]
    if octets[0] == 0 and max(octets) > 0:
        return False  # 0.0.0.0/8 is "this network"; 0.13.1.184 is a version
    if max(octets) > 255 or (text[start - 1 : start] in ("%", ".") and start) or text[end : end + 1].isdigit():
        return False
    right = text[end : end + 40]
    if (right[:1].isascii() and right[:1].isalpha()) or (
        _FILE.match(right) and not _RANGE.match(right) and not _PORT.match(right)
    ):
        return False
    left = text[max(0, start - 40) : start]
    if _NAMED.search(left) or _URL.search(left):
        return True
    if _JOINED.search(left):
        return _LOGIN.search(left) is not None
    if left.endswith("/") and _PRODUCT.search(left):
        # Java writes host/address; a product starts with a capital, or has no port and no private address.
        name = _PRODUCT.search(left)
        if (name and name[0][0].isupper()) or not (_PORT.match(right) or _is_private(octets)):
            return False
    line = left.rpartition("\n")[2]
    column = document.context.column(start)
    if column and column.kind == "ip":
        return True
    if (
        _NOT_AFTER.match(right)
        or (max(octets) <= 40 and _FIGURE_LEFT.search(left))
        or _VERSION_LEFT.search(left)
        or _TITLE.fullmatch(line)
        or _UPGRADE_LEFT.search(left)
    ):
        return False
    # Versions begin with small numbers, and with those of browsers.
    is_high = octets[0] >= 160 or (_is_private(octets) and max(octets) > 40)
    if not is_high and (_PRODUCT_LEFT.search(left) or _LOCK_LEFT.search(left) or _COORDINATES.search(left)):
        return False
    labels = [label for label in document.context.left(start) if label.where == "left"]
    bound = next((label for label in labels if label.bound and (label.kind == "ip" or label.kind in _NOT_IP)), None)
    if bound and bound.kind in _NOT_IP and not (is_high and _PRODUCT_LEFT.search(left)):
        return False
    is_named = max(octets) < 100 and _NAME_LEFT.search(left) is not None
    label = next((label for label in labels if label.kind in ("ip", "ipish", "software", *_NOT_IP)), None)
    if _PORT.match(right) or (label and label.kind == "ip" and (label.bound or (label.gap <= 24 and not is_named))):
        return True
    if column and column.kind != "number":
        return column.kind not in _NOT_IP and column.kind != "software" and max(octets) > 40
    if document.policy == "precision":
        return False
    if not (is_high and _is_private(octets)) and _is_software(octets, label, left, right):
        return False
    if label and label.kind == "ipish" and label.bound and (max(octets) > 20 or _is_private(octets)):
        return True
    # No word helps. Four small numbers are a version or a section; so are any at the start of a line before a title.
    at_line_start = line.strip(" \t#*>-(（[【") == ""
    if at_line_start and _is_private(octets) and _HOSTS.match(right):
        return True
    if tuple(octets[:3]) in _ARCS:
        return False
    if at_line_start and ((max(octets) <= 40 and _HEADING.match(right)) or line.endswith(("【", "["))):
        return False
    if is_named:
        return False  # "ffmpeg 14.4.30.48": a name and its version
    return max(octets) > 40 or text[start:end] in _FAMOUS or _is_private(octets)


def _is_software(octets: list[int], label: Label | None, left: str, right: str) -> bool:
    """Do the words around speak of a program: installed, requires, for Windows; or does a name stand before?"""
    if label and label.kind in _SOFTWARE and label.gap <= 32:
        return True
    if _SOFT_AFTER.match(right):
        return label is None or label.kind != "ipish" or not label.bound
    name = _CAPITAL_LEFT.search(left)
    if name is None or (label and label.bound) or (name["bracket"] and right[:1] not in (")", "）")):
        return False
    return octets[0] <= 30 or (70 <= octets[0] < 150 and octets[1] == 0)


def _is_private(octets: list[int]) -> bool:
    return any(tuple(octets[: len(head)]) == head for head in _PRIVATE)


def _v6(document: Document, inside: int) -> tuple[Span | None, int]:
    """The address around a position, if the whole run of digits and colons is one; and where the run ends."""
    text = document.text
    run = _V6_RUN.match(text, walk_left(text, inside, _V6_SIGNS, 60))
    if not run:
        return None, inside + 1
    begin, stop = run.span()
    if stop - begin > 60:
        return None, stop
    before = text[begin - 1 : begin] if begin else ""
    if before.isascii() and (before.isalnum() or before == "_") and before and text[begin] != ":":
        if not _NAMED.search(text, max(0, begin - 12), begin):
            # The run starts inside a word ("add" of "addr:" does not, "face" of "surface" does): go on after it.
            begin = text.find(":", begin, stop)
    elif before in ("-", "/", "@") and text[begin] != ":":
        pass
    if text[begin] == ":" and text[begin : begin + 2] != "::":
        begin += 1
    elif text[begin : begin + 2] == "::" and before and (before.isalnum() or before in "_>)]") and before.isascii():
        in_tag = before == ">" and text.startswith("</", stop) and any(map(str.isdigit, text[begin:stop]))
        if not in_tag and not _NAMED.search(text, max(0, begin - 12), begin):
            return None, stop  # std::vector
    elif text[begin : begin + 3] == ":::":
        begin += 1
    value = text[begin:stop].rstrip(".")
    if value.endswith(":") and not value.endswith("::"):
        value = value[:-1]
    candidates = [value]
    head, _, tail = value.rpartition(":")
    if tail.isdigit() and (head.count(":") == 7 or "." in head.rpartition(":")[2]):
        candidates.append(head)  # a port without brackets
    head, _, tail = value.partition(":")
    if not any(c.isdigit() for c in head) and not tail.startswith(":"):
        candidates.append(tail)  # a word of hexadecimal letters: "face:2001:db8::1"
    for candidate in candidates:
        at = begin + value.find(candidate)
        end = at + len(candidate)
        after = text[end : end + 1]
        if after.isascii() and (after.isalnum() or after == "_") and after:
            continue
        if _parses(candidate) and _is_address(document, candidate, at):
            return Span(at, end, "IP", 0.92, "ip:pattern+parse"), stop
    return None, stop


def _parses(value: str) -> bool:
    try:
        ipaddress.IPv6Address(value)
    except ValueError:
        return False
    return True


def _is_address(document: Document, value: str, start: int) -> bool:
    """Is what parses as an address meant as one: no slice, no scope, no row of octets, no clock?"""
    groups = [group for group in value.split(":") if group]
    if not groups or (not any(c.isdigit() for c in value) and not (len(groups) > 2 and max(map(len, groups)) == 4)):
        return False
    if "::" not in value and all(len(group) <= 2 for group in groups):
        return False
    if max(len(group) for group in groups) >= 3:
        return True
    text = document.text
    before, after = text[max(0, start - 3) : start], text[start + len(value) : start + len(value) + 3]
    if before.endswith("//[") or (before.endswith("[") and after.startswith("]:") and after[2:].isdigit()):
        return True
    if (before.endswith("[") and before[:-1][-1:].isalnum()) or after.startswith("]") or before.endswith("["):
        return False
    label = document.context.nearest(start, ("ip", "ipish"))
    return value == "::1" or (label is not None and label.kind == "ip" and (label.bound or label.gap <= 24))
