"""ONNX models whose config and file do not fit; the onnxruntime backend judges them."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import helper

from tests.triton import good_models
from tests.triton.broken.changes import accelerator, add, both, edit, graph, move, parameter, put, remove
from tests.triton.good_models import engine

SEQUENCE = "sequence_batching { control_input [ { name: %s control [ { kind: CONTROL_SEQUENCE_START %s } ] } ] }\n"


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


def started(folder: Path) -> None:
    """Let the graph add to the scores what a sequence's first request is marked with."""
    file = folder / "1" / "model.onnx"
    model = onnx.load(file)
    model.graph.node[2].output[0] = "before"
    model.graph.node.append(helper.make_node("Add", ["before", "START"], ["scores"]))
    model.graph.input.append(helper.make_tensor_value_info("START", onnx.TensorProto.FLOAT, ["batch", 1]))
    onnx.save(model, file)


def one_value_an_item(folder: Path) -> None:
    """Let the graph give one value an item, of shape [batch]."""
    file = folder / "1" / "model.onnx"
    model = onnx.load(file)
    model.graph.node[2].op_type, model.graph.node[2].input[1] = "Squeeze", "axes"
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, ["batch"]))
    onnx.save(model, file)


def cut(file: Path) -> None:
    """Keep the first half of a file."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


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
    "value_an_item": (engine, both(one_value_an_item, edit("dims: [ 3 ]", "dims: [ 1 ]"))),
    "value_an_item_reshaped": (
        engine,
        both(one_value_an_item, edit("dims: [ 3 ]", "dims: [ 1 ] reshape { shape: [ ] }")),
    ),
    "value_an_item_completed": (engine, both(one_value_an_item, put("config.pbtxt", 'backend: "onnxruntime"\n'))),
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
    "sequences_of_an_engine": (engine, both(started, add(SEQUENCE % ('"START"', "fp32_false_true: [ 0, 1 ]")))),
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
