"""Each type as a table: what must be found, marked ⟦so⟧, and its near misses, in which nothing may be.

Values are made up, or published as examples (GB 11643, ISO 13616, the card networks' test numbers).
"""

from __future__ import annotations

import pytest

from dslab.privacy.detector import Detector

DETECTOR = Detector()

FOUND = {
    "CN_ID": """
        身份证⟦11010519491231002X⟧，已核验
        身份证号：⟦11010519491231002x⟧
        ⟦110105 19491231 002X⟧
        ⟦440305 1990 0307 1236⟧
        证件号⟦440305-19900307-1236⟧。
        ⟦4 4 0 3 0 5 1 9 9 0 0 3 0 7 1 2 3 6⟧
        身份证⟦１１０１０５１９４９１２３１００２Ｘ⟧
        身份证号\\n⟦440305\\n199003071236⟧
        ⟦440305199003071236⟧、⟦310115200102284518⟧/⟦510107198811110032⟧
        id=⟦440305199003071236⟧&x=1
        {"idcard":"⟦440305199003071236⟧"}
        王芳⟦440305199003071236⟧女
        sfz⟦440305199003071236⟧
    """,
    "CN_MOBILE": """
        手机⟦13800138000⟧
        call me at ⟦138-0013-8000⟧ or ⟦139 0013 8001⟧.
        电话：⟦+86 138 0013 8000⟧，⟦0086-13900138001⟧；⟦86-138-0013-8000⟧
        (⟦138 0013 8000⟧)
        ⟦(+86) 138 0013 8000⟧
        ⟦+8613800138000⟧
        联系 ⟦138.0013.8000⟧
        哈⟦18041260958⟧hhh
        ⟦138 11022794⟧
        ⟦138 001 38000⟧
        手机⟦1 3 8 0 0 1 3 8 0 0 0⟧
        ⟦１３８００１３８０００⟧
        tel=⟦%2B8613800138000⟧&from=app
        13800138000@qq.com is mail, ⟦13800138000⟧ is not
        手机/身份证：⟦13800138000⟧/11010519491231002X
        tel⟦13800138000⟧
        张三⟦13800138000⟧李四⟦13900138001⟧
        {"text": "call\\\\n⟦13800138000⟧\\\\n"}
        ⟦138\u200b0013\u200b8000⟧
        手机：⟦16212345678⟧ ⟦17012345678⟧ ⟦19212345678⟧
        加V：⟦180-6307-4623⟧
        「⟦16603454242⟧」这是
        user_⟦13800138000⟧
        ⟦13800138000⟧-8001
        | name | phone |\\n|---|---|\\n| 王芳 | ⟦13800138000⟧ |
    """,
    "CARD": """
        卡号⟦6222020001111222202⟧
        card ⟦4111 1111 1111 1111⟧ exp 08/29 cvv 123
        ⟦5555-5555-5555-4444⟧
        Amex ⟦3782 822463 10005⟧
        ⟦378282246310005⟧
        Diners ⟦3056 930902 5904⟧
        ⟦6011111111111117⟧, ⟦3530111333300000⟧
        银行卡：⟦621700 1234567890122⟧
        ⟦6217 0012 3456 7890 122⟧
        ⟦４１１１１１１１１１１１１１１１⟧
        Maestro card ⟦630400000000⟧
        ⟦4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1⟧
        尾款付至 ⟦6217 0012 3456 7890 122⟧ 即可书号：978-1
        手机/身份证/卡号：13800138000/11010519491231002X/⟦6222020001111222202⟧
        card\\n⟦4111 1111\\n1111 1111⟧
        ⟦4111111111111111⟧⟦，⟧
    """.replace("⟦，⟧", "，"),
    "USCC": """
        统一社会信用代码⟦91110108MA01A2B3CF⟧
        ⟦91110108ma01a2b3cf⟧
        税号：⟦92440300MA5DQ6P7XP⟧，
        ⟦91310115568012345A⟧/⟦12330100470100281K⟧
        信用代码：⟦9111 0108 MA01 A2B3 CF⟧
        统一社会信用代码\\n⟦91110108MA01A2\\nB3CF⟧
        ⟦９１１１０１０８ＭＡ０１Ａ２Ｂ３ＣＦ⟧
    """,
    "EMAIL": """
        邮箱⟦abc@qq.com⟧即可
        ⟦12345@qq.com⟧
        contact <⟦ann.lee+news@mail.example.co.uk⟧>.
        mailto:⟦ann@example.com⟧?subject=hi
        Write to ⟦ann@example.com⟧. Thanks
        email=⟦ann%40example.com⟧&x=1
        ⟦ａｎｎ＠ｅｘａｍｐｌｅ．ｃｏｍ⟧
        'name': '⟦o'brien@example.com⟧'
        ⟦info@münchen.de⟧
        发给⟦wang@例子.中国⟧吧
        "⟦ann@example.com⟧","⟦bob@example.org⟧"
        ⟦ann@example.com⟧;⟦bob@example.org⟧
        ann@localhost, ⟦ann_b-c@sub-domain.example.io⟧!
        ⟦ann@example.com⟧:hunter2!
    """,
    "IP": """
        来源IP ⟦203.0.113.7⟧
        服务器⟦10.0.0.5⟧宕机
        http://⟦192.0.2.10⟧:8080/x
        ⟦192.168.1.1⟧/24
        from ⟦2001:db8::1⟧ port 22
        [⟦2001:db8::8:800:200c:417a⟧]:443
        addr:⟦2001:db8:0:0:1:0:0:1⟧
        ⟦::ffff:192.0.2.128⟧
        登录IP⟦183.1.255.208⟧，登录IP⟦240e:4a55:9bd5:a24a::1⟧
        ssh root@⟦10.0.0.5⟧
        inet6 ⟦fe80::1⟧/64
        ⟦203.0.113.115⟧ - - [12/Mar/2024:19:27:43 +0000] "GET / HTTP/1.1" 200
        hosts: ⟦10.1.2.3⟧-⟦10.1.2.9⟧
        localhost/⟦127.0.0.1⟧:9000
        ping ⟦8.8.8.8⟧
        ⟦１９２．１６８．１．１⟧
        host | ip\\n--- | ---\\nweb | ⟦4.3.2.1⟧
    """,
    "IBAN": """
        IBAN ⟦GB82 WEST 1234 5698 7654 32⟧
        ⟦DE89370400440532013000⟧
        iban: ⟦de89370400440532013000⟧,
        ⟦GB82 WEST 1234 5698 7654 32⟧ ⟦DE89 3704 0044 0532 0130 00⟧
        账号⟦DE89370400440532013000⟧请核对
        IBAN  ⟦DE893704  00440532013000⟧
        IBAN\\n⟦DE89 3704 0044\\n0532 0130 00⟧
    """,
    "US_SSN": """
        SSN ⟦078-05-1120⟧
        social security number: ⟦219 09 9999⟧
        ssn=⟦219099999⟧
        ⟦219-09-9999⟧
        SSN⟦219-09-9999⟧也要
        <input name="ssn" value="⟦219-09-9999⟧">
        SSN ⟦２１９－０９－９９９９⟧
        name,ssn\\nAnn,⟦219099999⟧
    """,
    "PHONE_INTL": """
        phone ⟦+44 20 7946 0958⟧
        ⟦+1 (212) 555-0142⟧
        Tel: ⟦(212) 555-0142⟧ ext. 12
        call ⟦+442079460958⟧ now
        电话：⟦010-65529988⟧
        电话⟦(010) 6552 9988⟧
        传真：⟦0755-26001234⟧-801
        phone: ⟦+49 30 12345678⟧, ⟦+33 6 12 34 56 78⟧
        海外电话 ⟦+852 5123 4567⟧
        Fax ⟦030 1234567⟧
        M: ⟦+81 90-1234-5678⟧
        name | phone\\n--- | ---\\nAnn | ⟦614 57 00 80⟧
        {"phone": "⟦0512-34567890⟧"}
        "port_number,phone_number\\n250,⟦614 57 00 80⟧"
        ⟦212-555-0142⟧ (fax)
        My number is ⟦212-555-0142⟧.
        +44 ⟦⟧
        tel=⟦%2B49%2015647%20469151⟧ HTTP
        ┌──┬──┐\\n│ 姓名 │ 电话 │\\n├──┼──┤\\n│ 王芳 │ ⟦0532 58199598⟧ │
        座机⟦６５５２９９８８⟧
    """.replace("        +44 ⟦⟧\n", ""),
    "CN_PLATE": """
        车牌⟦京A12345⟧
        ⟦沪B·F1234⟧停在路边
        ⟦粤BD12345⟧和⟦粤B12345F⟧
        (⟦川A 12345⟧)
        ⟦京A1234警⟧
        ⟦粤Z1234港⟧
        ⟦苏e12345⟧
        ⟦京Ａ１２３４５⟧
        车牌号：⟦湘AK4TGU⟧
        ⟦京AF12345⟧，⟦使014578⟧
    """,
    "PASSPORT": """
        护照号⟦E12345678⟧
        护照号码：⟦G12345678⟧，
        passport no: ⟦EA1234567⟧
        Passport number is ⟦533380006⟧.
        "passport": "⟦EC6799524⟧"
        passportNo=⟦E94165171⟧ checked
        护照｜⟦E40523276⟧
        │ 护照 │ 国籍 │\\n├──┼──┤\\n│ ⟦EF4373191⟧ │ 中国 │
        Passport\\n⟦89YD51983⟧\\nSSN
        通行证⟦H12345678⟧
        passport,name\\n⟦FKZZGPR02⟧,Ann
    """,
}

# Nothing may be found in these.
NOTHING = """
    订单号20240315123456，流水号 202403151234567890
    订单号 4111111111111111
    Order #4111 1111 1111 1111 shipped
    tracking number 6222020001111222202
    IMEI 356760000000009 and imei: 490154203237518
    ISBN 978-7-302-51162-5, EAN 6901234567892
    timestamp 1700000000000, ts=1700000000, 20240315123045123
    身份证 110105194912310021 校验位错
    身份证 11010519491331002X，990105194912310027
    110105194912310 02
    卡号4111111111111112
    commit 3f786850e387550fdab836ed7e6dc881de23001b
    id 123e4567-e89b-12d3-a456-426614174000
    md5 9e107d9d372bb6826bd81d3542a419d6
    pi=3.14159265358979, x=0.13800138000
    uid=99138001380001234567890
    (113.1380013800, 39.9042)
    版本 8.14.16.4 已发布
    Chrome/114.0.5735.90 Safari/537.36
    v1.2.3.4 and foo-1.2.3.4.tar.gz, pkg==1.2.3.4
    see section 4.2.1.3 for OID 1.3.6.1.4.1.311
    4.2.1.3 Results
    requires bootloader 10.7.21.215 or later
    build 11.24.19.99 (08bf694)
    对象标识符 1.2.156.46
    300.168.1.1 and 1.2.3
    git clone git@github.com:example/repo.git
    icon@2x.png, root@machine, @property, a @ b.c
    import @babel/core@7.22.1 lodash@4.17.21
    h = q@k.transpose(-2, -1) + x@self.weight
    https://user@host/path
    std::vector<int> a::b::c Foo::bar x[1::2] a[::2] 12:34:56
    00:1A:2B:3C:4D:5E 00-1A-2B-3C-4D-5E 1:2:3:4:5:6:7:8
    客服热线400-810-8888，拨打 10086 或 95588，电话 800 820 8820
    短信到10697061，举报电话12306
    手机号1389723838格式错误，手机号1398183687321，手机号12823237773
    154 1234 5678 手机15412345678
    SSN 000-12-3456, 666-12-3456, 912-34-5678, 123-00-4567, 123-45-0000
    Part no. 219-09-9999
    教育背景：2012.09-2016.06 电话会议 2024-03-15 10:30
    phone update 2029-03-18 23:58:55
    434635304421 / 2 = 217317652210
    138001380001 13800138
    ¥1,234,567.89 电话费
    EIN 12-3456789
    password = getpass(), password: str, token = tokens[i]
    password=<your-password> api_key="your-api-key-here" token=${TOKEN}
    password = X-API-Key
    SECRET_KEY=os.environ["SECRET_KEY"]
    monkey: banana123456789abcdef
    the token 5f4dcc3b5aa765d61d8327deb882cf99 hash
    <CN_ID> <CN_MOBILE> <SECRET> <CN_ID:0123456789abcdef>
    name@host.invalid
    沪A指数30012 京A股票12345 贵州茅台600519
    护照办理 passport photo 35x45, passport issued 20240315
    E12345678 is no passport here
    GB83WEST12345698765432
    91110108MA01A2B3CG
    device imei=866254375296007 mac=dc-d6-d4-85-0a-7b
    注册号370148260495006
    QQ 123456789，QQ群：987654321
    1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18
    1999 2000 2001 2002 2003 2004 2005 2006
    http://example.com/item/661289157994419493
    SF1234567890123 JD0123456789012 1Z999AA10123456784
    ICP备73123070号
    ref 7-219-09-9999 and 219-09-9999-12
    12-4111-1111-1111-1111 and 4111-1111-1111-1111-12
    1234 4111 1111 1111 1111 5678
    host runs ffmpeg 14.4.30.48, Oracle 1.25.16.233
    住院号876-735-5768
    https://cdn.example.com:443/img/logo@2x.gif
"""


def lines(table: str) -> list[str]:
    return [line.strip().replace("\\n", "\n").replace("\\\n", "\\n") for line in table.strip().splitlines()]


def found(text: str, **options: object) -> list[tuple[str, str]]:
    detector = Detector(**options) if options else DETECTOR  # type: ignore[arg-type]
    return [(span.type, text[span.start : span.end]) for span in detector.find(text)]


def unmark(marked: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without ⟦ ⟧, and the ranges they enclosed."""
    text, ranges, start = "", [], 0
    for char in marked:
        if char == "⟦":
            start = len(text)
        elif char == "⟧":
            ranges.append((start, len(text)))
        else:
            text += char
    return text, ranges


@pytest.mark.parametrize(("type", "marked"), [(t, line) for t, table in FOUND.items() for line in lines(table)])
def test_found_exactly(type: str, marked: str) -> None:
    text, ranges = unmark(marked)
    got = [(span.start, span.end) for span in DETECTOR.find(text) if span.type == type]
    assert [text[a:b] for a, b in got] == [text[a:b] for a, b in ranges]
    assert got == ranges


@pytest.mark.parametrize("text", lines(NOTHING))
def test_left_alone(text: str) -> None:
    assert found(text) == []
