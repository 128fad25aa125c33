import re
from pathlib import Path

import pytest

from tbgen.export.errors import UserError
from tbgen.export.tasks.task import Step
from tbgen.generator.steps.trial import try_step

HEAD = "import numpy as np\nclass S:\n"
TEXT = '{"input_text": ("TYPE_STRING", [1])}'
GOOD = (
    HEAD
    + f"""
    inputs = {TEXT}
    outputs = {{"length": ("TYPE_INT32", [1])}}
    def __init__(self, folder, *, plus=0):
        self.plus = plus
    def __call__(self, input_text):
        return {{"length": np.array([[len(t) + self.plus] for t in input_text[:, 0]], dtype=np.int32)}}
"""
)


def trial(folder: Path, code: str, **settings: object) -> object:
    (folder / "s.py").write_text(code, encoding="utf-8")
    return try_step(Step(folder / "s.py", "S", settings))


def test_a_good_step_is_run_on_korean_empty_and_long_texts(tmp_path: Path) -> None:
    done = trial(tmp_path, GOOD, plus=1)
    assert done.answer["length"][:, 0].tolist() == [11, 1, 24, 10, 401, 4]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("np.int32", "np.int64", "gives length as int64; TYPE_INT32 is int32"),
        ("[[len(t) + self.plus]", "[len(t) + self.plus", "gives length of shape [6]; its dims ask for [6, 1]"),
        ('return {"length"', 'return {"size"', "says that it gives length; its call gave size"),
        ("TYPE_INT32", "INT32", "outputs['length'] is ('INT32', [1]); write (data type, dims)"),
        ("    inputs", "    takes", 'needs inputs, such as {"input_text": ("TYPE_STRING", [1])}'),
        ("len(t)", "len(input_text)", "gives another length for item 0 alone than beside others"),
        ("[[len(t)", "[[int(t or 'x')", "refuses the example, as a client's mistake: ValueError: invalid literal"),
    ],
)
def test_what_breaks_the_contract_is_a_sentence(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    code = GOOD.replace(old, new)
    if old.startswith("[[len(t) +"):
        code = code.replace("self.plus] for", "self.plus for")
    with pytest.raises(UserError) as error:
        trial(tmp_path, code)
    assert sentence in error.value.message


def test_a_setting_that_it_has_not_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"s.py:S cannot be constructed: TypeError: .*unexpected keyword argument 'size'"
    ):
        trial(tmp_path, GOOD, size=1)


def test_the_example_of_the_contract_keeps_it(tmp_path: Path) -> None:
    readme = Path(__file__).parents[2] / "backends" / "README.md"
    code = re.search(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    (tmp_path / "sure.py").write_text(code[1], encoding="utf-8")
    assert try_step(Step(tmp_path / "sure.py", "OnlyIfSure", {"least": 0.5})).answer["label"][0, 0] == "?"
