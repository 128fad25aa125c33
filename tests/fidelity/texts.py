"""Some 40 texts on which tokenizers and heads come apart, by what is hard in each."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Iterable

HANGUL = "삼성전자는 올해 영업이익이 두 배 넘게 늘었다고 공시했다"
TEXTS = {
    "empty": "",
    "one character": "a",
    "one space": " ",
    "spaces alone": " \u3000\t ",
    "plain English": "The shares rose at once, better than anyone had expected.",
    "Hangul composed": HANGUL,
    "Hangul decomposed": unicodedata.normalize("NFD", HANGUL),
    "Hangul jamo": "ㅋㅋㅋ ㅠㅠ ㄱ ㅏ 각",
    "Arabic": "ارتفعت أسهم البنك اليوم بنسبة ٣٫٥٪ وَقَالَ المُدِيرُ",
    "Hebrew": "מניות הבנק עלו היום בְּרֵאשִׁית",
    "right to left in left to right": "The \u202bبنك\u202c rose \u2067היום\u2069 again",
    "Chinese": "上海股市今日大幅上涨，投资者信心增强。",
    "Japanese": "株価は一日で急落し、ｶﾌﾞｶ も ガ と ガ",
    "Thai and Devanagari": "ราคาหุ้นเพิ่มขึ้น शेयर बढ़े क्ष",
    "Cyrillic and Greek": "Акции ВЫРОСЛИ ещё раз, ΟΔΥΣΣΕΥΣ ς",
    "control characters": "a\x00b\x01c\x07d\x1be\x7ff\x85g",
    "zero width": "ba\u200bnk sh\u200dares \u200cro\u2060se \ufeffat on\u00adce",
    "leading and trailing spaces": "   the bank rose   ",
    "repeated spaces": "the  bank   rose    at     once",
    "odd spaces": "the\u00a0bank\u2003rose\u202fat\u2028once\u2029now\u3000here",
    "tabs and newlines": "the bank\trose\nat once\r\nand the\n\n\treport\vwas\fbetter",
    "special tokens of BERT": "The [CLS] bank [SEP] rose [UNK] at [PAD] once",
    "special tokens of RoBERTa": "The <s> bank </s> rose <unk> at <pad> once",
    "special tokens glued": "the[SEP]bank</s>rose[CLS]<s>at[PAD]<pad>once[SEP",
    "pad tokens inside": "[PAD] the [PAD][PAD] bank rose <pad> at <pad><pad> once [PAD]",
    "a long word": "antidisestablishmentarianism" * 6,
    "long Hangul without spaces": "오늘도상한가갔다금리는동결" * 5,
    "emoji": "🔥📈 떡상 가즈아 🚀🚀",
    "emoji joined": "👨‍👩‍👧 👍🏻 🏳️‍🌈 ❤️ 🇰🇷",
    "full width": "ＦＵＬＬ　ｗｉｄｔｈ １２３％ ｱｲｳ",
    "accents composed": "Café naïve Ångström São Tomé élève",
    "accents decomposed": unicodedata.normalize("NFD", "Café naïve Ångström São Tomé élève"),
    "stacked marks": "Z̷̢̛a̴̡͝l̵͉̓g̶̨͌o e\u0301\u0301\u0301",
    "capitals": "THE KOSPI CLOSED HIGHER Today McDonald iPhone",
    "Turkish I": "İstanbul ISPARTA ılık Iğdır i̇",
    "sharp s and ligatures": "STRASSE Straße ẞ ﬁnance ﬂow ǆ ŉ",
    "digits": "3.5% 1,380원 -12 +0.07 2026-10-06 ①② Ⅳ ½ ٣ 10¹⁸",
    "punctuation": "«quoted» “curly” 'it''s' ``x'' -- — … ?! (a) [b] {c} #d @e $f_g",
    "addresses": "https://example.com/a?b=c&d=%20#e user.name+tag@example.co.kr /usr/local/bin",
    "code": "if (a<b && c>=d) { return x[i]->y; } // 100%",
    "marks of the vocabularies": "##ing ▁the Ġbank ▁▁ ## Ċ",
    "mixed": "KB금융 shares가 3.5% 올랐다 (전일 대비) 株価 рост 🔥",
    "private use and beyond": "\ue000 \U000f0000 𝔘𝔫𝔦 𐍈 𠮷 \ufffd \uffff",
}
WORDS = ("the", "bank", "rose", "at", "once", "금리는", "better", "than", "anyone", "동결")


LENGTHS = {"one below the maximum": -1, "exactly the maximum": 0, "one over the maximum": 1}
FAR = "far over the maximum"
NAMES = (*TEXTS, *LENGTHS, FAR)


def with_lengths(count: Callable[[str], int], most: int) -> dict[str, str]:
    """The texts, with those that end at a model's limit. count: the tokens of an item with a text in it."""
    at_the_limit = {name: text_of(count, most + more) for name, more in LENGTHS.items()}
    return {**TEXTS, **at_the_limit, FAR: " ".join(itertools.islice(itertools.cycle(WORDS), 4 * most))}


def text_of(count: Callable[[str], int], length: int) -> str:
    """A text with which an item has just so many tokens. Raises ValueError where words and letters hit none."""
    text = ""
    for word in itertools.islice(itertools.cycle(WORDS), length):
        text = longest_fitting(count, length, text, [f"{text} {word}".strip(), *endings(text)])
        if count(text) == length:
            return text
    raise ValueError(f"no text of {length} tokens")


def endings(text: str) -> Iterable[str]:
    """A text with a little more, for the last token."""
    return (f"{text} {letters}" for letters in ("a", "the", "!", "a!", "e", "x"))


def longest_fitting(count: Callable[[str], int], length: int, text: str, longer: Iterable[str]) -> str:
    """The first of the longer texts that does not have too many tokens, or else the text."""
    return next((each for each in longer if count(each) <= length), text)
