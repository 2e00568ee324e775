"""What programs write and read: logs, traces, source code, configuration, dumps, URLs. See second.py for the marks."""

from __future__ import annotations

from dslab.privacy.synthetic.second_filler import split

LOG_HEADS = (
    "«~date» «~time»,417 «~level» [«~word»-thread-«~int»] ",
    "[«~time»] «~word».«~level» ",
    "«~date»T«~time»Z «~word» pid=«~int» ",
    "«~level»\t«~date» «~time»\t",
)

LOG_LINES = (
    "accept «ipv4!»:51234 -> «ipv4!»:443 proto=tcp bytes=«~int»",
    "client «ipv6!» closed keepalive",
    "审计 操作人=«~zh_name» 证件=«cn_id!» 结果=通过 流水=«-order_number»",
    "短信下发 手机=«cn_mobile!» 模板=«~int» 耗时=«~int»ms",
    "bindCard ok card=«card!» bank=ICBC trace=«-uuid»",
    "bindCard refused card=«-bad_card»",
    "idcheck refused id=«-bad_cn_id»",
    "enterprise lookup uscc=«uscc!» hit=1",
    "mailer: 250 queued to=<«email!»>, size=«~int»",
    "vehicle in: plate=«cn_plate!» lane=«~int»",
    "session expired Authorization: Bearer «jwt»",
    "loaded plugin «~word» «-version4» in «~int» ms",
    "«-mac» associated, signal -«~int» dBm",
    "checksum «-digest» verified",
    "snapshot «-timestamp» kept",
    "«-java_object» parked",
    "GET /avatar/«-retina_file» 304",
    "sip: INVITE phone=«phone_e164!» codec=opus",
    "kyc passport=«passport!» country=CN score=0.93",
    "payout iban=«iban!» amount=«-money»",
    "hr sync ssn=«us_ssn!» status=active",
    "secret rotated, old value was password=«password»",
    "device imei=«-imei» online",
    "snmp trap «-object_identifier» from «ipv4!»",
)

ACCESS = (
    (
        '«ipv4!» - «~word» [14/Feb/2025:«~time» +0800] "GET /track?no=«-tracking_number»&cb=«-timestamp» HTTP/1.1" 200 '
        '«~int» "https://m.example.com/u/«-snowflake»" "Mozilla/5.0 Chrome/«-version4» Mobile"\n'
    ),
    (
        '«ipv6!» - - [14/Feb/2025:«~time» +0800] "POST /otp?tel=«cn_mobile!»&sig=«-digest» HTTP/2" 204 0 "-" '
        '"okhttp/«-semver»"\n'
    ),
    (
        '«ipv4!» - - [14/Feb/2025:«~time» +0000] "GET /u?mail=«email%»&id=«-uuid» HTTP/1.1" 301 0 xff="«ipv4!», '
        '«ipv4!»"\n'
    ),
)

TRACES = split(
    """\
Exception in thread "main" com.shop.PayException: 卡号 «card!» 余额不足
\tat com.shop.Pay.run(Pay.java:«~int»)
\tat com.shop.App.main(App.java:9)
Caused by: java.net.SocketTimeoutException: /«ipv4!»:3306
\t... 12 more
----
Traceback (most recent call last):
  File "/srv/kyc/check.py", line «~int», in verify
    assert ok, payload
AssertionError: {'id_no': '«cn_id!»', 'mobile': '«cn_mobile!»', 'req': '«-uuid»'}
----
thread 'main' panicked at src/net.rs:«~int»:9:
cannot reach «ipv6!»: timed out
stack backtrace:
   0: 0x«-digest» - std::panicking::begin
----
Uncaught (in promise) AxiosError: 422
  config.data: "{\\"email\\":\\"«email!»\\",\\"card\\":\\"«card!»\\"}"
  at node_modules/«-package»/lib/core.js:«~int»
"""
)

CODE = split(
    """\
import os

HOST = "«ipv4!»"
ADMIN = "«email!»"
TOKEN = "«provider_key»"
PASSWORD = os.environ.get("PASSWORD")
__version__ = "«-semver»"

«-decorator»
def area(self):
    return self.weights @ self.x  # see «-section_number»

SAMPLES = ["«cn_id!»", "«cn_mobile!»"]
----
// maintainer: «~en_name» «email!»
const cfg = { host: '«ipv4!»', token: '«provider_key»', secretKey: '«token»' };
const theme = '«-hex_colour»';
import icon from './«-retina_file»';
// pinned: «-package»
----
#include <cstdint>
// «-scope»
static const char *kPhone = "«cn_mobile!»";
constexpr std::uint64_t kId = «-snowflake»ULL;
const double kPi = «-decimal»;
----
public final class Fixtures {
    «-decorator»
    static String card() { return "«card!»"; }  // «-uuid»
    static String org() { return "«uscc!»"; }
    String password = "«password»";
    String secret = "«-placeholder»";
}
----
resource "aws_instance" "«~word»" {
  private_ip = "«ipv4!»"
  access_key = "«provider_key»"
  ami        = "«-part_number»"
}
----
#!/bin/sh
export API_KEY=«token»
export DB_PASS=«-placeholder»
ssh «-machine_login» uptime
scp a.tgz «-machine_login»:/tmp
git push «-git_remote»
curl -H "Authorization: Bearer «jwt»" http://«ipv4!»:8000/
----
-- 修正客户资料
UPDATE customer SET phone='«cn_mobile!»', id_card='«cn_id!»' WHERE order_no='«-order_number»' AND ts<«-timestamp»;
INSERT INTO staff(ssn,email) VALUES('«us_ssn!»','«email!»');
----
package keys

// «-object_identifier» is sha256WithRSA
var signing = `«pem»`
var public = `«-public_key»`
"""
)

CONFIG = split(
    """\
redis:
  addr: «ipv4!»:6379
  password: "«password»"
notify:
  phones: [«cn_mobile!», «cn_mobile!»]
  mail: «email!»
image: «-docker_digest»
appVersion: «-version4»
----
[smtp]
server = "«ipv4!»"
user = "«email!»"
passwd = "«password»"

[release]
version = "«-semver»"
sha256 = "«-digest»"
----
# .env
STRIPE_KEY=«provider_key»
JWT_SECRET=«token»
PUBLIC_URL=http://«ipv4!»:8080
BUILD=«-version4»
ADMIN_EMAIL=«email!»
CACHE_TOKEN=«-placeholder»
----
{
  "buyer": {
    "realName": "«~zh_name»",
    "certNo": "«cn_id!»",
    "cellphone": "«cn_mobile!»",
    "cardNo": "«card!»"
  },
  "orderNo": "«-order_number»",
  "createdAt": «-timestamp»,
  "requestId": "«-uuid»",
  "plate": "«cn_plate!»"
}
----
{"employees":[{"ssn":"«us_ssn!»","passport":"«passport!»","phone":"«phone_national»","iban":"«iban!»",\
"lastIp":"«ipv4!»","etag":"«-digest»","sku":"«-part_number»"}]}
----
<?xml version="1.0"?>
<enterprise code="«uscc!»">
  <tel>«landline»</tel>
  <legalPersonId>«cn_id!»</legalPersonId>
  <mail>«email!»</mail>
  <guid>«-uuid»</guid>
  <barcode>«-barcode»</barcode>
</enterprise>
"""
)

URLS = (
    "https://api.example.com/v2/pay?card_no=«card!»&id_card=«cn_id!»&order=«-order_number»&sign=«-digest»",
    "https://m.example.cn/login?mobile=«cn_mobile!»&email=«email%»&t=«-timestamp»",
    "weixin://x?redirect=https%3A%2F%2Fa.example.com%2Fcb%3Fmail%3D«email%»%26tel%3D«phone_e164%»%26rid%3D«-uuid»",
    "http://«ipv4!»:8080/files/«-retina_file»?v=«-semver»",
    "https://[«ipv6!»]:8443/status?access_token=«jwt»",
    "/search?q=%E8%BA%AB%E4%BB%BD%E8%AF%81«cn_id!»&page=«~int»",
)
