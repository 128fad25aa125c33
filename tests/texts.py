"""Texts that every part is tried with."""

from __future__ import annotations

HARD_TEXTS = [
    "오늘도 상한가 갔다",
    "",
    "The KOSPI closed higher today",
    "🔥📈 떡상 가즈아 👨‍👩‍👧",
    "한글" * 400,
    "a\x00b",
    "각",
]

# Sentences in Korean and English, mixed, with punctuation, line breaks, emoji, and one that no small model can hold.
SENTENCES = [
    "삼성전자는 올해 영업이익이 두 배 넘게 늘었다고 공시했다",
    "The shares rose at once, better than anyone had expected.",
    "금리는 동결!! 손절해야 하나요?? ㅋㅋㅋ",
    "KB금융 shares가 3.5% 올랐다 (전일 대비)",
    "배당금이 들어왔다\n은행\t이자보다는　낫다",
    "🔥 오늘도 상한가 갔다 🚀🚀",
    "  spaces   around  ",
    "주가가 하루 만에 급락하며 " * 12,
]
