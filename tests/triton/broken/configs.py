"""Configs, folders and files that Triton's core judges, of one model by itself."""

from __future__ import annotations

from pathlib import Path

from tests.triton.broken.changes import add, both, edit, move, parameter, put, remove
from tests.triton.good_models import engine, ensemble, python

CPU = "instance_group { count: 1 kind: KIND_CPU }"
SEQUENCE = "sequence_batching { control_input [ { name: %s control [ { kind: CONTROL_SEQUENCE_START %s } ] } ] }\n"
BATCH_INPUT = 'batch_input { kind: BATCH_ELEMENT_COUNT target_name: "COUNT" data_type: %s %s }\n'
BATCH_OUTPUT = 'batch_output { kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: "%s" %s }\n'


def dangling_link(folder: Path) -> None:
    """A link that leads nowhere."""
    (folder / "old").symlink_to("nowhere")


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
    **{
        f"backend_{name}": (engine, edit('"onnxruntime"', f'"{name}"'))
        for name in ("onnx", "ort", "ONNXRuntime", "onnx_runtime", "onnxruntime_onnx", "tensorrt_plan", "ensemble")
    },
    "backend_Python": (python, edit('backend: "python"', 'backend: "Python"')),
    "backend_onnx_of_its_platform": (engine, edit('"onnxruntime"', '"onnx"\nplatform: "onnxruntime_onnx"')),
    **{
        f"platform_{name}": (engine, edit('backend: "onnxruntime"', f'platform: "{name}"'))
        for name in ("onnx", "onnxruntime", "ONNXRuntime_onnx", "tensorRT", "tensorrt")
    },
    "platform_Ensemble": (ensemble, edit('platform: "ensemble"', 'platform: "Ensemble"')),
    "platform_beside_python": (python, add('platform: "onnxruntime_onnx"\n')),
    "backend_named_alike": (engine, edit('"onnxruntime"', '"onnxruntime_genai"')),
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
    "agent_of_none": (python, add('model_repository_agents { agents [ { name: "checksum" } ] }\n')),
    "runtime_of_the_backend": (engine, add('runtime: "libtriton_onnxruntime.so"\n')),
    "runtime_of_python": (python, add('runtime: "libtriton_python.so"\n')),
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
    **{
        f"sequences_from_{share}": (
            python,
            add(f"sequence_batching {{ direct {{ minimum_slot_utilization: {share} }} }}\n"),
        )
        for share in (-0.5, 0.5, 1.5)
    },
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
    "gpu_by_number": (python, edit(CPU, "instance_group { kind: KIND_GPU gpus: [ 0 ] }")),
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
}
