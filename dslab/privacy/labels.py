"""The words that name values, by family: what people write before a phone number, a card, an order.

ASCII words are whole words in lower case (camelCase and snake_case are split first), one to three of them; a final "s" may
be missing here. Chinese words are found anywhere in a run of characters, the longest first.
"""

from __future__ import annotations

_WORDS = {
    "phone": "phone|telephone|tel|mobile|mobil|cell|cellphone|fax|call|called|calling|dial|dialed|dialled|ring|whatsapp|whats app|sms|"
    "text me|text us|contact|landline|mob|ph|phn|msisdn|rufnummer|telefoon|telefono|teléfono|telefon|telefone|"
    "téléphone|tél|handy|celular|móvil|voicemail|pager|viber|cellular|phoned|wechat|vx|wx|hotline|helpline|switchboard|telnr|handynummer|"
    "cellulare|kontakt|caller|callback|whats|tlf|telp|telephones|fon|"
    "phone number|mobile number|emergency contact|gsm",
    "phoneish": "desk|office|reach|reached|reaching|answering|message|registered|portable|hp|front desk|contact me|contact us|text|line|extension|home|work|ring me|signal",
    "card": "card|credit card|debit card|visa|mastercard|master card|amex|american express|unionpay|union pay|maestro|diners|discover|jcb|pan|cc|"
    "bank account|bank|account|acct|payment|pay|paid|charge|charged|ccnum|ccn|mir|credit|debit|cardholder|card number|card no|cardno|bankcard",
    "cn_id": "id card|idcard|resident id|national id|identity|identity card|identity number|id number|sfz|sfzh|id no|citizen id|"
    "resident identity card|resident|idno|id num|identification",
    "ssn": "ssn|social|social security|social security number|itin|taxpayer|soc sec|social sec|ss",
    "passport": "passport|travel document|pass no|passeport|reisepass|pasaporte|passaporto|passport no|passport number|ppt",
    "plate": "plate|license plate|licence plate|vehicle|car|license|licence|number plate|plate number|lpr",
    "iban": "iban",
    "uscc": "uscc|credit code|social credit|tax id|taxpayer id|company code|business license|unified social credit code|social credit code",
    "ip": "ip|ipv4|ipv6|ip address|host|hostname|server|addr|address|dns|gateway|ping|client|subnet|proxy|peer|src|dst|listen|"
    "listening|bind|endpoint|nameserver|ssh|login|logon|upstream|inet|inet6|vpn|firewall|router|whois|traceroute|"
    "cidr|netmask|forwarded|telnet|curl|ban|banned|blocked|visitor|scp|sftp|rsync|nmap|nslookup|resolv|accept|deny|allow|remote addr|"
    "broadcast|network|node|attacker|origin|lan|wan|interface|eth0|ens|nat|dhcp|lease|logged in|ips|loopback",
    "ipish": "from|to|source|remote|via|route|connect|connected|connecting|connection|node|block|dest|destination|at|by|on|request|for|against",
    "order": "order|order no|order id|order number|track|tracking|tracking number|waybill|invoice|receipt|parcel|shipment|transaction|txn|trace|booking|ticket|po|awb|"
    "confirmation|consignment|fedex|usps|ups|dhl|package|delivery|batch|lot|job|case|rma|sf|courier|purchase order|trade no|payment id|"
    "reservation|claim|policy|docket|request id|order sn",
    "goods": "isbn|issn|ean|upc|barcode|gtin|asin|sku|part|pn|p n|model|serial|serial number|sn|s n|item|product|catalog|catalogue|article|"
    "ndc|part no|part number|stock|product code|component|mpn|fcc|cas",
    "device": "imei|imsi|iccid|meid|mac|device|udid|eid|vin|chassis|esn|imeisv|tac|device id|android id|idfa",
    "key": "id|uid|uuid|guid|ref|reference|code|seq|index|row|pid|thread|hash|commit|md5|sha|sha1|sha256|digest|checksum|build|"
    "nonce|snowflake|offset|record|entry|doi|pmid|patent|tweet|status|message id|msg id|user id|userid|object id|trace id|span id|"
    "session|primary key|etag|crc|crc32|seed|step|epoch|block|tx|nct|rfc|bug|issue|pr|errno|error|hex|addr 0x|pointer|version id",
    "time": "timestamp|ts|time|epoch|date|datetime|unix|ms|created|updated|expires|expire|expiry|exp|issued|dob|birth|birthday|born|mtime|"
    "ctime|atime|iat|nbf|created at|updated at|valid|since|until",
    "money": "price|amount|total|sum|usd|eur|rmb|cny|balance|population|views|count|bytes|size|cost|revenue|budget|salary|downloads|"
    "subtotal|deposit|qty|quantity|length|width|weight|value",
    "version": "version|ver|release|firmware|oid|section|chapter|clause|upgrade|upgraded|chrome|driver|changelog|sec|"
    "assemblyversion|fileversion|productversion|file version|product version|kernel|dll|sdk|snmp|figure|table|appendix|paragraph|"
    "v|assembly|rev|revision|bios|tag|package|pkg|plugin|lib|library|requires|dependency|pip|npm|jdk|java|pnginx|redis|msi|"
    "patch|hotfix|app version|agent|user agent|safari|edge|firefox|mozilla|edg|opr|pypi|gem|nuget|art|see|requirement|step",
    "qq": "qq|qq group",
    "number": "number|no|num|nr|nummer|numero|número",
}
_CHINESE = {
    "phone": "电话 手机 手机号 电话号码 手机号码 手機 電話 联系方式 联系人 联系 聯絡 座机 固话 固定电话 传真 致电 拨打 来电 去电 通话 短信 呼叫 回电 联络 微信 微信号 热线 "
    "本机 携帯 電話番号 전화 연락처 携帯電話 打给 打我 我电话 号码是 移动电话 联系电话 办公电话 家庭电话 宅电 直线 总机 分机 来电显示 主叫 被叫 预留 长途 国际长途 拨 call机 打 加我 "
    "收件人电话 客服 紧急联系人 팩스 휴대폰 微信同号 联系号码",
    "card": "卡号 银行卡 信用卡 储蓄卡 借记卡 账号 帐号 账户 打款 付款 转账 收款 汇款 银联 刷卡 贷记卡 开户 扣款 还款 卡片 卡 银行账户 银行卡号 工资卡 尾号 银行账号 打到 转到 汇入 支付",
    "cn_id": "身份证 身份证号 身份证号码 证件号 证件号码 公民身份 身份号 居民证 证件 居民身份证 身份證 公民身份号码",
    "ssn": "社会安全号 社安号 社会安全 社会保障号 社会保险号 社会安全号码 美国社保号 社安",
    "passport": "护照 護照 通行证 旅行证 回乡证 台胞证 护照号 护照号码 港澳通行证",
    "plate": "车牌 号牌 牌照 车辆 轿车 货车 车号 车主 停车 挂牌 车牌号 车 牌号 号牌号码 客车 面包车 车型 驾驶 违章 入场 出场 闸",
    "iban": "国际账号 国际银行账号 国际银行账户",
    "uscc": "信用代码 纳税人 税号 机构代码 营业执照 统一社会 统一社会信用代码 社会信用代码 纳税人识别号 信用编码 注册号",
    "ip": "服务器 地址 主机 网关 来源 代理 节点 登录 域名 解析 封禁 网段 客户端 内网 公网 出口 IP 机器 跳板机 攻击 服务端 监听 防火墙 路由器 黑名单 白名单 源站 回源 数据库 "
    "登陆 访客 上游 攻击者 目标机",
    "ipish": "来自 访问 请求 连接 从 到",
    "order": "订单 訂單 運單 运单 单号 单据 流水 快递 物流 包裹 交易 回单 票号 凭证 受理 工单 批次 批号 合同 发票 取件码 流水号 订单号 订单编号 快递单号 运单号 交易号 "
    "物流单号 交易流水 退款单 支付单 商户单号 保单 案号 发票号 票据 编单 报案号 挂号",
    "goods": "条码 条形码 书号 货号 型号 零件 料号 序列号 产品 商品 图号 件号 规格 商品编码 产品编号 零件号 产品序列号 国际标准书号",
    "device": "设备号 串号 设备 机器码 车架号 发动机号 设备编号 手机串号 设备码 电表号",
    "key": "编号 工号 学号 编码 代码 哈希 提交 索引 学籍号 会员号 主键 单元 编码号 用户ID 会员 房间号 考号 准考证 卷号",
    "time": "时间戳 时间 日期 生日 有效期 签发 到期 出生 起始 截止 生效",
    "money": "金额 价格 总计 合计 余额 浏览量 人口 字节 数量 总额 售价 播放量 阅读量 营收 单价 库存",
    "version": "版本 章节 固件 升级 驱动 更新到 小节 第 条款 版本号 内核 详见 见 升级到 协议 依赖 组件",
    "qq": "QQ群 群号 群 扣扣 加群 企鹅号",
    "number": "号码 号",
}
FILLERS = frozenset(
    "number numbers no num nr is was are be as at on the my his her our your their new old us me value str string in to of and or code here below "
    "following primary secondary home work business main alt alternate direct toll free usa uk cn china country int long var val data text varchar "
    "line please pls via with a an it s o by for using use now still one id full raw via bound also only e g i m just only again back up out "
    "hk eu de fr private personal current user customer client first second 1 2 x under ext after hours day night anytime".split()
)
CHINESE_FILLERS = frozenset(
    "号码 号 码 为 是 的 请 我 您 你 他 她 或 和 及 与 在 了 至 到 给 用 填 写 如下 请填 这个 新 旧 或者 就是 一下 个 有 填写 改成 改为 换成 变更为 更新为 更改为 即 信息 "
    "后 可 可以 也 都 仍 还 加 叫 本人 主 备用 境外 海外 国内 国外 香港 美国 英国 日本 中国 公司 个人 登记 预留 备 注册 输入 使用 绑定 原 现".split()
)
ENGLISH = {word: kind for kind, words in _WORDS.items() for word in words.split("|")}
CHINESE = {word: kind for kind, words in _CHINESE.items() for word in words.split()}
