"""How the first hand names things: keys of programs, labels of forms, sentences of people, for each kind.

Three lines a kind:  kind: keys  /  English labels | sentences  /  Chinese labels | sentences.  Semicolons divide
alternatives; {} is where the value stands.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

_VALUES = """
cn_id: id_card;idNumber;cert_no
  ID number;Resident ID;National ID no. | my ID number is {};they copied {} from her ID card
  身份证号;身份证;证件号码;公民身份号码 | 我的身份证号是{};证件{}核验通过;身份证{}，麻烦登记一下
cn_mobile: phone;mobile;contact_phone
  Mobile;Cell;Phone | call me on {};text {} when you arrive;my new number: {}
  手机;手机号;联系电话 | 打我手机{};电话{}，白天都在;微信同号{}谢谢;联系{}即可
card: card_no;bankCard;pan
  Card number;Card no.;Account | please charge {} again;the card is {}
  卡号;银行卡号;收款账号 | 钱打到{}就行;卡号{}别写错;工资卡{}
uscc: uscc;credit_code;taxId
  Credit code;Company no. (USCC) | invoice to the company with credit code {}
  统一社会信用代码;纳税人识别号;税号 | 开票税号{};信用代码{}的那家公司
email: email;mail;contact
  E-mail;Mail;Contact | mail {} and copy me;write to {};the list is run by {}
  邮箱;电子邮件;邮件 | 发到{}即可;邮箱{}，周五前;抄送{}一份
ipv4: ip;remote_addr;clientIp
  IP;Client address | the request came from {};ping {} please
  IP;来源IP;服务器地址 | 服务器{}又挂了;来自{}的请求被拒
ipv6: ip6;remote_addr;peer
  IPv6;Client address | the router announces {};we blocked {}
  IPv6;IP地址 | 地址{}不通;新网段里的{}
iban: iban;account;payout_iban
  IBAN;Bank account | send the deposit to {};refund to {} please
  IBAN;国际账号 | 汇到{}这个账户;国际汇款账号{}
us_ssn: ssn;social_security_number
  SSN;Social security number | her social security number is {};SSN {} was on the form
  社会安全号;SSN | 社会安全号{}已登记;SSN是{}
phone_e164: phone;tel;fax
  Phone;Tel.;Fax | ring {} and ask for the office;our number is {}
  电话;海外电话;传真 | 国外打{};办公室电话{}
phone_national: phone;tel;fax
  Phone;Tel.;Telephone;Fax | call {} before noon;phone {} to book
  电话;海外电话;传真 | 当地电话{};海外客服打电话{}
landline: tel;office_phone
  Phone;Office tel. | office phone {}
  电话;座机;办公电话;固话 | 座机{};办公室电话是{};固定电话{}没人接
cn_plate: plate;car_no
  Plate;Licence plate | the white car, plate {}, blocks the gate
  车牌;车牌号;号牌 | 车牌{}的车主请挪车;一辆{}的白色轿车停在路边;{}违停三次
passport: passport;passport_no
  Passport no.;Passport number | passport {} was left at the desk;her passport number is {}
  护照号;护照号码;护照 | 护照{}已过期;护照号是{}
provider_key: api_key;token;secret
  API key;Token | I pasted {} into the chat, please revoke it;the key is {}
  密钥;令牌 | 密钥是{}，用完删掉;误传了{}
jwt: token;authorization;jwt
  Token;Bearer | the server answered with token {}
  令牌;token | 返回的token是{}
pem: private_key
  Private key | this is the key: {}
  私钥 | 私钥如下：{}
password: password;passwd;db_password
  Password;Passwd | the password is: {}
  密码;登录密码 | 密码：{}
token: api_key;access_token;client_secret
  API key;Access token | access token: {}
  密钥;访问令牌 | 密钥：{}
"""
_NEGATIVES = """
order_number: order_id;orderNo
  Order no.;Order | my order {} has not arrived;order {} was cancelled
  订单号;流水号 | 订单号{}还没发货;订单{}已取消
tracking_number: tracking;waybill
  Tracking no.;Parcel | parcel {} is at the depot
  运单号;快递单号 | 快递{}到了;运单{}已签收
timestamp: ts;timestamp;created
  Timestamp;Epoch | the record is stamped {}
  时间戳 | 时间戳{}是哪一天
date_time: time;created_at
  Date;Created | it started at {}
  时间;日期 | 开始于{};日志时间{}
isbn: isbn
  ISBN | the new edition is ISBN {}
  书号;ISBN | 书号{}，两本;ISBN {}
barcode: barcode;ean
  Barcode;EAN | the barcode reads {}
  条码;商品条码 | 扫出来条码是{}
uuid: request_id;uuid;trace_id
  Request;Trace ID | see request {}
  请求编号;追踪编号 | 请求{}超时
digest: sha;checksum;commit
  Checksum;Commit | fixed in commit {};the checksum is {}
  校验值;提交 | 在提交{}里修好了;文件校验值{}
mac: mac;hwaddr
  MAC;Hardware address | the card with MAC {}
  MAC;物理地址 | 网卡MAC是{}
imei: imei
  IMEI | the phone's IMEI is {}
  IMEI;手机串号 | 串号IMEI {}
version4: version;app_version
  Version;Firmware version | please install version {};it broke in version {}
  版本;固件版本 | 升级到版本{}再试;版本{}有问题
build_number: chrome_version;version
  Browser version | seen in Chrome/{}
  浏览器版本 | 浏览器是Chrome/{}
object_identifier: oid
  OID | the counter is OID {}
  OID | 查OID {}这一项
section_number: section;clause
  Section;Clause | see section {} of the manual
  章节;条款 | 见手册第{}节
decimal: value;loss;mean
  Mean;Value | the mean came out as {}
  数值;平均值 | 平均值约为{}
money: amount;price
  Amount;Total | it would cost ${}
  金额;合计 | 一共¥{};报价{}元
coordinates: location;latlng
  Position;Coordinates | we met at {} on the map
  坐标;位置 | 坐标{}附近
arithmetic: note;formula
  Formula;Check | note that {}
  算式;验算 | 验算：{}
bad_cn_id: code;item_no
  Item;Code | item {} is missing
  编号;货号 | 编号{}缺货
bad_card: serial;device_no
  Serial no.;Device | serial {} came back
  序列号;设备编号 | 序列号{}返修
bad_uscc: sku
  SKU | we are out of SKU {}
  货号;物料编码 | 货号{}没有了
bad_iban: ref;reference
  Reference | quote reference {}
  参考号 | 参考号{}
bad_ssn: code;ref
  Ref.;Code | the form's code is {}
  编号;代码 | 表格代码{}
eleven_digits: item_no;serial
  Item;Serial | item {} is new
  编号;序列号 | 编号{}是新的
hotline: service_line
  Hotline;Service line | the hotline is {}
  客服热线;热线 | 客服{}一直占线;拨打{}投诉
decorator: decorator
  Decorator | put {} above the method
  装饰器 | 方法上面加{}
git_remote: remote;origin
  Remote;Clone | clone {} first
  仓库;克隆地址 | 先克隆{}
retina_file: image;icon
  Image;Icon | replace {} too
  图片;图标 | 把{}也换掉
machine_login: host;login
  Login;Machine | ssh {} works again
  登录;机器 | ssh {}又能登录了
package: package;dependency
  Package;Dependency | pin {} for now
  依赖;包 | 先锁定{}
handle: user;author
  User;Author | thanks to {} for the patch
  作者;用户 | 感谢{}的补丁
qq_number: qq
  QQ | the QQ group is {}
  QQ;QQ群 | 加QQ{};群号{}
part_number: part_no;model
  Part no.;Model | we need part no. {}
  料号;型号 | 料号{}停产了
stock: ticker;symbol
  Ticker | {} closed higher
  股票代码;指数 | {}收涨;关注{}
clock: time;elapsed
  Time;Elapsed | it stopped at {}
  用时;时刻 | 停在{}
scope: symbol;type
  Symbol | the type is {}
  符号 | 类型写成{}
placeholder: api_key;token
  API key;Token | put {} there and fill it in later
  密钥;令牌 | 先写{}占位
hex_colour: color;background
  Colour | paint it {}
  颜色 | 颜色改成{}
doi: doi;cite
  DOI;Cite | the paper is {}
  DOI;文献 | 论文见{}
vehicle_number: vin
  VIN;Chassis no. | the chassis number is {}
  车架号;VIN | 车架号{}
digit_stretch: trace;seq
  Sequence;Trace no. | the sequence {} repeats
  序列;追踪码 | 序列{}重复出现
"""


@dataclass(frozen=True)
class Names:
    """keys; labels and sentences by language."""

    keys: tuple[str, ...]
    labels: dict[str, tuple[str, ...]]
    sentences: dict[str, tuple[str, ...]]


def _read(table: str) -> dict[str, Names]:
    names, lines = {}, table.strip().split("\n")
    for head, *spoken in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        kind, keys = head.split(": ")
        (en, en_said), (zh, zh_said) = ([tuple(c.strip().split(";")) for c in line.split(" | ")] for line in spoken)
        names[kind] = Names(tuple(keys.split(";")), {"en": en, "zh": zh}, {"en": en_said, "zh": zh_said})
    return names


VALUES, NEGATIVES = _read(_VALUES), _read(_NEGATIVES)
_ALL = {**VALUES, **NEGATIVES}


def key(rng: random.Random, kind: str) -> str:
    """What a program calls it."""
    return rng.choice(_ALL[kind].keys)


def label(rng: random.Random, kind: str, lang: str) -> str:
    """What a form or a table's header calls it."""
    return rng.choice(_ALL[kind].labels[lang])


def said(rng: random.Random, kind: str, lang: str) -> tuple[str, str]:
    """A sentence about it: what stands before the value, and after."""
    before, _, after = rng.choice(_ALL[kind].sentences[lang]).partition("{}")
    return before, after
