"""Sentences that every export is checked on when none are given: short and long, Korean and English, plain and odd."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

_SENTENCES = (
    "오늘도 상한가 갔다",
    "실적 발표 이후 주가가 하루 만에 12% 급락하며 투자자들의 불안이 커지고 있다.",
    "금리는 동결",
    "이 회사 진짜 믿고 샀는데 ㅠㅠ 반토막 났네요... 손절해야 하나요?",
    "삼성전자는 올해 3분기 영업이익이 지난해 같은 기간보다 두 배 넘게 늘었다고 31일 공시했다.",
    "👍🏻",
    "The quarterly report was better than anyone had expected, and the shares rose at once.",
    "Sell.",
    "환율 1,380원 돌파, 수출 기업은 웃고 수입 기업은 울고 서민 물가는 또 오르고 정부는 대책을 내놓겠다고만 한다.",
    "ㅋㅋㅋㅋㅋ 가즈아~!!",
    "배당금이 들어왔다. 많지는 않지만 은행 이자보다는 낫다.",
    "नमस्ते дорогой مرحبا 你好",
)
# What settings of a tokenizer decide: letter case, accents, spaces, Hangul composed and decomposed, control characters.
_ODD = (
    "Berlin Café IS the Capital of DEUTSCHLAND, naïve Ångström",
    "  two  spaces   and\ta tab ",
    "\u1112\u1161\u11ab\u1100\u1173\u11af 한글 ｆｕｌｌ ｗｉｄｔｈ ①",
    "漢字 かな 上海 a\u200bb\u00adc",
    "👩‍👩‍👧 🔥🔥 e\u0301",
)
# Longer than most models read: what is cut off must be cut off the same way everywhere.
_LONG = " ".join(_SENTENCES) * 3
TEXTS = (*_SENTENCES, _LONG)


def pair_of(text: str) -> tuple[str, str]:
    """A text with a partner, its own first half: any would do, but the same everywhere."""
    return text[: len(text) // 2 + 1], text


def gate_texts(texts: Sequence[str] | None, special: Iterable[str], max_length: int) -> list[str]:
    """The texts, ours unless some are named, and always odd ones: special tokens written out, and one that is cut.

    special: the tokens that have a role. The long text has about twice `max_length` words, of 1,024 tokens at most.
    """
    words = _LONG.split()
    repeated = words * (2 * min(max_length, 1024) // len(words) + 1)
    long = " ".join(repeated[: 2 * min(max_length, 1024)])
    return [*(texts or _SENTENCES), *_ODD, " rose, the bank ".join(["The", *special, "fell"]), long]


def gate_sentences() -> list[str]:
    """English and Korean sentences that a converted file is compared on when none are given, and those above."""
    return [*_lines_of("gate.txt"), *TEXTS]


def calibration_sentences() -> list[str]:
    """English and Korean sentences that 8 bits are fitted to; none of them is compared on."""
    return _lines_of("calibration.txt")


def _lines_of(name: str) -> list[str]:
    """The lines of a file that lies here."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()
