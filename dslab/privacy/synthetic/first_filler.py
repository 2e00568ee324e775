"""What the first hand writes between values: plain sentences put together from thirds. They hold no digit and no @."""

from __future__ import annotations

import random

_EN = (
    ("The delivery", "Our meeting", "The report", "That printer", "The new release", "My bicycle", "The lease",
     "Lunch", "The server room", "Her lecture", "The invoice", "This form", "The evening class", "A colleague",
     "The garden gate"),
    ("came late again", "was moved to the afternoon", "needs another look", "has not been paid", "looks fine to me",
     "was left at reception", "stopped working after the storm", "is nearly ready", "took longer than planned",
     "should be checked twice", "went to the wrong address", "is open until the holidays"),
    ("", "", ", as far as I know", ", please tell the others", ", so let us wait", " because of the rain",
     " and nobody complained", ", sorry about that", " since the office moved", ", thanks for asking"),
)  # fmt: skip
_ZH = (
    ("快递", "下午的会", "那份报告", "打印机", "新版本", "我的自行车", "租房合同", "午饭", "机房", "她的讲座", "发票",
     "这张表", "晚上的课", "同事", "小区大门"),
    ("又来晚了", "改到明天了", "还要再看一遍", "一直没有付款", "我看没问题", "放在前台了", "打雷以后就坏了",
     "差不多好了", "比计划的久", "最好再核对一次", "送错地方了", "节前都开着"),
    ("", "", "，麻烦转告大家", "，再等等吧", "，因为下雨", "，不好意思", "，谢谢提醒", "，搬家以后一直这样"),
)  # fmt: skip


def sentences(rng: random.Random, lang: str, n: int) -> str:
    """n sentences, English ones divided by blanks."""
    thirds, stop, gap = (_EN, ".", " ") if lang == "en" else (_ZH, "。", "")
    return gap.join("".join(_joined(rng, thirds, lang)) + stop for _ in range(n))


def _joined(rng: random.Random, thirds: tuple[tuple[str, ...], ...], lang: str) -> tuple[str, str, str]:
    subject, verb, tail = (rng.choice(third) for third in thirds)
    return subject, (" " if lang == "en" else "") + verb, tail
