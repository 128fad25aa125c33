from pathlib import Path

import pytest

from tbgen.export.errors import UserError
from tbgen.export.tasks.task import Step
from tbgen.generator.models.graph import separate_models
from tbgen.generator.scaffold import Request, scaffold
from tbgen.generator.steps.plugins import step_from_option

CLEAN, CUT = Step(Path("clean.py"), "Clean", {}), Step(Path("cut.py"), "Cut", {}, separate=True)


def test_the_word_makes_a_step_separate(tmp_path: Path) -> None:
    (tmp_path / "clean.py").write_text("class Clean:\n    def __call__(self): ...\n", encoding="utf-8")
    step = step_from_option(f"{tmp_path}/clean.py:Clean sign=_ --separate")
    assert (step.name, step.settings, step.separate) == ("Clean", {"sign": "_"}, True)


def test_separate_steps_are_outermost() -> None:
    models, others = separate_models("shop", [CUT, CLEAN], 16)
    assert [(model.name, model.max_batch_size) for model in models] == [("shop_cut", 16)]
    assert others == [CLEAN]
    with pytest.raises(UserError, match="Cut is separate: it goes before the other --pre steps"):
        separate_models("shop", [CLEAN, CUT], 16)


def test_two_models_of_one_name_are_a_sentence(sample_export: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.py").write_text("class Tokenizer:\n    def __call__(self): ...\n", encoding="utf-8")
    with pytest.raises(UserError, match="two models would have the name 'shop_tokenizer'"):
        scaffold(Request("shop", sample_export, pre=(f"{tmp_path}/cut.py --separate",)), tmp_path / "r")
