"""The phrases that web.py makes pages from: small sentences of everyday subjects, in English and Chinese.

A sentence is a template whose «slots» are filled at random. Enough of them that two pages hardly share five words in a
row by chance, plain enough that a person can read what a cleaner did to them.
"""

from __future__ import annotations

import random
import re

SLOT = re.compile("«([a-z]+)»")

EN = {
    "who": "the librarian|a neighbour|our teacher|the ferryman|my aunt|the baker|a retired engineer|"
    "the gardener|two students|the choir|the new doctor|a carpenter|the night guard|the harbour master|"
    "an old friend",
    "did": "repaired|painted|described|measured|sold|forgot|photographed|carried|borrowed|cleaned|designed|"
    "copied|weighed|unpacked|planted",
    "thing": "the wooden boat|a box of letters|the stone wall|three maps|the kitchen clock|a row of plum trees|"
    "the upper bridge|a basket of pears|the school piano|an iron gate|the long table|a pair of skis|"
    "the weather station",
    "place": "behind the market|near the old mill|by the river|on the second floor|at the edge of the village|"
    "under the railway arch|in the reading room|beside the lighthouse|above the bakery|"
    "across the valley|next to the well",
    "time": "before breakfast|last autumn|on a wet Tuesday|during the long winter|after the fair|"
    "every second week|in early spring|at low tide|when the snow had gone|between two storms|"
    "shortly before noon",
    "why": "because the roof had begun to leak|since nobody else had the key|"
    "so that visitors could find the way|although the tools were nearly worn out|"
    "while the others were still asleep|to keep the damp away|for the sake of the children",
    "what": "soup|bread|a clock|a sail|cheese|a window frame|a garden path|a radio|a warm coat|a good translation",
    "quality": "patience|a sharp knife|dry wood|clean water|a steady hand|good light|time|honest friends|"
    "the right weather",
    "number": "two|three|four|seven|nine|eleven|twenty|forty",
    "unit": "hours|days|metres|boxes|people|pages|kilometres|visitors|attempts",
}
EN_SENTENCES = (
    "«who» «did» «thing» «place» «time».",
    "«time» «who» «did» «thing», «why».",
    "It took «number» «unit» to finish, «why».",
    "To make «what» you need «quality» and, above all, «quality».",
    "Nobody remembers who «did» «thing», but «who» still talks about it.",
    "There are «number» «unit» between «thing» and the house «place».",
    "«who» said that «thing» stood «place» for «number» years.",
    "If you come «time», ask for «who»: «thing» is kept «place».",
    "We counted «number» «unit» «time» and «number» more «place».",
    "In the end «who» and «who» agreed that «what» is worth «number» «unit» of work.",
    "«thing» has been painted «number» times, most recently by «who».",
    "On the way home we met «who» with «thing» under one arm.",
    "Without «quality», «who» used to say, no good «what» was ever made.",
    "The path «place» is closed, so visitors walk «number» «unit» more.",
    "A letter from «who» mentions «thing» and the long wait «time».",
)
ZH = {
    "who": "图书管理员|一位邻居|我们的老师|摆渡人|姑妈|面包师|退休工程师|园丁|两个学生|合唱团|新来的医生|木匠|"
    "守夜人|老朋友",
    "did": "修好了|重新粉刷了|仔细描述了|测量了|卖掉了|忘记了|拍下了|搬走了|借来了|打扫了|设计了|抄写了",
    "thing": "那条木船|一箱旧信|石头围墙|三张地图|厨房里的钟|一排李子树|上游的桥|一篮梨|学校的钢琴|铁门|长桌子|气象站",
    "place": "在集市后面|在老磨坊附近|在河边|在二楼|在村口|在铁路桥下|在阅览室里|在灯塔旁边|在山谷对面|在井边",
    "time": "早饭前|去年秋天|一个下雨的星期二|漫长的冬天里|庙会之后|每隔一周|初春|退潮的时候|雪化以后|快到中午的时候",
    "why": "因为屋顶开始漏水|因为别人都没有钥匙|为了让客人找到路|尽管工具都快磨坏了|趁别人还没醒|为了防潮|为了孩子们",
    "what": "汤|面包|钟表|船帆|奶酪|窗框|小路|收音机|大衣|好译文",
    "quality": "耐心|一把快刀|干木头|清水|稳当的手|好光线|时间|真诚的朋友|合适的天气",
    "number": "两|三|四|七|九|十一|二十|四十",
    "unit": "个小时|天|米|箱|个人|页|公里|位客人|次尝试",
}
ZH_SENTENCES = (
    "«time»，«who»«place»«did»«thing»。",
    "«who»«did»«thing»，«why»。",
    "前后用了«number»«unit»才完成，«why»。",
    "要做好«what»，需要«quality»，更需要«quality»。",
    "没有人记得是谁«did»«thing»，但«who»至今还会提起。",
    "«who»说，«thing»放«place»已经«number»年了。",
    "如果你«time»来，可以找«who»，«thing»就«place»。",
    "我们«time»数了数，一共«number»«unit»。",
    "«thing»已经刷过«number»次漆，最近一次是«who»动的手。",
    "回家路上碰到«who»，肩上扛着«thing»。",
    "«who»常说，没有«quality»，就做不出像样的«what»。",
    "«place»的小路封了，大家得多走«number»«unit»。",
    "«who»在信里提到«thing»，还说«time»等了很久。",
)
# Sentences that carry a value, and the kind of value (see values.py) that stands in them.
EN_CONTACTS = {
    "Write to «» for the recipe.": "email",
    "For questions call «» in the evening.": "cn_mobile",
    "Her card number, «», was on the receipt.": "card",
    "The visitor's ID number is «».": "cn_id",
    "The log shows a login from «» that night.": "ipv4",
    "His social security number, «», stood on the form.": "us_ssn",
    "Please transfer the deposit to IBAN «».": "iban",
    "passport no. «» was found at the desk.": "passport",
    "Phone «» and ask for the office.": "phone_e164",
}
ZH_CONTACTS = {
    "有问题请打电话«»。": "cn_mobile",
    "报名请发邮件到«»，注明姓名。": "email",
    "登记的身份证号是«»。": "cn_id",
    "定金请转到卡号«»。": "card",
    "车牌«»的车主请移车。": "cn_plate",
    "统一社会信用代码«»。": "uscc",
    "护照号«»已登记。": "passport",
    "微信同号«»，谢谢。": "cn_mobile",
}
JUNK = (
    "Home | About | Products | Contact | Login | Home | About | Products | Contact | Login",
    "CLICK HERE!!! >>> BEST PRICE <<< CLICK HERE!!! >>> BEST PRICE <<< ### *** ### *** $$$",
    "{ { } } ; ; // [] [] () () => => ## ## @@ @@ %% %% ^^ ^^ && && ** ** __ __ ~~ ~~",
    "buy cheap watches buy cheap watches buy cheap watches buy cheap watches buy cheap watches",
    "lorem ipsum dolor sit amet lorem ipsum dolor sit amet",
    "首页 | 关于我们 | 产品 | 联系我们 | 登录 | 首页 | 关于我们 | 产品 | 联系我们 | 登录",
)


def sentence(rng: random.Random, lang: str) -> str:
    """One sentence, its slots filled."""
    return prose(rng, lang, 1)[0]


def prose(rng: random.Random, lang: str, n: int) -> list[str]:
    """n sentences of different templates (at most as many as there are), their slots filled."""
    words, templates = (ZH, ZH_SENTENCES) if lang == "zh" else (EN, EN_SENTENCES)
    chosen = rng.sample(templates, min(n, len(templates)))
    filled = [SLOT.sub(lambda slot: rng.choice(words[slot[1]].split("|")), template) for template in chosen]
    return [text[0].upper() + text[1:] for text in filled]


def contact(rng: random.Random, lang: str) -> tuple[str, str]:
    """A sentence with a place «» for a value, and the kind of value it wants."""
    return rng.choice(list((ZH_CONTACTS if lang == "zh" else EN_CONTACTS).items()))
