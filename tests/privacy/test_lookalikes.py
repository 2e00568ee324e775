"""What programs and people write that looks like a value, next to values in the same surroundings.

Each line is a text; ⟦...⟧ marks what must be found, and nothing else may be.
"""

from __future__ import annotations

import pytest
from test_detector import found, lines, unmark

from dslab.privacy.detector import Detector
from dslab.privacy.recognizers.base import Recognizer

CASES = {
    "a size is no telephone": """
        Content-Length: 13712345678
        Content-Range: bytes 13712345678-13812345678/13912345678
        partition=3 offset=13712345678 lag: 7
        {"phone":"⟦13812345678⟧","size":13712345678}
        phone=⟦13812345678⟧&size=13712345678
        <size>13712345678</size>
        -rw-r--r-- 1 root root 13712345678 Mar  3 12:01 dump.sql
        "GET /a.iso HTTP/1.1" 206 13712345678 "-" "curl/8.0"
        fseek(fp, 13712345678, SEEK_SET);
        MemTotal: 13712345678 kB
        RX bytes:13712345678 TX bytes:13812345678
        took 13712345678ns
        文件大小 13712345678，偏移量：13812345678
        总字节数13712345678，共13812345678行
        13712345678\\t./backup.tar
        尺码 L，电话 ⟦13812345678⟧
        收货人：王芳，⟦13812345678⟧，数量：2
        user ⟦13812345678⟧ logged in
        sms to ⟦13812345678⟧ took 120 ms
    """,
    "a hotline in any grouping": """
        客服热线：4006-123-456
        the hotline is 4003818995
        name,phone\\n李,4009241314\\n王,⟦4157229241⟧
        拨打 400-12-345-67 咨询
        电话：400.123.4567 或 4001 234 567
        Tel: 400 1 234 567
        售后电话：(400)1234567，（400）1234567
        座机 ⟦0755-86001234⟧，热线 8001-234567
        call ⟦(800) 555-0142⟧
        电话 ⟦0400-1234567⟧
    """,
    "an item of a list, a count, an extension": """
        3. 电话 ⟦0512-66668888⟧ 4. 地址
        1、电话 ⟦0512-66668888⟧ 2、传真 ⟦0512-66668889⟧ 3、网址
        Tel: ⟦212-555-0142⟧ 4. Fax: ⟦212-555-0143⟧ 5. Web
        电话 ⟦0512-66668888⟧ 24小时
        call ⟦212-555-0142⟧ 7 days a week
        电话 ⟦0512-66668888⟧ 8001
        phone ⟦01 23 45 67 89⟧
        phone ⟦614 57 00 80⟧
    """,
    "broken by the end of a line": """
        电话 ⟦0451-\\n68158797⟧ 2.5 km
        电话：⟦028-3\\n4088062⟧ 100 号
        call ⟦512-5\\n55-0175⟧ 24 hours
        id,phone\\n4746773,⟦053 6497 806⟧\\n4746774,⟦053 6497 807⟧
        phone,id\\n⟦053 6497 806⟧,4746773\\n⟦053 6497 807⟧,4746774
    """,
    "columns of blanks": """
        name  phone  fax\\nann  ⟦+46 31 3900 666⟧  ⟦(215) 555-0175⟧\\nbob  ⟦+46 31 3900 667⟧  ⟦(215) 555-0176⟧
        id  ip  date\\n7  ⟦10.71.213.208⟧  2021.2.27\\n8  ⟦10.71.213.209⟧  2021.2.28
        phone ⟦+44 20 7946  0958⟧
        phone  fax\\n⟦+44 12 1496 0152⟧  ⟦030 2312 5956⟧\\n⟦+44 12 1496 0152⟧  ⟦030 2312 5957⟧
        QQ  手机  姓名\\n17887698686  ⟦173 8732 2160⟧  周婷\\n17887698686  ⟦173 8732 2161⟧  周婷
        QQ  电话  姓名\\n13479876679  ⟦037 0108 407⟧  周婷\\n13479876679  ⟦0531-6955 9264⟧  周婷
        IP  电话\\n⟦203.0.113.186⟧  ⟦19359825734⟧\\n⟦203.0.113.86⟧  ⟦0531-6955 9264⟧
        电话：+86 400 102 0758\\n7.4.0.25
    """,
    "a QQ account, named on its right": """
        联系方式：22660885（QQ），⟦13507331549⟧（微信同号）
        contact: 9884156792 (QQ)
        加我 4635682，QQ
        QQ/微信：65161714
        手机/QQ：⟦13507331549⟧ / 5918181866
        电话 ⟦66668888⟧，QQ 12345678
    """,
    "a version": """
        X-Mailer: Foxmail 9.9.15.148
        X-Mailer: Foxmail 9.9.15.148[cn]
        Intel ME (12.0.85.101)
        Upgraded from 8.14.16.148 to 8.15.16.149
        从 8.14.16.148 升级到 8.15.16.149
        installed core 12.3.4.150
        * 3.14.16.148 - fixed crash
        - 3.14.16.148: bug fixes
        \\n    rails-core (7.0.8.104)\\n
        compile "com.example:core:4.1.101.120"
        prior to 4.1.101.120
        Package core 10.4.12.167 is already installed
        百度网盘 7.14.5.101 绿色版
        name,version\\ncore,4.1.101.120
        pkg,ip,version\\npkg,⟦22.220.253.81⟧,4.1.101.120
        client ⟦22.220.253.81⟧ requested version 4.1.101.120
        {"client_ip": "⟦22.220.253.81⟧", "clientVersion": "4.1.101.120"}
        nginx upstream ⟦162.11.249.105⟧
        redis ⟦192.168.66.145⟧ 6379
        from ⟦22.220.253.81⟧ to ⟦22.220.253.82⟧
        ⟦22.220.253.81⟧ -> ⟦22.220.253.82⟧
        agent ⟦196.30.88.157⟧ down
        从 ⟦192.168.1.10⟧ 下载
        <ip>⟦22.220.253.81⟧</ip>
        "chromeVersion": "101.0.115.208",\\n"passport": "no",\\n"clientIp": "⟦10.182.157.139⟧",
        \\tat com.shop.App.main(App.java:9)\\nCaused by: Timeout: /⟦192.168.255.155⟧:3306\\n\\t... 12 more
    """,
    "zones and ports of IPv6": """
        ping6 ⟦fe80::1:2⟧%eth0
        [⟦fe80::1:2⟧%eth0]:22
        ⟦2001:db8::7⟧/64
    """,
    "bytes and codes are no IBAN": """
        00000010: be71 0961 2345 6769 0a0a 1234
        be710961-2345-6769-8a0a-123456789abc
        0000be71-2345-be71-0961-234567690abc
        IBAN: ⟦BE71 0961 2345 6769⟧
        IBAN: ⟦BE71096123456769⟧
        IBAN: ⟦D\\nE89370400440532013000⟧
        IBAN ⟦DE8\\n9370400440532013000⟧ x
    """,
    "bytes are no value": """
        0028be30 41111111 11111111 39375a39
        3a0d 4111 1111 1111 1111 0d0a
        ⟦4111 1111 1111 1111⟧ paid
        卡 ⟦41111111 11111111⟧ 0d0a0d0a
        15321d6a-1931-4209-892e-c37bc3f10000
        phone dump:\\n17762100 107022 026752 145032 074373\\n17762120 107022 026752 145032 074373
    """,
}


@pytest.mark.parametrize("marked", [line for table in CASES.values() for line in lines(table)])
def test_nothing_but_what_is_marked(marked: str) -> None:
    text, ranges = unmark(marked.replace("\\t", "\t"))
    assert [value for _, value in found(text)] == [text[a:b] for a, b in ranges]


def test_keys_of_several_parts() -> None:
    head, body, sign = "ey" + "JhbGciOiJkaXIifQ1a", "ey" + "JzdWIiOiIxMjM0NTY3ODkwIn0", "dBjftJeZ4CVPmB92K27uhbUJU1p1rw"
    mail = "S" + "G.iBOZZT_FMpzldQbXTqSzBy.cXZRDStJpwXXZghXIxzQPMrAAAkCotgymfbkbdocmQr"
    encrypted = f"{head}..{sign[:16]}.{sign}.{sign[:22]}"
    for value in (mail, f"{head}.{body}.{sign}", encrypted, f"{head}.{body}"):
        assert found(f"key {value} end") == [("SECRET", value)]
    assert found(f"see {head}.length and SG.abc") == []


def test_words_of_a_recognizer() -> None:
    for context in ("staff|工号", ("staff", "工号"), ["工号"], {"工号"}, iter(["工号"])):
        own = Recognizer("EMPLOYEE", "E[0-9]{6}", context=context)
        assert [s.start for s in Detector(types=[own]).find("E204818, 工号E204817")] == [11]
    for wrong in (7, (1, 2), (), [None]):
        with pytest.raises(TypeError, match="context must be"):
            Recognizer("EMPLOYEE", "E[0-9]{6}", context=wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="pattern must be a str"):
        Recognizer("EMPLOYEE", 7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="validate must be"):
        Recognizer("EMPLOYEE", "E[0-9]{6}", validate="yes")  # type: ignore[arg-type]
