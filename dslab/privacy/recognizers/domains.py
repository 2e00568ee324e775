"""Top-level domains that exist, as far as addresses in text need them.

Every two-letter country code, the generic domains in everyday use, and the common ones in other scripts. The full list
(IANA, about 1,440) changes monthly; an address under a domain missing here is still found where a label says e-mail.
"""

from __future__ import annotations

_COUNTRIES = (
    "ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bv bw by bz ca "
    "cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et eu fi fj fk fm fo fr "
    "ga gb gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm "
    "jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq "
    "mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa "
    "re ro rs ru rw sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn "
    "to tr tt tv tw tz ua ug uk us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw"
)
_GENERIC = (
    "com net org edu gov mil int info biz name pro aero coop museum jobs mobi travel tel cat asia post xxx arpa app "
    "dev page cloud tech online site store shop xyz top club vip work live life world today news blog wiki email mail "
    "host website space fun icu ltd group team company solutions services agency digital media design studio art "
    "systems network software technology academy education school university institute science health care clinic "
    "hospital bank finance capital fund money insurance law legal consulting partners ventures global international "
    "center foundation ngo support help chat social community events tours house land city town london paris berlin "
    "tokyo nyc africa google apple microsoft amazon bmw cern edu example test goog aws ink link click pub bar cafe "
    "restaurant fit games game play photo photos pictures video audio music radio film movie tv fashion shoes style "
    "beauty car cars auto bike energy green eco farm garden kitchen pet dog wang ren beer wine moe love plus one zone "
    "run rocks guru expert ninja earth market trade trading exchange bid loan credit cash gold tax accountant "
    "engineer engineering build builders construction properties estate realty rent rentals homes villas immo haus "
    "gmbh swiss bayern wien koeln hamburg ruhr saarland scot wales irish quebec boston miami vegas sydney melbourne "
    "moscow istanbul barcelona madrid eus gal bzh corp local internal lan home"
)
_OTHER_SCRIPTS = (
    "中国 中國 公司 网络 集团 香港 台湾 台灣 新加坡 在线 中文网 网址 商城 网店 政务 公益 我爱你 世界 机构 "
    "手机 移动 广告 企业 网站 组织机构 信息 娱乐 рф укр бел онлайн сайт орг москва қаз срб мкд бг ελ ευ 한국 "
    "닷컴 닷넷 みんな コム भारत संगठन بھارت امارات السعودية شبكة موقع ישראל ไทย"
)
_TOP_LEVEL = frozenset(f"{_COUNTRIES} {_GENERIC} {_OTHER_SCRIPTS}".split())
_FILE_ENDINGS = (
    "png jpg jpeg gif svg webp bmp ico tif tiff psd js mjs ts tsx jsx css scss less json jsonl html htm xml yml yaml "
    "toml ini cfg conf txt csv tsv pdf doc docx xls xlsx ppt pptx rar gz tgz bz xz exe dll bin jar war class pyc "
    "ipynb cpp hpp java go rb php vue swift kt lua sql db log bak tmp lock map min mp mov avi wav flac woff ttf eot "
    "onnx pt pth ckpt safetensors gguf parquet"
)
_FILES = frozenset(_FILE_ENDINGS.split())


def is_top_level(label: str, files: bool = False) -> bool:
    """Is this the last label of a domain name? With `files`: is it the ending of a file name instead?

    >>> is_top_level("com"), is_top_level("CN"), is_top_level("png"), is_top_level("xn--fiqs8s"), is_top_level("Tx")
    (True, True, False, True, False)
    """
    if files:
        return label.lower() in _FILES
    if label.lower().startswith("xn--"):
        return True
    return label.lower() in _TOP_LEVEL and (
        label.islower() or label.isupper() or not label.isascii() or (label.istitle() and len(label) > 2)
    )
