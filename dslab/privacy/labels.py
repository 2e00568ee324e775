"""The words that name values, by family: what people write before a phone number, a card, an order.

ASCII words are whole words in lower case (camelCase and snake_case are split first), one to three of them; a plural
"s" is understood. Chinese words are found anywhere in a run of characters, the longest first. The families phone ..
ip name what is looked for; order .. qq name what looks like it. Three are weak: "phoneish" (desk, reach), "ipish"
(from, via) and "number" count only where the shape of the value supports them.
"""

from __future__ import annotations

_ENGLISH = {
    "phone": """
        phone, telephone, tel, t, f, m, mobile, mobil, cell, cellphone, fax, call, called, calling, dial,
        dialed, dialled,
        ring, whatsapp, whats app, sms, text me, text us, contact, landline, mob, ph, phn, msisdn, rufnummer,
        telefoon, telefono, teléfono, telefon, telefone, téléphone, tél, handy, celular, móvil, voicemail, pager,
        viber, cellular, phoned, wechat, vx, wx, hotline, helpline, switchboard, telnr, handynummer, cellulare,
        kontakt, caller, callback, whats, tlf, telp, telephones, fon, phone number, mobile number,
        emergency contact, gsm
    """,
    "phoneish": """
        desk, office, reach, reached, reaching, answering, message, registered, portable, hp, front desk,
        contact me, contact us, text, line, extension, home, work, ring me, signal
    """,
    "card": """
        card, credit card, debit card, visa, mastercard, master card, amex, american express, unionpay, union pay,
        maestro, diners, discover, jcb, pan, cc, bank account, bank, account, acct, payment, pay, paid, charge,
        charged, ccnum, ccn, mir, credit, debit, cardholder, card number, card no, cardno, bankcard
    """,
    "cn_id": """
        id card, idcard, resident id, national id, identity, identity card, identity number, id number, sfz, sfzh,
        id no, citizen id, resident identity card, resident, idno, id num, identification
    """,
    "ssn": """
        ssn, social, social security, social security number, itin, taxpayer, soc sec, social sec, ss,
        ssn card, ss card, social security card
    """,
    "passport": """
        passport, travel document, pass no, passeport, reisepass, pasaporte, passaporto, passport no,
        passport number, ppt
    """,
    "plate": """
        plate, license plate, licence plate, vehicle, car, license, licence, number plate, plate number, lpr
    """,
    "iban": """
        iban
    """,
    "uscc": """
        uscc, credit code, social credit, tax id, taxpayer id, company code, business license,
        unified social credit code, social credit code
    """,
    "ip": """
        ip, ipv4, ipv6, ip address, host, hostname, server, addr, address, dns, gateway, ping, client, subnet,
        proxy, peer, src, dst, listen, listening, bind, endpoint, nameserver, ssh, login, logon, upstream, inet,
        inet6, vpn, firewall, router, whois, traceroute, cidr, netmask, forwarded, telnet, curl, ban, banned,
        blocked, visitor, scp, sftp, rsync, nmap, nslookup, resolv, accept, deny, allow, remote addr, broadcast,
        network, attacker, origin, lan, wan, interface, eth0, ens, nat, dhcp, lease, logged in, ips, loopback
    """,
    "ipish": """
        node, from, to, source, remote, via, route, connect, connected, connecting, connection, dest, destination,
        at, by, on, request, for, against
    """,
    "order": """
        order, order no, order id, order number, track, tracking, tracking number, waybill, invoice, receipt,
        parcel, shipment, transaction, txn, trace, booking, ticket, po, awb, confirmation, consignment, fedex,
        usps, ups, dhl, delivery, batch, lot, job, case, rma, sf, courier, purchase order, trade no, payment id,
        reservation, claim, policy, docket, request id, order sn
    """,
    "goods": """
        isbn, issn, ean, upc, barcode, gtin, asin, sku, part, pn, p n, model, serial, serial number, sn, s n,
        item, product, catalog, catalogue, article, ndc, part no, part number, stock, product code, component,
        mpn, product id, fcc, cas
    """,
    "size": """
        bytes, byte, size, length, len, offset, byte offset, content length, file size, filesize, inode, ino, pos,
        position, seek, lsn, sector, lba, nonce, seed, row count, rowcount, nrows, memory, mem, maxmemory, heap, quota,
        capacity, cycles, instructions, tokens, elapsed, duration, latency, took, rss, vmrss, vmsize, packets,
        watermark,
        sequence number, log sequence number, seqno, tid, rx, tx, wrote, allocated, memtotal, memfree, swap, disk usage,
        downloads, views, population, qty, quantity, steps, checkpoint, crc, crc32, adler32, scn, xid, txid, gtid,
        startxref, hz, ns, rows, hits, bandwidth, throughput, bps, counter, ticks, uptime, blocks, blocksize, chunk,
        limit, count, numrows, timeout, epoch ns, read bytes, write bytes, rd bytes, wr bytes, net income,
        bytes sent, bytes recv, bytes received, bytes read,
        bytes written, mem total, mem free, mem available, max memory, used memory, tokens seen, etag, xref
    """,
    "device": """
        imei, imsi, iccid, meid, mac, device, udid, eid, vin, chassis, esn, imeisv, tac, device id, android id,
        idfa
    """,
    "key": """
        block, meeting, meeting id, room, zoom, id, uid, uuid, guid, ref, reference, code, seq, index, row, pid,
        thread, hash, commit, md5, sha, sha1, sha256,
        gb, gbt, iso, din, ieee, ansi, jis, digest, checksum, ein, vat, duns, fein, npi, dea, siren,
        siret, abn, icp, snowflake, record, entry, doi, pmid, patent, tweet, status, message id,
        msg id, user id, userid, member id, member no, account id, customer id,
        object id, trace id, span id, session, primary key,
        nct, rfc, bug, issue, pr, errno, error, hex, addr 0x, pointer, version id
    """,
    "time": """
        epoch, timestamp, ts, time, date, datetime, unix, ms, created, updated, expires, expire, expiry, exp,
        issued, dob, birth, birthday, born, mtime, ctime, atime, iat, nbf, created at, updated at, valid, since,
        until
    """,
    "money": """
        price, amount, total, sum, usd, eur, rmb, cny, balance, cost, revenue, budget, salary, subtotal, deposit,
        width, weight, miles
    """,
    "version": """
        package, step, version, ver, release, firmware, oid, section, chapter, clause, upgrade, upgraded, chrome,
        object identifier,
        driver, changelog, sec, assemblyversion, fileversion, productversion, file version, product version,
        kernel, dll, sdk, snmp, figure, table, appendix, paragraph, described, defined, specified, fw, hw, sw,
        fig, update, updated to,
        assembly, build, builds, bootloader, requires,
        minimum, rev, revision, bios, tag, pkg, plugin, lib, library, dependency, pip, npm, jdk, java, php, nginx,
        redis, msi, patch, hotfix, app version, user agent, mailer, x mailer, ua, safari, edge, firefox, mozilla, edg,
        opr, pypi, gem, nuget, art, see, requirement
    """,
    "software": """
        installed, install, installs, installing, setup, software, app, application, module, modules, tested, prior,
        affects, affected, vulnerable, fixed, introduced, cve, compatible, compatibility, edition, released, download,
        crash, running, runs, requires, bump, bumped, bumps, downgrade, downgraded, changes, hotfixes, installer,
        packages
    """,
    "qq": """
        qq, qq group, q, qq number, qq no, qq id
    """,
    "number": """
        number, no, num, nr, nummer, numero, número
    """,
}
_CHINESE = {
    "phone": """
        电话, 手机, 手机号, 电话号码, 手机号码, 手機, 電話, 联系方式, 联系人, 联系, 聯絡, 座机, 办公室, 固话, 固定电话,
        传真, 致电, 拨打, 来电, 去电, 通话, 短信, 呼叫, 回电, 联络, 微信, 微信号, 热线, 本机, 携帯, 電話番号,
        전화, 연락처, 携帯電話, 打给, 打我, 我电话, 号码是, 移动电话, 联系电话, 办公电话, 家庭电话, 宅电, 直线,
        总机, 分机, 来电显示, 主叫, 被叫, 预留, 长途, 国际长途, 拨, call机, 打, 加我, 收件人电话,
        紧急联系人, 팩스, 휴대폰, 微信同号, 联系号码
    """,
    "card": """
        卡号, 银行卡, 信用卡, 储蓄卡, 借记卡, 账号, 帐号, 账户, 打款, 付款, 转账, 收款, 汇款, 银联, 刷卡, 贷记卡,
        开户, 扣款, 还款, 卡片, 卡, 银行账户, 银行卡号, 工资卡, 尾号, 银行账号, 打到, 转到, 汇入, 支付
    """,
    "cn_id": """
        身份证, 身份证号, 身份证号码, 证件号, 证件号码, 公民身份, 身份号, 居民证, 证件, 居民身份证, 身份證,
        公民身份号码
    """,
    "ssn": """
        社会安全号, 社安号, 社会安全, 社会保障号, 社会保险号, 社会安全号码, 美国社保号, 社安
    """,
    "passport": """
        护照, 護照, 通行证, 旅行证, 回乡证, 台胞证, 护照号, 护照号码, 港澳通行证
    """,
    "plate": """
        车牌, 号牌, 牌照, 车辆, 轿车, 货车, 车号, 车主, 停车, 挂牌, 车牌号, 车, 牌号, 号牌号码, 客车, 面包车,
        车型, 驾驶, 违章, 入场, 出场, 闸
    """,
    "iban": """
        国际账号, 国际银行账号, 国际银行账户
    """,
    "uscc": """
        信用代码, 纳税人, 税号, 机构代码, 营业执照, 统一社会, 统一社会信用代码, 社会信用代码, 纳税人识别号,
        信用编码, 注册号
    """,
    "ip": """
        服务器, 地址, 主机, 网关, 来源, 代理, 节点, 登录, 域名, 解析, 封禁, 网段, 客户端, 内网, 公网, 出口, IP,
        机器, 跳板机, 攻击, 服务端, 监听, 防火墙, 路由器, 黑名单, 白名单, 源站, 回源, 数据库, 登陆, 访客, 上游,
        攻击者, 目标机
    """,
    "ipish": """
        来自, 访问, 请求, 连接, 从, 到
    """,
    "order": """
        订单, 訂單, 運單, 运单, 单号, 单据, 流水, 快递, 物流, 包裹, 交易, 回单, 票号, 凭证, 受理, 工单, 批次,
        批号, 合同, 发票, 取件码, 流水号, 订单号, 订单编号, 快递单号, 运单号, 交易号, 物流单号, 交易流水, 退款单,
        支付单, 商户单号, 保单, 案号, 发票号, 票据, 编单, 报案号, 挂号
    """,
    "goods": """
        条码, 条形码, 书号, 货号, 型号, 零件, 料号, 序列号, 产品, 商品, 图号, 件号, 规格, 商品编码, 产品编号,
        零件号, 产品序列号, 国际标准书号
    """,
    "device": """
        设备号, 串号, 设备, 机器码, 车架号, 发动机号, 设备编号, 手机串号, 设备码, 电表号
    """,
    "key": """
        编号, 工号, 学号, 编码, 代码, 哈希, 提交, 索引, 学籍号, 会员号, 主键, 单元, 编码号, 用户ID, 会员, 房间号,
        考号, 准考证, 卷号, 会议号, 会议ID, 房间, 住院号, 病历号, 医保号, 社保号, 床号, 备案, 备案号, ICP备,
        公网安备, 专利号, 专利, 学籍, 组织机构代码,
        房号, 门牌
    """,
    "time": """
        时间戳, 时间, 日期, 生日, 有效期, 签发, 到期, 出生, 起始, 截止, 生效
    """,
    "money": """
        金额, 价格, 总计, 合计, 余额, 总额, 售价, 营收, 单价
    """,
    "size": """
        字节, 字节数, 总字节数, 文件大小, 大小, 偏移, 偏移量, 长度, 剩余空间, 空间, 占用内存, 内存, 容量, 行数, 条数,
        总行数, 浏览量, 播放量, 阅读量, 人口, 数量, 库存, 位置, 耗时, 下载量, 点击量, 访问量, 磁盘, 扇区, 流量, 计数
    """,
    "software": """
        下载, 软件, 安装, 至少需要, 影响, 受影响, 补丁, 兼容, 插件, 安装包, 应用, 最新版, 程序
    """,
    "version": """
        版本, 构建, 引导程序, 对象标识符, 标识符, 章节, 固件, 升级, 驱动, 更新到, 小节, 第, 条款, 版本号, 内核,
        详见, 见, 升级到, 协议, 依赖, 组件, 更新至, 升级至, 影响版本, 软件版本, 硬件版本, 系统版本, 协议版本, 驱动版本
    """,
    "qq": """
        QQ群, 群号, 扣扣, 加群, 企鹅号, 企鹅, QQ号, 群聊号
    """,
    "number": """
        号码, 号
    """,
}
# Between a label and its value: "phone number is", "手机号码为".
_FILLERS = """
    a, e, g, i, m, o, s, x, an, as, at, be, by, cn, de, eu, fr, hk, id, in, is, it, me, my, no, nr, of, on, or,
    to, uk, up, us, alt, and, are, day, ext, for, her, his, int, new, now, num, old, one, our, out, pls, raw, str,
    the, usa, use, val, var, via, was, also, back, code, data, free, full, here, home, just, line, long, main,
    only, text, toll, user, with, work, your, after, again, below, bound, china, first, hours, night, still,
    their, under, using, value, client, direct, number, please, second, string, anytime, country, current,
    numbers, primary, private, varchar, business, customer, personal, alternate, following, secondary
"""
_CHINESE_FILLERS = """
    与, 个, 为, 主, 也, 了, 仍, 他, 你, 写, 到, 加, 即, 原, 及, 叫, 可, 号, 后, 和, 在, 填, 备, 她, 您, 我, 或,
    新, 旧, 是, 有, 现, 用, 的, 码, 给, 至, 请, 还, 都, 一下, 个人, 中国, 使用, 信息, 公司, 可以, 号码, 国内,
    国外, 填写, 境外, 备用, 如下, 就是, 或者, 换成, 改为, 改成, 日本, 本人, 注册, 海外, 登记, 绑定, 美国, 英国,
    请填, 输入, 这个, 预留, 香港, 变更为, 更改为, 更新为
"""


def _words(listed: str) -> list[str]:
    return [" ".join(word.split()) for word in listed.split(",")]


ENGLISH = {word: kind for kind, listed in _ENGLISH.items() for word in _words(listed)}
CHINESE = {word: kind for kind, listed in _CHINESE.items() for word in _words(listed)}
FILLERS = frozenset(_words(_FILLERS))
CHINESE_FILLERS = frozenset(_words(_CHINESE_FILLERS))
PHONE_WORDS = tuple(word for word, kind in {**ENGLISH, **CHINESE}.items() if kind in ("phone", "phoneish"))
