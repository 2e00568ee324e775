"""Classes of misses that a tester who had not read the detector found, each with its near misses.

Each line is a text; ⟦...⟧ marks what must be found, and nothing else may be. Credentials are drawn when the tests run.
"""

from __future__ import annotations

import base64
import json
import random
import string

import pytest
from test_detector import found, lines, unmark

CASES = {
    "one line break inside a labelled value": """
        Social Security Number ⟦373-52-\\n0902⟧\\nName Ann
        Social Security Number ⟦063-\\n74-3687⟧
        SSN: ⟦37352\\n0902⟧
        SSN: ⟦373 52\\n0902⟧
        ticket 373-52-\\n0902
        SSN 373-52-\\n\\n0902
        Contact phone: ⟦+44 20 7675\\n9018⟧\\nCity: Leeds
        Contact phone: ⟦+86 755\\n84625606⟧
        Contact phone: ⟦+86 10\\n59479342⟧\\nCity
        Contact phone: ⟦+27 82 784\\n0882⟧\\nCity
        Phone: ⟦+1 212 555\\n0142⟧
        Phone: ⟦+44 20 7946 0958⟧\\n10. next
        Phone: ⟦+1 212-555-0142⟧\\n2024-01-02 came
        Phone: ⟦+49 30 1234567⟧\\n9018 people
    """,
    "the number of the next item": """
        card ⟦4111 1111 1111 1111⟧\\n2. next
        card ⟦4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1⟧\\n2. next
        card ⟦4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1⟧\\n3 apples
        card ⟦4111 1111 1111\\n1111⟧ paid
        卡号：1\\nloss=36.5252451645119
    """,
    "abroad, and a mobile's digits": """
        ⟦+49 (0)151 13950268⟧
        tel ⟦0049 151 52622212⟧)
        001 ⟦13812345678⟧
        Tel: ⟦+44 20 7946 0958⟧, ⟦0044 20 7946 0959⟧, ⟦0049 30 12345678⟧
        家属联系方式：⟦17088362687⟧（妻子），⟦053186355385⟧（单位）
        订单：17088362687（一），053186355385（二）
        ⟦212 555 0142⟧ is my cell
        ⟦212 555 0142⟧ is the best number to call
        ⟦415 275 3292⟧, John's cell
        415 275 3292 45, phone: ⟦212 555 0142⟧
        415 275 3292 apples
        ⟦02154075754⟧是我家电话
        name,phone\\nAnn,⟦2032379774⟧\\nBob,⟦8645384655⟧\\nCas,⟦2042031512⟧
        name,created\\nAnn,2042031512
    """,
    "a list of passports": """
        WHERE passport_no IN ('⟦C0FX21844⟧', '⟦E12345678⟧', '⟦G78731961⟧')
        WHERE order_no IN ('C0FX21844', 'E12345678')
        passport ⟦C0FX21844⟧ and order 12345678
    """,
    "a count of bytes": """
        total 13812345678
        {"free": 13812345678, "used":13812345678}
        mem_free: 13812345678, disk.used=13712345678
        sent 13812345678 bytes, transferred 13812345678
        13812345678 /var/log
        Content-Range: bytes */13812345678
        /dev/sda1 13812345678 13712345678 13912345678 45% /
        Mem:   13812345678   13712345678   13912345678
        Transferred: 13812345678 / 13912345678
        fs_size_bytes{dev="sda"} 13812345678
        文件已下载 13812345678
        user ⟦13812345678⟧ sent you a file
        手机 ⟦13812345678⟧ 已用
        free wifi, call ⟦13812345678⟧
        总机 ⟦13812345678⟧
    """,
    "an id": """
        uid=13812345678 user_id: 13812345678 userId=13812345678 member no 13812345678
        会员号：13812345678 账号ID：13812345678
        uid,phone\\n13812345678,⟦13912345678⟧
        用户 ⟦13812345678⟧ 账号：⟦13912345678⟧
        user id 7, phone ⟦13812345678⟧
    """,
    "what a mask left": """
        ****@example.com z***g@example.com
        138****8000
        (***) ***-555-0142
        **⟦ann@example.com⟧** 邮箱**⟦ann@example.com⟧**
        电话：**⟦13812345678⟧**
    """,
    "a section, an object, a host": """
        如图 10.6.10.1 所示
        见表 10.6.10.1。
        objectIdentifier = "2.5.4.52"
        截图 ⟦10.6.10.71⟧
        ⟦10.35.28.35⟧   node1.cluster.local node1
        10.35.28.35 Scope of work
        <host>⟦::ffff:63.74.163.160⟧</host>
        vector<int>::ff
    """,
    "a head reaches no later table": """
        <tr><th>Name</th><th>Phone</th></tr><tr><td>A</td><td>⟦212 555 0142⟧</td></tr>\\n\\nX & SSN\\nAnn & ⟦219099999⟧
        <tr><th>Name<th>Phone<tr><td>Ann<td>⟦212 555 0142⟧\\n\\nname,ssn\\nAnn,⟦219099999⟧
    """,
}


@pytest.mark.parametrize("marked", [line for table in CASES.values() for line in lines(table)])
def test_nothing_but_what_is_marked(marked: str) -> None:
    text, ranges = unmark(marked.replace("\\n", "\n").replace("\\t", "\t"))
    assert [value for _, value in found(text)] == [text[a:b] for a, b in ranges]


def _draw(size: int, signs: str = string.ascii_letters + string.digits) -> str:
    return "".join(random.Random(size).choices(signs, k=size))


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


CHOSEN, SMALL, HEX = "Tr0" + "ub4dor&x", "x9" + "Kd2233", _draw(32, "0123456789abcdef")
BEHIND = """
    the password {CHOSEN} works
    use api key {HEX} now
    token {HEX}
    密码 {CHOSEN}
    密码已重置为{CHOSEN}
    密钥={SLASH}
    curl -H "Authorization: Basic {LOGIN}" x
    Ocp-Apim-Subscription-Key: {HEX}
    curl -u ann:{CHOSEN} https://x.org
    curl --user 'ann:{CHOSEN}' https://x.org
    mysql -uroot -p{SMALL} db
    sshpass -p '{CHOSEN}' ssh root@host
    redis-cli -h x -a {SMALL} ping
    tool --password {SMALL} --port 22
    CREATE USER 'bob'@'%' IDENTIFIED BY '{SMALL}';
    alter user bob identified by {SMALL};
    ALTER USER bob PASSWORD '{SMALL}';
    CREATE ROLE bob WITH LOGIN PASSWORD '{SMALL}';
    redis://:{SMALL}@h:6379/0
"""
VALUES = {
    "CHOSEN": CHOSEN,
    "SMALL": SMALL,
    "HEX": HEX,
    "SLASH": "/" + _draw(42) + "=",
    "LOGIN": base64.b64encode(b"svc:S78qXP6K1VT4SF").decode(),
}
PROSE = """
    password reset within 24hours
    token expired at 2024-01-02T10:11:12Z
    password policy PBKDF2-SHA256 and OAuth2Client
    password mysql8.0 works
    key length 2048bits
    the token 5f4dcc3b5aa765d61d8327deb882cf99 hash
    cache key 5f4dcc3b5aa765d61d8327deb882cf99
    密钥=/etc/ssl/private/key2.pem
    ssh -p 2222 host
    docker run -p 8080:8080 -u 1000:1000 img
    mkdir -p a1b2c3d4
    curl -u ann:$PASSWORD https://x.org
    IDENTIFIED BY '<password>'
"""


@pytest.mark.parametrize("template", lines(BEHIND))
def test_a_credential_without_a_sign_before_it(template: str) -> None:
    name = template.partition("{")[2].partition("}")[0]
    text = template.replace(f"{{{name}}}", VALUES[name])
    assert found(text) == [("SECRET", VALUES[name])]


@pytest.mark.parametrize("text", lines(PROSE))
def test_words_behind_a_name(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize("around", ["see {}", 'document.cookie = "jwt={}; path=/"', "Bearer {}", "JWT_TOKEN={}"])
@pytest.mark.parametrize("indent", [None, 1, 4])
def test_a_token_however_its_json_is_set(around: str, indent: int | None) -> None:
    head, body = (json.dumps(part, indent=indent) for part in ({"alg": "HS256", "typ": "JWT"}, {"sub": "588762"}))
    token = f"{_encode(head)}.{_encode(body)}.{_draw(43)}"
    assert found(around.format(token)) == [("SECRET", token)]


def test_three_parts_that_are_no_token() -> None:
    assert found(f"see {_encode('{ no json at all 123 }')}.{_encode('of this')}.thing") == []
