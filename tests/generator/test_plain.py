from pathlib import Path

import pytest

from tbgen.export.tasks.task import Step
from tbgen.generator.steps.plain import PLAIN, plain

TOKENIZER = {"max_length": 40, "tensors": ["input_ids"], "data_type": "TYPE_INT64", "pad_id": 0, "buckets": []}
ENGINE = {"model": "m", "inputs": {}, "outputs": {}, "max_batch_size": 4, "buckets": [], "padding_cost": 0.6}
HEAD = {"labels": ["a", "b"], "top_k": 2, "extras": ["json"]}


@pytest.mark.parametrize(
    ("file", "settings", "more"),
    [
        ("tokenizer.py", TOKENIZER, {"texts": ["input_text", "text_pair"]}),
        ("tokenizer.py", TOKENIZER, {"split_special_tokens": True}),
        ("engine.py", ENGINE, {"shapes": [[1, 4, 1, 40]]}),
        ("text_classification.py", HEAD, {"activation": "sigmoid"}),
    ],
)
def test_a_model_carries_the_plain_file_of_a_step_unless_its_settings_ask_for_more(
    file: str, settings: dict[str, object], more: dict[str, object]
) -> None:
    (lean,) = plain([Step(file, "Step", settings)])
    assert (lean.file, lean.settings) == (PLAIN[file][0], settings)
    (full,) = plain([Step(file, "Step", settings | more)])
    assert full.file == file


def test_other_steps_stay_as_they_are() -> None:
    steps = (Step("prompt.py", "Prompt", {}), Step(Path("tokenizer.py"), "Mine", {}))
    assert plain(steps) == steps
