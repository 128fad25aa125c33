"""What NVIDIA's onnxruntime backend refuses to load, in the literal sentences of its source."""

from __future__ import annotations

import json

import onnxruntime
import pytest
from google.protobuf import json_format, text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tbgen.export.errors import UserError
from tbgen.generator.rules.onnxruntime import complete_config, problems, specs_from_nodes
from tbgen.generator.rules.problem import refuse
from tbgen.server.embedded.log import load_failures
from tests.server import playground as play
from tests.serving import serving

ONE = "instance_group { kind: KIND_CPU count: 1 }"
IDS = 'input { name: "ids" data_type: TYPE_INT64 dims: -1 }'
MASK = 'input { name: "mask" data_type: TYPE_INT64 dims: -1 }'
OUTPUTS = 'output { name: "outputs" data_type: TYPE_FP32 dims: 3 }'
BATCHED = (
    "an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making complete shape"
)


def parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'


# model: (ONNX graph, configuration, sentence)
REFUSED = {
    "free_output": (
        play.linear(),
        f'max_batch_size: 8 {IDS} {MASK} output {{ name: "outputs" data_type: TYPE_FP32 dims: -1 }}',
        "model 'free_output', tensor 'outputs': the model expects 2 dimensions (shape [-1,3]) but the model"
        f" configuration specifies 2 dimensions ({BATCHED} [-1,-1])",
    ),
    "output_rank": (
        play.linear(),
        f'max_batch_size: 8 {IDS} {MASK} output {{ name: "outputs" data_type: TYPE_FP32 dims: [3, 1] }}',
        "model 'output_rank', tensor 'outputs': the model expects 2 dimensions (shape [-1,3]) but the model"
        f" configuration specifies 3 dimensions ({BATCHED} [-1,3,1])",
    ),
    "unbatched_rank": (
        play.linear(),
        f'{IDS} {MASK} output {{ name: "outputs" data_type: TYPE_FP32 dims: [-1, 3] }}',
        "model 'unbatched_rank', tensor 'ids': the model expects 2 dimensions (shape [-1,-1]) but the model"
        " configuration specifies 1 dimensions (shape [-1])",
    ),
    "wider_input": (
        play.linear(length=8),
        f"max_batch_size: 8 {IDS} {MASK} {OUTPUTS}",
        "model 'wider_input', tensor 'ids': the model expects 2 dimensions (shape [-1,8]) but the model configuration"
        f" specifies 2 dimensions ({BATCHED} [-1,-1])",
    ),
    "input_type": (
        play.linear(),
        f"max_batch_size: 8 {IDS.replace('INT64', 'INT32')} {MASK} {OUTPUTS}",
        "unable to load model 'input_type', configuration expects datatype TYPE_INT32 for input 'ids', model provides"
        " TYPE_INT64",
    ),
    "output_type": (
        play.linear(),
        f"max_batch_size: 8 {IDS} {MASK} {OUTPUTS.replace('FP32', 'FP16')}",
        "unable to load model 'output_type', configuration expects datatype TYPE_FP16 for output 'outputs', model"
        " provides TYPE_FP32",
    ),
    "missing_input": (
        play.linear(),
        f"max_batch_size: 8 {IDS} {OUTPUTS}",
        "unable to load model 'missing_input', configuration expects 1 inputs, model provides 2",
    ),
    "extra_input": (
        play.linear(),
        f"max_batch_size: 8 {IDS} {MASK} {IDS.replace('ids', 'more')} {OUTPUTS}",
        "unable to load model 'extra_input', configuration expects 3 inputs, model provides 2",
    ),
    "input_name": (
        play.linear(),
        f"max_batch_size: 8 {IDS.replace('ids', 'tokens')} {MASK} {OUTPUTS}",
        "unexpected inference input 'tokens', allowed inputs are: ids, mask",
    ),
    "output_name": (
        play.linear(),
        f"max_batch_size: 8 {IDS} {MASK} {OUTPUTS.replace('outputs', 'logits')}",
        "unexpected inference output 'logits', allowed outputs are: outputs, twice",
    ),
    "fixed_batch": (
        play.linear(batch=1),
        f"max_batch_size: 8 {IDS} {MASK} {OUTPUTS}",
        "model 'fixed_batch', tensor 'ids': for the model to support batching the shape should have at least 1"
        " dimension and the first dimension must be -1; but shape expected by the model is [1,-1]",
    ),
    "fixed_batch_completed": (
        play.linear(batch=1),
        "max_batch_size: 8",
        "autofill failed for model 'fixed_batch_completed': model does not support batching while non-zero"
        " max_batch_size is specified",
    ),
    "optional_input": (
        play.linear(),
        f"max_batch_size: 8 {IDS} {MASK} {IDS.replace('ids', 'more').replace('dims', 'optional: true dims')} {OUTPUTS}",
        "unable to load model 'optional_input', optional input 'more' is not supported for models that support"
        " batching",
    ),
    "ragged_input": (
        play.linear(),
        f"max_batch_size: 8 {IDS.replace('dims', 'allow_ragged_batch: true dims')} {MASK} {OUTPUTS}",
        "unable to load model 'ragged_input', configuration expects model provides input with shape [-1]  for ragged"
        " input 'ids', model provides [-1,-1]",
    ),
}

# What is found while the session is made, from the parameters: served for real only.
REFUSED_PARAMETERS = {
    "execution_mode": (
        play.linear(),
        f"max_batch_size: 8 {IDS} {MASK} {OUTPUTS} {parameter('execution_mode', '7')}",
        "Invalid configuration value provided. Expected values for execution_mode are 0 or 1 but got 7 .",
    ),
    "thread_count": (
        play.linear(),
        f"max_batch_size: 8 {IDS} {MASK} {OUTPUTS} {parameter('intra_op_thread_count', 'all')}",
        "failed to convert 'all' to integral number",
    ),
    "arena": (
        play.linear(),
        f"max_batch_size: 8 {IDS} {MASK} {OUTPUTS} {parameter('enable_mem_arena', 'perhaps')}",
        "failed to convert 'perhaps' to boolean",
    ),
}
SERVED = {name: REFUSED[name] for name in ("free_output", "input_name", "fixed_batch_completed")} | REFUSED_PARAMETERS


@pytest.mark.parametrize("name", REFUSED)
def test_a_configuration_is_refused_in_nvidias_words(name: str) -> None:
    graph, text, sentence = REFUSED[name]
    message = text_format.Parse(f'name: "{name}" {text}', ModelConfig())
    config = json.loads(json_format.MessageToJson(message, preserving_proto_field_name=True)) | {
        "max_batch_size": message.max_batch_size
    }
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs, outputs = specs_from_nodes(session.get_inputs()), specs_from_nodes(session.get_outputs())
    with pytest.raises(ValueError) as refusal:
        if "input" not in config:
            complete_config(config | {"input": [], "output": []}, inputs, outputs)
        refuse(problems(config, inputs, {}, outputs))
    assert str(refusal.value) == sentence


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Why each model was refused, from the log of one start on all of them."""
    folder = tmp_path_factory.mktemp("refusals")
    repository = folder / "models"
    for name, (graph, config, _) in SERVED.items():
        play.write_onnx(repository, name, graph, f"{ONE} {config}")
    play.write_onnx(repository, "no_file", play.linear(), f"{ONE} max_batch_size: 8 {IDS} {MASK} {OUTPUTS}")
    (repository / "no_file/1/model.onnx").rename(repository / "no_file/1/other.onnx")
    play.write_onnx(repository, "garbage", play.linear(), f"{ONE} max_batch_size: 8 {IDS} {MASK} {OUTPUTS}")
    (repository / "garbage/1/model.onnx").write_bytes(b"garbage")
    log = folder / "triton.log"
    with pytest.raises(UserError, match="failed to load"), serving(repository, log=log):
        pass
    return {
        name: cause.replace(str(repository), "models")
        for name, cause in load_failures(log.read_text(encoding="utf-8").splitlines()).items()
    }


def test_the_server_refuses_and_says_the_same(refusals: dict[str, str]) -> None:
    assert {name: refusals[name] for name in SERVED} == {name: sentence for name, (_, _, sentence) in SERVED.items()}


def test_a_missing_file_is_named(refusals: dict[str, str]) -> None:
    assert refusals["no_file"] == "unable to find 'models/no_file/1/model.onnx' for model instance 'no_file'"


def test_onnxruntimes_own_words_are_kept(refusals: dict[str, str]) -> None:
    assert refusals["garbage"] == (
        "onnx runtime error 7: Load model from models/garbage/1/model.onnx failed:Protobuf parsing failed."
    )
