"""What NVIDIA's tensorrt backend refuses, in the sentences of its source; as far as it can be told without a GPU."""

import copy
from pathlib import Path
from typing import Any

import pytest

from tbgen.export.exported import TensorSpec
from tbgen.export.tensorrt.plan import Plan
from tbgen.export.tensorrt.profiles import profile_from_text
from tbgen.generator.rules.problem import not_served, refuse
from tbgen.generator.rules.tensorrt import (
    NOT_SERVED,
    complete_config,
    no_profile,
    plan_file,
    problems,
    profile_numbers,
)

PROFILES = [profile_from_text(text) for text in ("1x300", "1x128", "32x128")]
PLAN = Plan(
    {name: TensorSpec("int32", ("batch", "sequence")) for name in ("input_ids", "attention_mask")},
    {"outputs": TensorSpec("float32", ("batch", 3))},
    tuple(PROFILES),
    "8.5.3.1",
)
CONFIG: dict[str, Any] = {
    "name": "kcbert_trt_fp16",
    "max_batch_size": 32,
    "input": [
        {"name": "input_ids", "data_type": "TYPE_INT32", "dims": ["-1"]},
        {"name": "attention_mask", "data_type": "TYPE_INT32", "dims": ["-1"]},
    ],
    "output": [{"name": "outputs", "data_type": "TYPE_FP32", "dims": ["3"]}],
    "instance_group": [{"name": "kcbert_trt_fp16_0", "kind": "KIND_GPU", "profile": ["0", "1", "2"]}],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The configuration with one value changed: 'input.0.dims'."""
    config = copy.deepcopy(CONFIG)
    *way, last = path.split(".")
    place: Any = config
    for key in way:
        place = place[int(key)] if key.isdigit() else place[key]
    place[int(last) if last.isdigit() else last] = value
    return config


def test_the_generated_configuration_is_served() -> None:
    assert [*not_served(CONFIG, NOT_SERVED), *problems(CONFIG, PLAN)] == []


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (
            "input.0.data_type",
            "TYPE_INT64",
            "unexpected datatype TYPE_INT32 for inference input 'input_ids', expecting TYPE_INT64 for kcbert_trt_fp16",
        ),
        (
            "input.0.name",
            "ids",
            "unexpected inference input 'ids', allowed inputs are: attention_mask, input_ids",
        ),
        ("input", CONFIG["input"][:1], "expected configuration for input 'attention_mask' for kcbert_trt_fp16"),
        (
            "input",
            CONFIG["input"] * 2,
            "unable to load model 'kcbert_trt_fp16', configuration expects 4 inputs, model provides at most 2",
        ),
        ("output", [], "expected configuration for output 'outputs' for kcbert_trt_fp16"),
        (
            "output.0.dims",
            ["2"],
            "model 'kcbert_trt_fp16', tensor 'outputs': the model expects 2 dimensions (shape [-1,3]) but the model"
            " configuration specifies 2 dimensions (an initial batch dimension because max_batch_size > 0 followed by"
            " the explicit tensor shape, making complete shape [-1,2])",
        ),
        (
            "max_batch_size",
            64,
            "autofill failed for model 'kcbert_trt_fp16': configuration specified max-batch 64 but TensorRT engine only"
            " supports max-batch 32",
        ),
        (
            "input.0.dims",
            ["300"],
            "model configuration specified invalid shape for input 'input_ids' for model kcbert_trt_fp16. Error"
            " details: model expected the shape of dimension 1 to be between 128 and 128 but received 300",
        ),
        (
            "sequence_batching",
            {"max_sequence_idle_microseconds": 1},
            "unable to load model 'kcbert_trt_fp16', the embedded server does not serve sequence_batching",
        ),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(path: str, value: Any, sentence: str) -> None:
    with pytest.raises(ValueError) as told:
        refuse(not_served(changed(path, value), NOT_SERVED))
        refuse(problems(changed(path, value), PLAN))
    assert str(told.value) == sentence


def test_an_instance_uses_its_groups_profiles_and_the_first_where_none_is_listed() -> None:
    assert profile_numbers(CONFIG, "kcbert_trt_fp16_0_1") == [0, 1, 2]
    assert profile_numbers(changed("instance_group.0.profile", []), "kcbert_trt_fp16_0_0") == [0]
    assert profile_numbers(changed("instance_group.0.profile", ["2x", "1"]), "kcbert_trt_fp16_0_0") == [2, 1]


def test_a_bare_configuration_is_completed_from_the_plan() -> None:
    config = changed("input", []) | {"output": [], "max_batch_size": 0}
    complete_config(config, PLAN)
    assert (config["max_batch_size"], config["dynamic_batching"]) == (32, {})
    assert config["input"][0] == {"name": "input_ids", "data_type": "TYPE_INT32", "dims": [-1]}
    assert config["output"] == [{"name": "outputs", "data_type": "TYPE_FP32", "dims": [3]}]
    with pytest.raises(ValueError, match=r"specified invalid profile 3 \. Number of profiles supported by TensorRT"):
        complete_config(changed("instance_group.0.profile", ["3"]), PLAN)


def test_a_request_that_fits_no_profile_is_told_why() -> None:
    assert no_profile("kcbert_0", dict(enumerate(PROFILES)), 5, 300).endswith(
        "It takes 1x300, 1x128, 32x128, the request is 5x300"
    )
    assert no_profile("kcbert_0", {2: PROFILES[2]}, 5, 128) == (
        "request specifies invalid shape for kcbert_0. Error details: model expected the shape of dimension 0 to be"
        " between 32 and 32 but received 5"
    )


def test_a_missing_plan_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unable to find '.*/1/model.plan' for model instance 'kcbert_trt_fp16'"):
        plan_file(CONFIG, tmp_path / "1")
    (tmp_path / "other.plan").write_bytes(b"plan")
    assert plan_file(CONFIG | {"default_model_filename": "other.plan"}, tmp_path) == tmp_path / "other.plan"
