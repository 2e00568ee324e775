"""What stands in columns and on scans: tables with their header far above, forms, OCR, HTML. Marks: second.py."""

from __future__ import annotations

from dslab.privacy.synthetic.second_filler import split

# Columns of a table: the heading, and the cell. A row is drawn again and again under one heading.
SHEETS: tuple[tuple[tuple[str, str], ...], ...] = (
    (
        ("工号", "«~int»"),
        ("姓名", "«~zh_name»"),
        ("身份证号码", "«cn_id!»"),
        ("手机", "«cn_mobile!»"),
        ("入职日期", "«-date»"),
    ),
    (
        ("单位名称", "«~company»"),
        ("统一社会信用代码", "«uscc!»"),
        ("联系电话", "«landline»"),
        ("电子邮箱", "«email!»"),
    ),
    (
        ("旅客", "«~zh_name»"),
        ("护照号", "«passport!»"),
        ("订座编号", "«-uuid»"),
        ("手机号", "«cn_mobile»"),
    ),
    (
        ("车牌号", "«cn_plate»"),
        ("车架号", "«-vehicle_number»"),
        ("进场", "«~date» «~time»"),
        ("费用", "«~int»元"),
    ),
    (
        ("货号", "«-part_number»"),
        ("条码", "«-barcode»"),
        ("快递单号", "«-tracking_number»"),
        ("下单时间", "«-timestamp»"),
    ),
    (
        ("patient", "«~en_name»"),
        ("ssn", "«us_ssn!»"),
        ("phone", "«phone_national»"),
        ("email", "«email!»"),
        ("visit", "«-uuid»"),
    ),
    (
        ("payee", "«~en_name»"),
        ("iban", "«iban!»"),
        ("card", "«card!»"),
        ("ref", "«-order_number»"),
    ),
    (
        ("host", "«~word»"),
        ("ip", "«ipv4!»"),
        ("mac", "«-mac»"),
        ("firmware", "«-version4»"),
        ("digest", "«-digest»"),
    ),
    (
        ("student", "«~en_name»"),
        ("passport_no", "«passport!»"),
        ("isbn", "«-isbn»"),
        ("score", "«~int»"),
    ),
    (
        ("clause", "«-section_number»"),
        ("title", "«~en»"),
        ("revision", "«-semver»"),
        ("file", "«-retina_file»"),
    ),
    (
        ("收款人", "«~zh_name»"),
        ("银行卡号", "«card!»"),
        ("交易流水", "«-bank_transaction»"),
        ("金额", "«~int».00"),
    ),
    (("name", "«~en_name»"), ("ipv6", "«ipv6!»"), ("asn", "AS«~int»"), ("oid", "«-object_identifier»")),
)

SCANS = split(
    """\
中 华 人 民 共 和 国
居 民 身 份 证
姓 名 «~zh_name»
住 址 «~city»市某路«~int»号
公民身份号码 «cn_id^»
----
营业执照（副本）
统一社会信用代码  «uscc^»
名 称  «~company»
成立日期  «-date»
注册资本  «-money»
----
储 蓄 卡
«~zh_name»
卡号：«card^»
客服电话 «-hotline»
----
ACCOUNT STATEMENT   page «~int»
IBAN «iban^»
Reference «-bank_transaction»
Balance  «-money»
----
会 议 通 知
联系人：«~zh_name»
手机：«cn_mobile^»
电 话：«landline»
----
APPLICATION FORM
Surname  «~en_name»
Social Security Number  «us_ssn!»
Passport No.  «passport!»
Telephone  «phone_e164»
"""
)

PAGES = (
    (
        '<div class="contact"><span>手机：</span><b>«cn_mobile!»</b><a href="mailto:«email!»">写信</a><img '
        'src="«-retina_file»"></div><!-- v«-version4» -->'
    ),
    (
        '<li>Tel: <a href="tel:«phone_e164!»">call us</a></li><li>Version «-version4»</li><li '
        'style="color:«-hex_colour»">«email!»</li>'
    ),
    "<td>证件号</td><td>«cn_id!»</td><td>银行卡</td><td>«card»</td><td>订单</td><td>«-order_number»</td>",
    '<p>Server&nbsp;«ipv4!»&nbsp;(ether «-mac»)</p><script src="/x.«-digest».js"></script>',
    '<footer>«~company» 信用代码«uscc!» 客服«-hotline» <a href="mailto:«email!»?subject=hi">邮箱</a></footer>',
)
# Of a row: before the first cell, between cells, after the last one.
STYLES = (
    ("", ",", "\n"),
    ("", "\t", "\n"),
    ('"', '","', '"\n'),
    ("| ", " | ", " |\n"),
    ("<tr><td>", "</td><td>", "</td></tr>\n"),
)
