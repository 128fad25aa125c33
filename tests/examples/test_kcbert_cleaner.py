"""The cleaner that docs/how-to/extend.md tells of, and what it counts of a vocabulary."""

import sys
import unicodedata
from pathlib import Path

import pytest

from tbgen.generator.presets import SAMPLES
from tbgen.generator.steps.load import step_from_file
from tbgen.generator.steps.plugins import extra_imports, step_from_option
from tbgen.generator.steps.trial import try_step
from tests.backends.served import column

FILE = Path(__file__).parents[2] / "examples" / "kcbert_cleaner.py"
KcbertCleaner = step_from_file(FILE, "KcbertCleaner")
module = sys.modules[KcbertCleaner.__module__]


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("대박ㅋㅋㅋㅋㅋ https://a.kr/b?c=1 봐라", "대박ㅋㅋ 봐라"),
        ("www.example.com에서 샀다", "에서 샀다"),
        ("速報 「금리」 인상！", "금리 인상"),
        ("배당금 3000원", "배당금 3000원"),
        ("가즈아ㅏㅏㅏ 🚀🚀🚀 👨‍👩‍👧", "가즈아ㅏㅏ 🚀🚀 👨‍👩‍👧"),
        (unicodedata.normalize("NFD", "한글"), "한글"),
        ("a\x00b\n\tc", "a b c"),
        ("", ""),
    ],
)
def test_korean_ascii_and_emoji_stay(text: str, cleaned: str) -> None:
    assert KcbertCleaner(Path())(input_text=column(text))["input_text"].tolist() == [[cleaned]]


def test_it_cleans_the_tensor_that_it_is_told() -> None:
    step = KcbertCleaner(Path(), tensor="query")
    assert step.inputs == step.outputs == {"query": ("TYPE_STRING", [1])}


def test_it_keeps_the_contract_and_needs_no_package() -> None:
    try_step(step_from_option(str(FILE)))
    assert extra_imports(FILE) == []


def test_fewer_tokens_are_unknown() -> None:
    texts = module.COMMENTS
    before = module.unknown_share(SAMPLES / "kcbert" / "tokenizer.json", texts)
    after = module.unknown_share(SAMPLES / "kcbert" / "tokenizer.json", [module.clean(text) for text in texts])
    assert after < 0.7 * before
