"""Credentials: every maker's prefix, keywords and their placeholders. All keys are drawn here."""

from __future__ import annotations

import random
import string

import pytest

from dslab.privacy.detector import Detector
from dslab.privacy.recognizers.entropy import entropy, is_password, is_placeholder, is_random

DETECTOR = Detector()
ALNUM, HEX, UPPER = string.ascii_letters + string.digits, "0123456789abcdef", string.ascii_uppercase + "234567"
PASSWORD = "Tr0ub4dor&3x"


def draw(size: int, signs: str = ALNUM, seed: int = 1) -> str:
    return "".join(random.Random(f"{seed}{size}{signs}").choices(signs, k=size))


def dashes(label: str) -> str:
    return "-" * 5 + label + "-" * 5


KEYS = {
    "aws": "AK" + "IA" + draw(16, UPPER),
    "github": "gh" + "p_" + draw(36),
    "github fine": "github" + "_pat_" + draw(60),
    "gitlab": "gl" + "pat-" + draw(20),
    "google": "AI" + "za" + draw(35),
    "openai": "sk" + "-proj-" + draw(48),
    "anthropic": "sk" + "-ant-api03-" + draw(60),
    "stripe": "sk" + "_live_" + draw(24),
    "slack": "xo" + "xb-" + draw(12, string.digits) + "-" + draw(12, string.digits) + "-" + draw(24),
    "hugging face": "hf" + "_" + draw(34, string.ascii_letters),
    "npm": "np" + "m_" + draw(36),
    "pypi": "py" + "pi-" + draw(80),
    "sendgrid": "S" + "G." + draw(22) + "." + draw(43),
    "twilio": "S" + "K" + draw(32, HEX),
    "telegram": draw(9, "123456789") + ":A" + "A" + draw(33),
    "jwt": "ey" + "J" + draw(33) + ".ey" + "J" + draw(60) + "." + draw(43),
    "pem": dashes("BEGIN OPENSSH PRIVATE KEY") + "\n" + "\n".join(draw(64, seed=i) for i in range(4)) + "\n"
    + dashes("END OPENSSH PRIVATE KEY"),
}  # fmt: skip


def values(text: str) -> list[str]:
    return [text[s.start : s.end] for s in DETECTOR.find(text) if s.type == "SECRET"]


@pytest.mark.parametrize("maker", KEYS)
@pytest.mark.parametrize(
    "frame", ["{}", "key={}", '"{}"', "密钥：{}。", "use {} please", "`{}`", "Authorization: Bearer {}"]
)
def test_keys(maker: str, frame: str) -> None:
    assert values(frame.format(KEYS[maker])) == [KEYS[maker]]


@pytest.mark.parametrize(
    "frame",
    [
        "password={}", "password: {}", "PASSWORD = '{}'", 'db_password: "{}"', '"password": "{}"',
        "passwd={}&user=ann", "pwd={};", "my password is {}", "密码：{}", "密码是{}，别外传", "口令 {}",
        "<password>{}</password>", "postgres://ann:{}@db:5432/x", '{{\\"password\\":\\"{}\\"}}',
        "name,password\nann,{}", "| user | 密码 |\n|---|---|\n| ann | {} |", "password '{}' works",
        '<add key="Password" value="{}"/>', "Password {}\nnext line",
    ],
)  # fmt: skip
def test_passwords(frame: str) -> None:
    assert values(frame.format(PASSWORD)) == [PASSWORD]


@pytest.mark.parametrize(
    "frame", ["token: {}", "api_key={}", "secret = '{}'", "X-Api-Key: {}", "clientSecret: {}", "access token ..... {}"]
)
def test_named_tokens_must_look_random(frame: str) -> None:
    token = draw(32)
    assert values(frame.format(token)) == [token]
    assert values(frame.format("the-name-of-a-thing-that-is-long")) == []


@pytest.mark.parametrize(
    "text",
    [
        "sk" + "-" + "x" * 32, "gh" + "p_" + "X" * 36, "AK" + "IA" + "IOSFODNN7" + "EXAMPLE", "<YOUR_API_KEY>",
        "api_key=your-api-key-here", "sk" + "-learn-contrib-stacking-ensembles-2", "token=${API_TOKEN}",
        "password=%(password)s", "password: str = None", "password = get_password()", "password = self.password",
        "token = tokens[i]", "password_hash=" + draw(40, HEX), "cache_key: " + draw(32, HEX),
        "key: " + draw(40, HEX), "sha256:" + draw(64, HEX), "commit " + draw(40, HEX), "monkey=" + draw(20),
        "passport: none", "pass through 12345678", "secret: changeme", "public_key = " + draw(40),
        "https://cdn.example.com:443/img/logo@2x.gif", "pad_token_id: 151643",
        "the password must contain 8 characters",
        dashes("BEGIN PUBLIC KEY") + "\n" + draw(64) + "\n" + dashes("END PUBLIC KEY"),
        dashes("BEGIN PRIVATE KEY") + " and nothing else",
    ],
)  # fmt: skip
def test_left_alone(text: str) -> None:
    assert values(text) == []


def test_a_cut_off_pem_block_goes_to_its_last_line() -> None:
    begin = dashes("BEGIN RSA PRIVATE KEY")
    body = "\n".join(draw(64, seed=i) for i in range(3))
    assert values(f"log: {begin}\n{body}\n\nNext paragraph.") == [f"{begin}\n{body}"]


def test_what_looks_random() -> None:
    assert entropy("") == 0.0
    assert is_random(draw(20))
    assert not is_random("getUserPassword")
    assert is_password(PASSWORD)
    assert not is_password("password")
    assert is_placeholder("<token>")
