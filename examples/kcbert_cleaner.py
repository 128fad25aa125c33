"""KcBERT's authors clean text before it is read: this step does that. Served with --pre examples/kcbert_cleaner.py.

Run as a script it shows the effect: python examples/kcbert_cleaner.py TOKENIZER.json [FILE of lines]
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

URL = re.compile(r"(?:https?://|www\.)[^\s가-힣]+", re.IGNORECASE)
EMOJI = (
    "\u200d\u20e3\u2190-\u21ff\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\ufe0f\U0001f000-\U0001faff\U000e0020-\U000e007f"
)
OTHERS = re.compile(f"[^\x20-\x7eㄱ-ㅣ가-힣{EMOJI}]+")
REPEATS = re.compile(r"([^\d\s])\1{2,}")  # digits stay: 3000 is not 300
SPACES = re.compile(r"\s+")


class KcbertCleaner:
    """Keeps Korean, ASCII and emoji, drops URLs, and shortens repeated characters to two: ㅋㅋㅋㅋ to ㅋㅋ.

    Args:
        folder: the version folder; nothing is read from it.
        tensor: the text tensor.
    """

    def __init__(self, folder: Path, *, tensor: str = "input_text") -> None:  # noqa: ARG002
        self.inputs = {tensor: ("TYPE_STRING", [1])}
        self.outputs = self.inputs

    def __call__(self, **texts: np.ndarray) -> dict[str, np.ndarray]:
        """The text tensor, (batch, 1) str. Gives it cleaned."""
        return {
            name: np.array([[clean(text)] for text in column[:, 0]], dtype=object) for name, column in texts.items()
        }


def clean(text: str) -> str:
    """One text, cleaned; syllables that come as single letters (macOS file names do) are put together first."""
    kept = OTHERS.sub(" ", URL.sub(" ", unicodedata.normalize("NFC", text)))
    return SPACES.sub(" ", REPEATS.sub(r"\1\1", kept)).strip()


COMMENTS = [
    "와 진짜 대박ㅋㅋㅋㅋㅋㅋㅋㅋㅋ https://news.example.com/a?id=1 여기 봐라",
    "★★★ 速報 ★★★ 금리 인상 「결정」",
    "오늘도 상한가 가즈아ㅏㅏㅏㅏ 🚀🚀🚀🚀 www.example.com",
    "삼성전자，SK하이닉스…　둘 다 올랐다！！！",
    "손절했다ㅠㅠㅠㅠㅠㅠㅠ 믿었는데ㅡㅡ;;;;;",
    "배당금 3000원 들어왔네요^^ 감사합니다♥♥♥♥",
]


def unknown_share(tokenizer_file: Path, texts: Sequence[str]) -> float:
    """The share of [UNK] among the tokens of all texts."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokens = [
        token for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False) for token in encoding.tokens
    ]
    return tokens.count("[UNK]") / max(1, len(tokens))


if __name__ == "__main__":
    lines = Path(sys.argv[2]).read_text(encoding="utf-8").splitlines() if len(sys.argv) > 2 else COMMENTS
    before, after = (unknown_share(Path(sys.argv[1]), texts) for texts in (lines, [clean(line) for line in lines]))
    print(f"[UNK] before {before:.1%}, after {after:.1%} of the tokens of {len(lines)} texts")
