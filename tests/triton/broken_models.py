"""The table of broken models: each row takes a good model and changes one thing; some changes do no harm."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnx
from onnx import TensorProto, helper

from tests.triton import good_models
from tests.triton.good_models import save_graph, save_ragged_graph, write

Break = Callable[[Path], None]
PARAMETER = 'parameters {{ key: "{}" value {{ string_value: "{}" }} }}\n'
WARM_UP = (
    'model_warmup {{ name: "w" batch_size: {batch} inputs {{ key: "{key}" '
    "value {{ data_type: {type} dims: [ {dims} ] {data} }} }} }}\n"
)


@dataclass(frozen=True)
class Row:
    """What is broken: the good model, the change to its folder, whose rule it is, the release that check is told."""

    model: Callable[[Path], Path]
    change: Break
    decided_by: Literal["core", "python", "onnx"]


def edit(old: str, new: str, file: str = "config.pbtxt") -> Break:
    """Replace a text that stands in a file; the test fails when it does not."""

    def change(folder: Path) -> None:
        text = (folder / file).read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {file}"
        (folder / file).write_text(text.replace(old, new), encoding="utf-8")

    return change


def add(text: str, file: str = "config.pbtxt") -> Break:
    """Write something at the end of a file, or a new file; {name} is the model's."""
    return lambda folder: write(
        folder / file,
        ((folder / file).read_text(encoding="utf-8") if (folder / file).exists() else "")
        + text.replace("{name}", folder.name),
    )


def put(file: str, content: bytes | str) -> Break:
    """A file with just this content."""
    content = content.encode() if isinstance(content, str) else content

    def change(folder: Path) -> None:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)

    return change


def move(old: str, new: str) -> Break:
    """Rename a file or folder."""
    return lambda folder: (folder / old).rename(folder / new) and None


def remove(name: str) -> Break:
    """Delete a file or a folder."""
    return lambda folder: shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()


def both(*changes: Break) -> Break:
    """One change after the other."""
    return lambda folder: [change(folder) for change in changes] and None


def graph(**options: int | str) -> Break:
    """Another graph under the same config."""
    return lambda folder: save_graph(folder / "1" / "model.onnx", **options)  # type: ignore[arg-type]


def external_weights(folder: Path) -> None:
    """Move the weights into a file of their own."""
    file = folder / "1" / "model.onnx"
    onnx.save(onnx.load(file), file, save_as_external_data=True, location="weights.bin", size_threshold=43)


def second_output(folder: Path) -> None:
    """Give the graph an output that the config leaves out."""
    file = folder / "1" / "model.onnx"
    model = onnx.load(file)
    model.graph.output.append(helper.make_tensor_value_info("sum", onnx.TensorProto.FLOAT, ["batch", 1]))
    onnx.save(model, file)


def dangling_link(folder: Path) -> None:
    """A link that leads nowhere."""
    (folder / "old").symlink_to("nowhere")


def warm_up(
    *, key: str = "text", type: str = "TYPE_STRING", dims: str = "1", data: str = "zero_data: true", batch: int = 1
) -> Break:
    """A warm-up sample of one input."""
    return add(WARM_UP.format(key=key, type=type, dims=dims, data=data, batch=batch))


def parameter(key: str, value: str) -> Break:
    """A parameter of the config."""
    return add(PARAMETER.format(key, value))


def accelerator(kind: str, name: str) -> Break:
    """An execution accelerator for CPUs or GPUs."""
    return add(
        f'optimization {{ execution_accelerators {{ {kind}_execution_accelerator [ {{ name: "{name}" }} ] }} }}\n'
    )


def flat_graph(**options: Any) -> Break:
    """Another flat graph under the same config."""
    return lambda folder: save_ragged_graph(folder / "1" / "model.onnx", **options)


def remove_added(folder: Path) -> None:
    """Leave out what Triton is to add beside the ragged input."""
    cut_message(folder, "batch_input")


def remove_scatter(folder: Path) -> None:
    """Leave out how Triton is to cut the flat output up."""
    cut_message(folder, "batch_output")


def cut_message(folder: Path, field: str) -> None:
    """Leave a message out of a config."""
    file = folder / "config.pbtxt"
    head, _, tail = file.read_text(encoding="utf-8").partition(f"{field} {{")
    write(file, head + tail.partition("}\n")[2])


nothing = add("# good\n")
engine, python, steps, ensemble = good_models.engine, good_models.python, good_models.steps, good_models.ensemble
ragged = good_models.ragged
FILE = 'input_data_file: "data.bin"'
CPU = "instance_group { count: 1 kind: KIND_CPU }"
SEQUENCE = "sequence_batching { control_input [ { name: %s control [ { kind: CONTROL_SEQUENCE_START %s } ] } ] }\n"
BATCH_INPUT = 'batch_input { kind: BATCH_ELEMENT_COUNT target_name: "COUNT" data_type: %s %s }\n'
BATCH_OUTPUT = 'batch_output { kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: "%s" %s }\n'
LENGTHS, MARKS = 'target_name: "lengths"', 'target_name: "marks"'
TEXT_MAP = 'input_map { key: "text" value: "text" }'
IDS_MAP = 'input_map { key: "ids" value: "ids" }'
IDS_OUT = 'output_map { key: "ids" value: "ids" }'
SCORES_OUT = 'output_map { key: "scores" value: "scores" }'

CORE = {
    # the text of config.pbtxt
    "unknown_field": (python, add("max_batchsize: 4\n")),
    "unknown_field_in_input": (python, edit("data_type: TYPE_STRING", "datatype: TYPE_STRING")),
    "unknown_enum": (python, edit("TYPE_STRING", "TYPE_TEXT")),
    "unknown_kind": (python, edit("KIND_CPU", "KIND_TPU")),
    "unclosed_brace": (python, edit("dims: [ 1 ]\n}", "dims: [ 1 ]\n")),
    "unclosed_quote": (python, edit('"text"', '"text')),
    "number_as_text": (python, edit("max_batch_size: 4", 'max_batch_size: "4"')),
    "two_names": (python, add('name: "again"\n')),
    "two_schedulers": (ensemble, add("dynamic_batching { }\n")),
    "placeholder": (python, edit("max_batch_size: 4", "max_batch_size: ${max_batch_size}")),
    "placeholder_in_comment": (python, add("# ${nothing}\n")),
    "placeholder_in_text": (python, parameter("folder", "${tokenizer_folder}")),
    "enum_by_number": (python, edit("TYPE_STRING", "13")),
    "overflow": (python, edit("max_batch_size: 4", "max_batch_size: 4294967296")),
    "field_of_25_11": (ensemble, edit("ensemble_scheduling {", "ensemble_scheduling {\n  max_inflight_requests: 2")),
    "field_of_24_11": (python, add("model_metrics { }\n")),
    # names and folders
    "other_name": (python, edit('name: "other_name"', 'name: "another"')),
    "no_name": (python, edit('name: "no_name"\n', "")),
    "no_config": (python, remove("config.pbtxt")),
    "no_config_no_file": (python, both(remove("config.pbtxt"), remove("1/model.py"))),
    "empty_folder": (python, both(remove("config.pbtxt"), remove("1"))),
    "no_version": (python, remove("1")),
    "version_in_words": (python, move("1", "v1")),
    "version_with_zero": (python, move("1", "01")),
    "version_zero": (python, move("1", "0")),
    "policy_names_missing": (python, add("version_policy { specific { versions: [ 3 ] } }\n")),
    "policy_names_one": (python, add("version_policy { specific { versions: [ 1, 3 ] } }\n")),
    "policy_of_none": (python, add("version_policy { latest { num_versions: 0 } }\n")),
    "policy_all": (python, add("version_policy { all { } }\n")),
    "dangling_link": (python, dangling_link),
    "no_backend": (python, edit('backend: "python"', "")),
    "no_backend_other_file": (python, both(edit('backend: "python"', ""), move("1/model.py", "1/main.py"))),
    "unknown_backend": (python, edit('backend: "python"', 'backend: "pyhton"')),
    "backend_of_ones_own": (python, edit('backend: "python"', 'backend: "tabular"')),
    "unknown_platform": (python, edit('backend: "python"', 'platform: "python"')),
    "platform_of_another": (engine, add('platform: "tensorrt_plan"\n')),
    "ensemble_with_backend": (ensemble, add('backend: "python"\n')),
    "negative_batch": (python, edit("max_batch_size: 4", "max_batch_size: -1")),
    # tensors
    "input_without_name": (python, edit('  name: "text"\n', "")),
    "input_without_type": (python, edit("  data_type: TYPE_STRING\n", "")),
    "input_without_dims": (python, edit("  dims: [ 1 ]\n", "")),
    "dim_zero": (python, edit("dims: [ 1 ]", "dims: [ 0 ]")),
    "dim_below": (python, edit("dims: [ -1 ]", "dims: [ -2 ]")),
    "reshape_of_another_size": (python, edit("dims: [ 1 ]", "dims: [ 1 ] reshape { shape: [ 2 ] }")),
    "reshape_to_nothing": (python, edit("dims: [ 1 ]", "dims: [ 1 ] reshape { shape: [ ] }")),
    "reshape_without_batch": (
        python,
        both(edit("max_batch_size: 4", ""), edit("dims: [ 1 ]", "dims: [ 1 ] reshape { shape: [ ] }")),
    ),
    "reshape_of_open_dims": (python, edit("dims: [ -1 ]", "dims: [ -1, 2 ] reshape { shape: [ -1, 3 ] }")),
    "reshape_zero": (python, edit("dims: [ 1 ]", "dims: [ 1 ] reshape { shape: [ 0 ] }")),
    "image_format": (python, edit("dims: [ 1 ]", "dims: [ 1 ] format: FORMAT_NCHW")),
    "shape_tensor": (python, edit("dims: [ 1 ]", "dims: [ 1 ] is_shape_tensor: true")),
    "non_linear": (python, edit("dims: [ 1 ]", "dims: [ 1 ] is_non_linear_format_io: true")),
    "same_input_twice": (python, add('input { name: "text" data_type: TYPE_STRING dims: [ 1 ] }\n')),
    "no_tensors": (
        python,
        put("config.pbtxt", 'backend: "python"\nmax_batch_size: 4\n'),
    ),
    "batch_input_of_nothing": (
        python,
        add(BATCH_INPUT % ("TYPE_FP32", "")),
    ),
    "batch_input_unknown": (python, add(BATCH_INPUT % ("TYPE_FP32", 'source_input: "words"'))),
    "batch_input_of_text": (python, add(BATCH_INPUT % ("TYPE_STRING", 'source_input: "text"'))),
    "batch_input": (python, add(BATCH_INPUT % ("TYPE_FP32", 'source_input: "text"'))),
    "batch_output_unknown": (
        python,
        add(BATCH_OUTPUT % ("words", 'source_input: "text"')),
    ),
    "batch_input_of_two": (
        python,
        add(BATCH_INPUT % ("TYPE_FP32", 'source_input: "text" source_input: "text"')),
    ),
    "batch_input_without_type": (
        python,
        add('batch_input { kind: BATCH_ITEM_SHAPE target_name: "COUNT" source_input: "text" }\n'),
    ),
    "batch_input_of_no_kind": (python, add('batch_input { kind: BATCH_LENGTH target_name: "COUNT" }\n')),
    "batch_output_of_nothing": (python, add(BATCH_OUTPUT % ("ids", ""))),
    "batch_output_of_unknown": (python, add(BATCH_OUTPUT % ("ids", 'source_input: "words"'))),
    # batching
    "batching": (python, add("dynamic_batching { }\n")),
    "batching_of_nothing": (python, both(edit("max_batch_size: 4", ""), add("dynamic_batching { }\n"))),
    "preferred_too_large": (python, add("dynamic_batching { preferred_batch_size: [ 8 ] }\n")),
    "preferred_negative": (python, add("dynamic_batching { preferred_batch_size: [ -1 ] }\n")),
    "priority_without_default": (python, add("dynamic_batching { priority_levels: 2 }\n")),
    "priority_of_no_level": (
        python,
        add(
            "dynamic_batching { priority_levels: 2 default_priority_level: 1 priority_queue_policy { key: 3 "
            "value { max_queue_size: 1 } } }\n"
        ),
    ),
    "order_with_priorities": (
        python,
        add("dynamic_batching { preserve_ordering: true priority_levels: 2 default_priority_level: 1 }\n"),
    ),
    "order_with_delay": (
        python,
        add(
            "dynamic_batching { preserve_ordering: true default_queue_policy { timeout_action: DELAY "
            "default_timeout_microseconds: 9 } }\n"
        ),
    ),
    "cache_decoupled": (
        python,
        add("response_cache { enable: true }\nmodel_transaction_policy { decoupled: true }\n"),
    ),
    "cache_of_sequences": (python, add("response_cache { enable: true }\nsequence_batching { }\n")),
    "sequences": (python, add(SEQUENCE % ('"START"', "int32_false_true: [ 0, 1 ]"))),
    "sequence_without_values": (python, add(SEQUENCE % ('"START"', ""))),
    "sequence_of_one_value": (python, add(SEQUENCE % ('"START"', "int32_false_true: [ 0 ]"))),
    "sequence_without_name": (python, add(SEQUENCE % ('""', "int32_false_true: [ 0, 1 ]"))),
    "sequence_of_two_types": (
        python,
        add(SEQUENCE % ('"START"', "int32_false_true: [ 0, 1 ] fp32_false_true: [ 0, 1 ]")),
    ),
    # instances
    "gpus_on_cpu": (python, edit(CPU, "instance_group { kind: KIND_CPU gpus: [ 0 ] }")),
    "gpus_of_the_model": (python, edit(CPU, "instance_group { kind: KIND_MODEL gpus: [ 0 ] }")),
    "profile_of_python": (python, edit(CPU, 'instance_group { kind: KIND_CPU profile: [ "0" ] }')),
    "gpu_where_there_is_none": (python, edit(CPU, "instance_group { kind: KIND_GPU }")),
    "gpu_or_not": (python, edit(" kind: KIND_CPU", "")),
    "negative_count": (python, edit("count: 1", "count: -1")),
    "instances_of_an_ensemble": (ensemble, add("instance_group { count: 1 }\n")),
    # files beside the model
    "labels_missing": (python, edit("dims: [ -1 ]", 'dims: [ -1 ] label_filename: "labels.txt"')),
    "labels_of_the_version": (
        python,
        both(edit("dims: [ -1 ]", 'dims: [ -1 ] label_filename: "labels.txt"'), put("1/labels.txt", "a\n")),
    ),
    "labels": (
        python,
        both(edit("dims: [ -1 ]", 'dims: [ 2 ] label_filename: "labels.txt"'), put("labels.txt", "가\n나\n")),
    ),
    "labels_too_few": (
        python,
        both(edit("dims: [ -1 ]", 'dims: [ 2 ] label_filename: "labels.txt"'), put("labels.txt", "가\n")),
    ),
    "warm_up": (python, warm_up()),
    "warm_up_from_a_file": (python, both(warm_up(data=FILE), put("warmup/data.bin", b"\x03\0\0\0\xea\xb0\x80"))),
    "warm_up_file_missing": (python, warm_up(data=FILE)),
    "warm_up_of_no_kind": (python, warm_up(data="")),
    "warm_up_of_another_type": (python, warm_up(type="TYPE_INT64")),
    "warm_up_of_another_shape": (python, warm_up(dims="2")),
    "warm_up_with_batch_axis": (python, warm_up(dims="1, 1")),
    "warm_up_of_open_shape": (python, warm_up(dims="-1")),
    "warm_up_of_another_input": (python, warm_up(key="texts")),
    "warm_up_of_no_batch": (python, warm_up(batch=0, dims="7")),
    "warm_up_unframed": (python, both(warm_up(data=FILE), put("warmup/data.bin", "가"))),
    "warm_up_half_framed": (python, both(warm_up(data=FILE), put("warmup/data.bin", b"\x01\0\0\0a\x01"))),
    "warm_up_two_texts": (
        python,
        both(warm_up(data=FILE), put("warmup/data.bin", b"\x01\0\0\0a\x01\0\0\0b")),
    ),
    "warm_up_short_file": (
        engine,
        both(warm_up(key="ids", type="TYPE_INT64", dims="2", data=FILE), put("warmup/data.bin", b"\0" * 8)),
    ),
    "warm_up_long_file": (
        engine,
        both(warm_up(key="ids", type="TYPE_INT64", dims="2", data=FILE), put("warmup/data.bin", b"\0" * 24)),
    ),
    "warm_up_of_an_ensemble": (ensemble, warm_up()),
    # ensembles by themselves
    "no_steps": (ensemble, put("config.pbtxt", 'platform: "ensemble"\nensemble_scheduling { }\n')),
    "no_scheduling": (ensemble, put("config.pbtxt", 'platform: "ensemble"\n')),
    "steps_without_platform": (ensemble, edit('platform: "ensemble"', 'backend: "python"')),
    "steps_without_platform_or_backend": (ensemble, edit('platform: "ensemble"', "")),
    "optimized": (ensemble, add("optimization { graph { level: 1 } }\n")),
    "step_without_model": (ensemble, edit('model_name: "good_engine"', "")),
    "step_without_inputs": (ensemble, edit(IDS_MAP, "")),
    "step_without_outputs": (ensemble, edit(SCORES_OUT, "")),
    "input_unused": (ensemble, edit(TEXT_MAP, 'input_map { key: "text" value: "texts" }')),
    "output_unmapped": (ensemble, edit(SCORES_OUT, 'output_map { key: "scores" value: "logits" }')),
    "tensor_unconnected": (ensemble, edit(IDS_MAP, 'input_map { key: "ids" value: "tokens" }')),
    "tensor_written_twice": (
        ensemble,
        edit(SCORES_OUT, 'output_map { key: "scores" value: "ids" }'),
    ),
    "tensor_left_over": (
        ensemble,
        both(
            edit('name: "scores"\n', 'name: "ids"\n'),
            edit("TYPE_FP32\n  dims: [ 3 ]", "TYPE_INT64\n  dims: [ -1 ]"),
        ),
    ),
    "steps_in_a_circle": (
        ensemble,
        edit(TEXT_MAP, TEXT_MAP + ' input_map { key: "more" value: "scores" }'),
    ),
    "steps_backwards": (ensemble, lambda folder: swap_steps(folder)),
    # ensembles and their models
    "model_missing": (ensemble, edit('"good_engine"', '"no_engine"')),
    "version_missing": (ensemble, edit("model_version: -1", "model_version: 7")),
    "calls_itself": (ensemble, edit('"good_engine"', '"calls_itself"')),
    "calls_a_broken_model": (ensemble, edit('"good_python"', '"no_version"')),
    "input_missing": (ensemble, edit(IDS_MAP, 'input_map { key: "tokens" value: "ids" }')),
    "output_missing": (ensemble, edit(SCORES_OUT, 'output_map { key: "logits" value: "scores" }')),
    "input_unmapped": (
        ensemble,
        edit('"good_engine"', '"good_pair"'),
    ),
    "extra_input": (ensemble, edit(IDS_MAP, IDS_MAP + ' input_map { key: "mask" value: "ids" }')),
    "output_of_another_type": (ensemble, edit("TYPE_FP32", "TYPE_INT64")),
    "output_of_another_shape": (ensemble, edit("dims: [ 3 ]", "dims: [ 2 ]")),
    "output_open": (ensemble, edit("dims: [ 3 ]", "dims: [ -1 ]")),
    "output_of_another_rank": (ensemble, edit("dims: [ 3 ]", "dims: [ 3, 1 ]")),
    "text_as_numbers": (ensemble, edit("TYPE_STRING", "TYPE_UINT8")),
    "text_of_another_shape": (ensemble, edit("dims: [ 1 ]", "dims: [ 2 ]")),
    "batch_too_large": (ensemble, edit("max_batch_size: 4", "max_batch_size: 8")),
    "batch_smaller": (ensemble, edit("max_batch_size: 4", "max_batch_size: 2")),
    "no_batch_axis": (ensemble, edit("max_batch_size: 4", "")),
    "full_shapes": (
        ensemble,
        both(
            edit("max_batch_size: 4", ""),
            edit("dims: [ 1 ]", "dims: [ -1, 1 ]"),
            edit("dims: [ 3 ]", "dims: [ -1, 3 ]"),
        ),
    ),
    "decoupled_mixing": (ensemble, lambda folder: mix_decoupled(folder)),
    "good_ensemble_again": (ensemble, nothing),
}

PYTHON = {
    "other_file": (python, both(move("1/model.py", "1/main.py"), add('default_model_filename: "main.py"\n'))),
    "file_not_python": (python, both(move("1/model.py", "1/model.txt"), add('default_model_filename: "model.txt"\n'))),
    "syntax_error": (python, edit("def execute(self, requests):", "def execute(self, requests)", "1/model.py")),
    "indentation": (python, edit("        self.name", "   self.name", "1/model.py")),
    "not_utf8": (python, put("1/model.py", b"# \xff\nx = 1\n")),
    "nul_byte": (python, put("1/model.py", b"x = 1\0\n")),
    "no_class": (python, edit("class TritonPythonModel", "class Model", "1/model.py")),
    "class_imported": (
        python,
        both(move("1/model.py", "1/real.py"), put("1/model.py", "from real import TritonPythonModel\n")),
    ),
    "initialize_without_args": (python, edit("initialize(self, args)", "initialize(self)", "1/model.py")),
    "no_initialize": (python, edit("def initialize(self, args)", "def begin(self, args)", "1/model.py")),
    "no_execute": (python, edit("def execute", "def run", "1/model.py")),
    "relative_import": (python, edit("import numpy", "from . import words\nimport numpy", "1/model.py")),
    "relative_import_there": (
        python,
        both(edit("import numpy", "from . import words\nimport numpy", "1/model.py"), put("1/words.py", "")),
    ),
    "sibling_with_error": (
        python,
        both(edit("import numpy", "import words\nimport numpy", "1/model.py"), put("1/words.py", "def\n")),
    ),
    "sibling_in_the_model_folder": (
        python,
        both(edit("import numpy", "import words_of\nimport numpy", "1/model.py"), put("words_of.py", "")),
    ),
    "import_of_nothing": (python, edit("import numpy", "import nowhere\nimport numpy", "1/model.py")),
    "guarded_import": (
        python,
        edit("import numpy", "try:\n    import nowhere\nexcept ImportError:\n    pass\nimport numpy", "1/model.py"),
    ),
    "completes_to_nothing": (
        python,
        add("\n    @staticmethod\n    def auto_complete_config(config):\n        config.as_dict()\n", "1/model.py"),
    ),
    "completes": (
        python,
        add("\n    @staticmethod\n    def auto_complete_config(config):\n        return config\n", "1/model.py"),
    ),
    "completes_with_self": (
        python,
        add("\n    def auto_complete_config(self, config):\n        return config\n", "1/model.py"),
    ),
    "wrong_switch": (python, parameter("FORCE_CPU_ONLY_INPUT_TENSORS", "true")),
    "environment_missing": (python, parameter("EXECUTION_ENV_PATH", "$$TRITON_MODEL_DIRECTORY/env.tar.gz")),
    "good_steps_again": (steps, nothing),
    "steps_missing": (steps, remove("1/steps.json")),
    "steps_with_comma": (steps, edit('{"mark": "!"}', '{"mark": "!",}', "1/steps.json")),
    "steps_without_list": (steps, put("1/steps.json", "{}")),
    "step_file_missing": (steps, remove("1/shout.py")),
    "step_syntax": (steps, edit("def __init__", "def  __init__(", "1/shout.py")),
    "step_class_missing": (steps, edit('"Shout"', '"Whisper"', "1/steps.json")),
    "setting_unknown": (steps, edit('"mark"', '"marks"', "1/steps.json")),
    "setting_missing": (steps, edit('{"mark": "!"}', "{}", "1/steps.json")),
    "setting_optional": (steps, edit('{"mark": "!"}', '{"mark": "!", "times": 2}', "1/steps.json")),
    "asset_missing": (steps, remove("1/words.txt")),
}

# Here the Python stub ends before it says so, and Triton 2.51 waits for it without end.
WAITING = {
    "no_model_py": (python, remove("1/model.py")),
    "other_file_unnamed": (python, move("1/model.py", "1/main.py")),
    "version_with_tail": (python, move("1", "1_old")),
    "second_version_empty": (python, put("2/README", "")),
}

ONNX = {
    "no_model_onnx": (engine, remove("1/model.onnx")),
    "no_config_engine": (engine, remove("config.pbtxt")),
    "other_onnx_file": (engine, both(move("1/model.onnx", "1/m.onnx"), add('default_model_filename: "m.onnx"\n'))),
    "wrong_onnx_file": (engine, add('default_model_filename: "bert.onnx"\n')),
    "onnx_cut_off": (engine, lambda folder: cut(folder / "1" / "model.onnx")),
    "onnx_empty": (engine, put("1/model.onnx", b"")),
    "onnx_text": (engine, put("1/model.onnx", "<html>not found</html>")),
    "onnx_lfs_pointer": (engine, put("1/model.onnx", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n")),
    "weights_beside": (engine, external_weights),
    "weights_missing": (engine, both(external_weights, remove("1/weights.bin"))),
    "weights_cut_off": (engine, both(external_weights, put("1/weights.bin", b"\0"))),
    "input_renamed": (engine, edit('"ids"', '"input_ids"')),
    "output_renamed": (engine, edit('"scores"', '"logits"')),
    "input_type": (engine, edit("TYPE_INT64", "TYPE_INT32")),
    "output_type": (engine, edit("TYPE_FP32", "TYPE_FP16")),
    "input_too_many": (engine, add('input { name: "mask" data_type: TYPE_INT64 dims: [ -1 ] }\n')),
    "input_optional": (engine, edit("dims: [ -1 ]", "dims: [ -1 ] optional: true")),
    "input_rank": (engine, edit("dims: [ -1 ]", "dims: [ -1, -1 ]")),
    "input_narrower": (engine, edit("dims: [ -1 ]", "dims: [ 8 ]")),
    "output_classes": (engine, edit("dims: [ 3 ]", "dims: [ 2 ]")),
    "output_left_open": (engine, edit("dims: [ 3 ]", "dims: [ -1 ]")),
    "output_subset": (engine, second_output),
    "no_inputs": (engine, edit(good_models.ENGINE_INPUT, "")),
    "no_outputs": (engine, edit(good_models.ENGINE_OUTPUT, "")),
    "batch_in_dims": (
        engine,
        both(
            edit("max_batch_size: 4", ""),
            edit("dims: [ -1 ]", "dims: [ -1, -1 ]"),
            edit("dims: [ 3 ]", "dims: [ -1, 3 ]"),
        ),
    ),
    "batch_forgotten": (engine, edit("max_batch_size: 4", "")),
    "fixed_batch": (engine, graph(batch=1)),
    "fixed_batch_completed": (engine, both(graph(batch=1), put("config.pbtxt", "max_batch_size: 4\n"))),
    "fixed_batch_without": (
        engine,
        both(
            graph(batch=1),
            edit("max_batch_size: 4", ""),
            edit("dims: [ -1 ]", "dims: [ 1, -1 ]"),
            edit("dims: [ 3 ]", "dims: [ 1, 3 ]"),
        ),
    ),
    "ragged": (engine, edit("dims: [ -1 ]", "dims: [ -1 ] allow_ragged_batch: true")),
    "sequence_control_of_nothing": (engine, add(SEQUENCE % ('"START"', "int32_false_true: [ 0, 1 ]"))),
    "threads": (engine, parameter("intra_op_thread_count", "1")),
    "threads_in_words": (engine, parameter("intra_op_thread_count", "two")),
    "execution_mode_2": (engine, parameter("execution_mode", "2")),
    "arena_maybe": (engine, parameter("enable_mem_arena", "maybe")),
    "unknown_parameter": (engine, parameter("intra_op_threads", "1")),
    "gpu_accelerator_on_cpu": (engine, both(edit("count: 1", "kind: KIND_CPU"), accelerator("gpu", "tensorrt"))),
    "cpu_accelerator_unknown": (engine, accelerator("cpu", "onednn")),
    "opset_of_26_02": (engine, graph(opset=25)),
    "ir_of_26_02": (engine, graph(ir=13)),
    "opset_of_the_release": (engine, graph(opset=17, ir=10)),
    "opset_of_the_future": (engine, graph(opset=99)),
    "ir_of_the_future": (engine, graph(ir=99)),
}

# Flat inputs, what Triton adds beside them, and flat outputs.
RAGGED = {
    "flat": (ragged, nothing),
    "flat_without_flag": (ragged, edit("  allow_ragged_batch: true\n", "")),
    "flat_of_one_length": (ragged, flat_graph(tokens=128)),
    "flat_optional": (ragged, edit("allow_ragged_batch: true", "allow_ragged_batch: true optional: true")),
    "flat_without_batch": (ragged, both(edit("max_batch_size: 4", ""), edit("dynamic_batching { }", ""))),
    "flat_without_batching": (ragged, edit("dynamic_batching { }", "")),
    "flat_of_two_axes": (ragged, edit("dims: [ -1 ]", "dims: [ -1, -1 ]")),
    "flat_of_another_type": (ragged, edit("TYPE_INT64", "TYPE_INT32")),
    "added_nothing": (ragged, remove_added),
    "added_typeless": (ragged, edit("  data_type: TYPE_INT32\n", "")),
    "added_as_int64": (ragged, edit("data_type: TYPE_INT32", "data_type: TYPE_INT64")),
    "added_as_float": (
        ragged,
        both(edit("data_type: TYPE_INT32", "data_type: TYPE_FP32"), flat_graph(length_type=TensorProto.FLOAT)),
    ),
    "added_two_at_once": (ragged, both(edit(LENGTHS, f'{LENGTHS} target_name: "more"'), flat_graph(more=["more"]))),
    "added_two_by_two": (
        ragged,
        both(
            add('batch_input { kind: BATCH_ITEM_SHAPE_FLATTEN target_name: "more" data_type: TYPE_INT32 '
                'source_input: "ids" }\n'),
            flat_graph(more=["more"]),
        ),
    ),
    "added_shapes": (
        ragged,
        both(edit("BATCH_ITEM_SHAPE_FLATTEN", "BATCH_ITEM_SHAPE"), flat_graph(length_shape=["items", 1])),
    ),
    "marks_without_scatter": (ragged, remove_scatter),
}  # fmt: skip
# They load, in Triton's own server as here, and requests fail.
FAILING = {
    "added_elsewhere": (ragged, edit(LENGTHS, 'target_name: "length"')),
    "added_nowhere": (ragged, edit(f"  {LENGTHS}\n", "")),
    "added_to_the_ids": (ragged, edit(LENGTHS, 'target_name: "ids"')),
    "added_one_too_many": (ragged, edit(LENGTHS, f'{LENGTHS} target_name: "more"')),
    "added_of_another_type": (ragged, flat_graph(length_type=TensorProto.INT64)),
    "added_of_no_float": (ragged, flat_graph(length_type=TensorProto.FLOAT)),
    "added_of_lower_rank": (ragged, flat_graph(length_shape=["items", 1])),
    "added_of_higher_rank": (ragged, edit("BATCH_ITEM_SHAPE_FLATTEN", "BATCH_ITEM_SHAPE")),
}
# They load, and requests are answered wrongly, of one item too or only of several.
WRONG = {
    "marks_as_items": (ragged, both(remove_scatter, edit("dims: [ -1, 2 ]", "dims: [ 2 ]"))),
    "marks_as_scattered_items": (ragged, edit("dims: [ -1, 2 ]", "dims: [ 2 ]")),
    "marks_too_wide": (ragged, edit("dims: [ -1, 2 ]", "dims: [ -1, 3 ]")),
    "marks_too_narrow": (ragged, edit("dims: [ -1, 2 ]", "dims: [ -1, 1 ]")),
    "counts_of_requests": (ragged, edit("BATCH_ITEM_SHAPE_FLATTEN", "BATCH_ELEMENT_COUNT")),
    "counts_of_no_kind": (ragged, edit("  kind: BATCH_ITEM_SHAPE_FLATTEN\n", "")),
    "counts_summed_up": (ragged, edit("BATCH_ITEM_SHAPE_FLATTEN", "BATCH_ACCUMULATED_ELEMENT_COUNT")),
}


def swap_steps(folder: Path) -> None:
    """Write the second step first; the order of the steps does not matter."""
    file = folder / "config.pbtxt"
    text = file.read_text(encoding="utf-8")
    head, first, second = text.split("  step {")
    write(file, "  step {".join((head, second.removesuffix("}\n"), f"{first}}}\n")))


def mix_decoupled(folder: Path) -> None:
    """Let one step read what two decoupled models give."""
    text = (folder / "config.pbtxt").read_text(encoding="utf-8")
    head = text.partition("ensemble_scheduling")[0]
    step = (
        '  step {{ model_name: "good_decoupled" model_version: -1 input_map {{ key: "text" value: "text" }} '
        'output_map {{ key: "ids" value: "{}" }} }}\n'
    )
    pair = (
        '  step { model_name: "good_pair" model_version: -1 input_map { key: "ids" value: "a" } '
        'input_map { key: "mask" value: "b" } output_map { key: "scores" value: "scores" } }\n'
    )
    write(folder / "config.pbtxt", f"{head}ensemble_scheduling {{\n{step.format('a')}{step.format('b')}{pair}}}\n")


def cut(file: Path) -> None:
    """Keep the first half of a file."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


ROWS = {
    name: Row(model, change, decider)
    for decider, rows in (
        ("core", CORE),
        ("python", PYTHON),
        ("python", WAITING),
        ("onnx", ONNX),
        ("onnx", RAGGED),
        ("onnx", FAILING),
        ("onnx", WRONG),
    )
    for name, (model, change) in rows.items()
}
