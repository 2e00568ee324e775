"""What does the writer call it? The nearest label decides.

`订单号 4111111111111111` and `card 4111111111111111` differ in nothing but the word before. A window full of good words is
not enough: in "my phone is off, order 13800138000" the word that counts is *order*. So the label of a value is the last
known word before it, in its own cell or line; then the word right behind it; then the header of its table column.

    left     "Tel.: 212-555-0142"        the last label in the 48 characters before, a line break at most between
    right    "212-555-0142 (fax)"        only if nothing stands to the left
    column   | name | phone |            Markdown, CSV or TSV: the cell of the first row, in the value's own column
"""

from __future__ import annotations

import re

from dslab.privacy.tables import Tables

# One family of words a line. ASCII words must not continue a word ("hotel" holds no "tel"); Chinese ones may stand anywhere.
_ASCII = {
    "phone": r"phones?|telephone|tel|mobile|mobil|cell|cellphone|fax|call(?:s|ed|ing)?|dial|ring|whats ?app|sms|text(?: me| us)?|"
    r"contacts?|landline|mob|ph|msisdn|answering machine|desk|office|reach(?: me| us| him| her)?|rufnummer|telefoon|telefono|"
    r"telefon|telefone|teléfono|téléphone|tél|handy|celular|móvil|voicemail|pager|extension|viber|cellular|phoned?|vx|wx",
    "card": r"cards?|credit|debit|visa|master ?card|amex|american express|union ?pay|maestro|diners|discover|jcb|cc|pan|"
    r"bank account|acct|account|pay(?:ment)?|paid|charged?|ccn?um|mir",
    "cn_id": r"id ?card|resident id|national id|identity(?: card| number| no)?|id number|sfz|sfzh|id ?no|citizen id|idcard",
    "ssn": r"ssn|socials?|social security|ss ?n(?:umber|o)|itin|taxpayer|soc ?sec",
    "passport": r"passports?|travel document|pass ?no|passeport|reisepass|pasaporte",
    "plate": r"plates?|licen[sc]e plate|vehicle|car|license|registration|reg ?no|number plate",
    "iban": r"iban",
    "uscc": r"uscc|credit code|social credit|tax id|taxpayer id|company code|business license",
    "ip": r"ip|ips|ipv[46]|hosts?|server|addr|address|dns|gateway|ping|client|remote|subnet|proxy|peer|src|dst|source|"
    r"from|to|listen(?:ing)?|bind|endpoint|nameserver|ssh|login|upstream|inet6?|route|via|nodes?|vpn|firewall|router|"
    r"whois|traceroute|connect(?:ed|ing|ion)?|cidr|netmask|x forwarded for|telnet|curl|ban(?:ned)?|block(?:ed)?|visitor",
    "order": r"orders?|track(?:ing)?|waybill|invoices?|receipt|parcel|shipments?|transactions?|txn|trace|booking|ticket|po|awb|"
    r"confirmation|consignment|fedex|usps|ups|dhl|package|delivery|request|batch|lot|job|case|rma",
    "goods": r"isbn|issn|ean|upc|barcode|gtin|asin|sku|part|parts|pn|model|serial|sn|item|product|catalog(?:ue)?|article|ndc",
    "device": r"imei|imsi|iccid|meid|mac|device|udid|eid|vin|chassis|esn",
    "key": r"id|uid|uuid|guid|ref|reference|code|seq|index|row|pid|thread|hash|commit|md5|sha(?:1|256)?|digest|checksum|"
    r"build|nonce|snowflake|offset|record|entry|doi|pmid|patent",
    "time": r"timestamp|ts|time|epoch|date|datetime|unix|ms|created|updated|expires?|expiry|exp|issued|dob|birth",
    "money": r"price|amount|total|sum|usd|eur|rmb|cny|balance|population|views|count|bytes|size",
    "version": r"versions?|ver|release|firmware|oid|sections?|chapter|clause|upgrade(?:d)?|chrome|driver|changelog|sec|"
    r"assemblyversion|fileversion|productversion|kernel|dll|sdk|snmp|figure|table|appendix|paragraph|v",
    "qq": r"qq",
    "number": r"number|no|num|nr|nummer",
}  # fmt: skip
_CHINESE = {
    "phone": "电话|手机|手機|電話|联系方式|联系人|联系|聯絡|座机|固话|传真|致电|拨打|来电|通话|短信|呼叫|回电|联络|微信|热线|号码是|本机|携帯|전화|연락처",
    "card": "卡号|银行卡|信用卡|储蓄卡|借记卡|账号|帐号|账户|打款|付款|转账|收款|汇款|银联|刷卡|贷记卡|开户|扣款|还款|卡片|卡",
    "cn_id": "身份证|证件号|公民身份|身份号|居民证|证件",
    "ssn": "社会安全号|社安号|社会安全|社会保障号|社会保险号",
    "passport": "护照|護照|通行证|旅行证|回乡证|台胞证",
    "plate": "车牌|号牌|牌照|车辆|轿车|货车|车号|车主|停车|挂牌",
    "iban": "国际账号|国际银行账号",
    "uscc": "信用代码|纳税人|税号|机构代码|营业执照|统一社会",
    "ip": "服务器|地址|主机|网关|来源|来自|访问|代理|节点|登录|域名|解析|封禁|请求|网段|客户端|连接|内网|公网|出口",
    "order": "订单|運單|运单|单号|单据|流水|快递|物流|包裹|交易|回单|票号|凭证|受理|工单|批次|批号|合同|发票|邮件号|取件码",
    "goods": "条码|条形码|书号|货号|型号|零件|料号|序列号|产品|商品|图号|件号|规格|编码",
    "device": "设备号|串号|设备|机器码|车架号|发动机号",
    "key": "编号|工号|学号|编码|代码|哈希|提交|索引|学籍号|会员号|主键",
    "time": "时间戳|时间|日期|生日|有效期|签发|到期",
    "money": "金额|价格|总计|合计|余额|浏览量|人口|字节|数量",
    "version": "版本|章节|固件|升级|驱动|第|见|章|节|更新到",
    "qq": "QQ群|群号|群|扣扣",
    "number": "号码|号",
}
_KINDS = list(_ASCII)
LABEL = re.compile(
    "|".join(f"(?P<{k}>(?<![a-z0-9])(?:{_ASCII[k]})(?![a-z])|{_CHINESE.get(k, _ASCII[k])})" for k in _KINDS),
    re.IGNORECASE,
)
_CAMEL = re.compile("(?<=[a-z0-9])(?=[A-Z])|_")
_FILLER = re.compile(
    r"(?:[^\w一-鿿]|_|号码?|为|是|：|(?<![a-z])(?:number|numbers|no|num|nr|is|was|are|at|on|id|the|my|his|her|us|me|value|str|string|in|to|of|and|or|code|here)(?![a-z]))*",
    re.IGNORECASE,
)
NEGATIVE = frozenset(("order", "goods", "device", "time", "money", "version", "qq"))


class Label:
    """A word that names a value. `kind`: its family; `gap`: characters between word and value; `bound`: nothing but
    punctuation and filler words stands between; `where`: left, right or column."""

    __slots__ = ("bound", "gap", "kind", "where", "word")

    def __init__(self, kind: str, word: str, gap: int, bound: bool, where: str) -> None:
        self.kind, self.word, self.gap, self.bound, self.where = kind, word, gap, bound, where

    def __repr__(self) -> str:
        return f"Label({self.kind}, {self.word!r}, gap={self.gap}, bound={self.bound}, {self.where})"


def labels_in(window: str) -> tuple[list[tuple[str, str, int, int]], str]:
    """(kind, word, start, end) of every label in a short text, and that text with camelCase and snake_case split."""
    spaced = _CAMEL.sub(" ", window)
    return [(m.lastgroup or "", m[0], m.start(), m.end()) for m in LABEL.finditer(spaced)], spaced


class Context:
    """The labels around positions of one text. Tables are read once, when the first value asks."""

    def __init__(self, text: str, window: int = 48) -> None:
        self.text = text
        self.window = window
        self._tables: Tables | None = None

    def left(self, start: int) -> list[Label]:
        """Labels before a position, nearest first."""
        begin = max(0, start - self.window)
        window = self.text[begin:start]
        if begin and window[:1].isalnum() and window.isascii():
            # Do not read half a word.
            cut = re.match(r"\w+", window)
            window = window[cut.end() :] if cut and cut.end() < len(window) else window
        found, spaced = labels_in(window)
        labels = []
        for kind, word, _, end in reversed(found):
            between = spaced[end:]
            if between.count("\n") > 1:
                break
            filler = _FILLER.fullmatch(between)
            labels.append(Label(kind, word, len(between), filler is not None, "left"))
        return labels

    def right(self, end: int) -> list[Label]:
        """Labels behind a position in the same line, nearest first."""
        window = self.text[end : end + 20].split("\n", 1)[0]
        found, spaced = labels_in(window)
        return [
            Label(kind, word, start, _FILLER.fullmatch(spaced[:start]) is not None, "right")
            for kind, word, start, _ in found
        ]

    def column(self, start: int) -> Label | None:
        """The label in the header of the table column that holds a position, if it stands in a table."""
        if self._tables is None:
            self._tables = Tables(self.text)
        header = self._tables.header(start)
        if header is None:
            return None
        found, _ = labels_in(header)
        named = [f for f in found if f[0] != "number"] or list(found)
        return Label(named[-1][0], named[-1][1], 0, True, "column") if named else None
