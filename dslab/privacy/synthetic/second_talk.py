"""What people write to each other: service desks, group chats, mail, forums, letters. See second.py for the marks."""

from __future__ import annotations

from dslab.privacy.synthetic.second_filler import split

ZH_TALK = (
    "麻烦帮我改下预留号码，旧的«cn_mobile»停用了，新的是«cn_mobile»",
    "我叫«~zh_name»，«cn_id»，想查一下社保缴费记录",
    "退款打这张卡：«card» 户名«~zh_name»",
    "怎么还没到账？我给的是«card»呀，流水«-order_number»你们查",
    "公司全称«~company»，税号«uscc»，电子票发«email»",
    "有事打我«cn_mobile»，或者公司电话«landline»，打不通就打«-hotline»",
    "他护照«passport»，飞«~city»的，证件照片我发群里了",
    "车是«cn_plate»，停在C区，麻烦挪一下",
    "刚被«cn_plate»别了一下，气死",
    "后台密码改成«password»了，大家更新一下",
    "谁把token传到仓库了？«provider_key» 赶紧作废",
    "VPN网关«ipv4»，内网DNS«ipv4»，连不上就重启",
    "海外供应商的电话«phone_e164»，邮箱«email»，时差六小时",
    "货款汇到«iban»，手续费我们出",
    "表里这两位：«cn_id»、«cn_id»，请核对",
    "号码«cn_mobile»、«cn_mobile»都试过，没人接",
    "身份证«cn_id»手机«cn_mobile»邮箱«email»，三样都给你了",
    "在美国报税用的SSN是«us_ssn»，别外传",
    "«~zh_name»：«cn_mobile»；«~zh_name»：«cn_mobile»",
    "发快递到«~city»，收件人«~zh_name»，手机«cn_mobile»，单号«-tracking_number»",
)

ZH_NOISE = (
    "网站备案号«-registration»",
    "卡号最后几位是«-crossed_out»",
    "SIM卡背面印着«-sim_card»",
    "开户行联行号«-clearing_code»",
    "工商注册号«-company_number»还没换证",
    "短信是«-short_code»发来的",
    "生日«-date»",
    "群号«-qq_number»，欢迎加入",
    "快递«-tracking_number»显示已签收",
    "APP更新到«-version4»以后老是闪退",
    "书在架上，ISBN«-isbn»",
    "商品条码«-barcode»扫不出来",
    "热线«-hotline»一直占线，发短信到«-hotline»也没回",
    "流水号«-bank_transaction»，金额«-money»",
    "订单«-order_number»什么时候发",
    "我输的身份证«-bad_cn_id»，系统提示校验不通过",
    "这张卡«-bad_card»提示卡号不存在",
    "今天«-stock»又跌了",
    "串号«-imei»的手机在保吗",
    "地图定位«-coordinates»",
    "条款在第«-section_number»条",
    "时间«-timestamp»这个怎么换算",
    "«~zh»",
)

EN_TALK = (
    "sure, bill it to «card», the billing e-mail is «email»",
    "my new number is «phone_e164», the old one is dead",
    "ring the clinic on phone «phone_national» before noon",
    "for the background check: SSN «us_ssn», passport «passport»",
    "the IBAN you asked for: «iban»",
    "who restarted «ipv4»? it was serving «ipv4» too",
    "it answers on «ipv6» but not on v4",
    "I rotated the key, the leaked one was «provider_key»",
    "new wifi password: «password»",
    "cc «email» and «email» please",
    "my Chinese colleague's mobile is «cn_mobile»",
    "her resident ID reads «cn_id», the X is not a typo when there is one",
    "the supplier's credit code is «uscc»",
    "a black sedan, plate «cn_plate», blocked the gate",
    "fax the form to fax no. «phone_national», not to the general line",
)

EN_NOISE = (
    "the WWPN on the switch is «-port_name»",
    "host key fingerprint «-fingerprint»",
    "the receipt only shows «-crossed_out»",
    "ICCID «-sim_card» is printed on the SIM",
    "scores are «-product» over the root of d",
    "transaction «-bank_transaction» is pending",
    "post «-snowflake» was deleted",
    "born on «-date»",
    "text STOP to «-short_code»",
    "object identifier «-object_identifier» names the policy",
    "parcel «-tracking_number» is stuck in customs",
    "ticket opened, order «-order_number»",
    "firmware «-version4» fixes it, I believe",
    "chapter «-section_number» covers that",
    "my IMEI is «-imei», is it locked?",
    "build «-semver» passes",
    "commit «-digest» broke it",
    "trace id «-uuid»",
    "the SKU is «-part_number»",
    "it cost «-money» in total",
    "the card «-bad_card» was refused, a digit must be wrong",
    "IBAN «-bad_iban» fails the check",
    "SSN «-bad_ssn» cannot exist",
    "clone «-git_remote» first",
    "«-machine_login» asks for a password again",
    "thanks «-handle»!",
    "«~en»",
)

LETTERS = split(
    """\
From: «~en_name» <«email»>
To: «email»; «email»
Message date: «~date» «~time»
Subject: Re: parcel «-tracking_number»

Hello,

«~en» «~en»

Kind regards
«~en_name»
Head of Purchasing
Phone: «phone_e164» (switchboard)
Fax: «phone_e164»
VAT and registration on request
IBAN: «iban»

> On «~date», «email» wrote:
> «~en»
> The invoice is «-order_number», for «-money».
----
发件人: «~zh_name»<«email»>
收件人: «email»
主题: 关于«~company»开户资料

您好：

«~zh»«~zh»
统一社会信用代码：«uscc»
法人身份证号：«cn_id»
对公账号另附。

此致
敬礼

«~zh_name»
«~company»
手机 «cn_mobile»
电话 «landline»
传真 «landline»
客服 «-hotline»
邮编 100081
----
尊敬的«~zh_name»先生/女士：
    您名下车辆（号牌«cn_plate»，车架号«-vehicle_number»）年检将于«~date»到期。«~zh»
    如有疑问请致电«landline»或«-hotline»。
    回执请寄：«email»
----
Dear «~en_name»,

Your visa application (passport number «passport», reference «-uuid») was received on «~date». Please quote \
order «-order_number» in every message to «email» or telephone «phone_e164».

Yours sincerely
The Consulate
"""
)

POSTS = split(
    """\
【求助】«~zh»
1楼 «~zh_name»：对方留的手机«cn_mobile»，收款卡«card»，QQ是«-qq_number»
2楼：查了下是虚拟号段
3楼 «-handle»：我也遇到，邮箱«email»
楼主回复：报警回执«-order_number»
----
Posted by «-handle» at «~time»

«~en» My box shows inet «ipv4» and inet6 «ipv6», ether «-mac». Kernel «-semver», BIOS «-version4».

Reply: try `ping «ipv4»`, then mail me (<«email»>).
----
转让«~city»某健身卡，会员编号«-order_number»，联系手机：«cn_mobile»，价格«-money»，«~zh»
[图片 «-retina_file»]
----
寻人启事：«~zh_name»，«~zh»知情者请联系 «cn_mobile» 或 «cn_mobile»，也可发邮件至«email»。车辆«cn_plate»。
----
## How I lost my API key

I committed `«provider_key»` next to `«-digest»`. «~en»

| what | value |
|---|---|
| repo | `«-git_remote»` |
| server | `«ipv4»` |

Write to **«email»**.
"""
)
