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
