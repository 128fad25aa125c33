"""Each thing that `tbgen check` finds: where, what Triton says, what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import TensorProto
from tokenizers import Tokenizer, models

from tests.generator.checked import found
from tests.triton.broken.changes import (
    Break,
    accelerator,
    add,
    both,
    edit,
    flat_graph,
    graph,
    move,
    parameter,
    put,
    remove,
    step,
)
from tests.triton.broken.configs import CPU
from tests.triton.broken.ragged import LENGTHS, MARKS, remove_added, remove_scatter
from tests.triton.good_models import engine, ensemble, python, ragged, steps

# model, change, effect, place, a part of what Triton says, a part of what to do
FINDINGS = {
    # the text
    "enum": (python, edit("KIND_CPU", "CPU"), "refused", "config.pbtxt:14", "no value named CPU", "KIND_CPU"),
    "field of a step": (
        ensemble, edit("output_map { key", "outputs { key"),
        "refused", ":19", "ModelEnsembling.Step", "output_map",
    ),
    "placeholder": (python, edit(": 4", ": ${rows}"), "refused", ":3", "${rows} is no value", "fill in ${rows}"),
    "placeholder in quotes": (python, parameter("f", "${f}"), "fails", ":15", "taken as it stands", "fill in ${f}"),
    # names and folders
    "other name": (python, edit('"m"', '"n"'), "refused", ":1", "directory name must equal", 'name: "m"'),
    "git folder": (
        python, both(remove("1"), remove("config.pbtxt"), put("HEAD", "")),
        "refused", "m", "Could not determine", "Move the folder out",
    ),
    "no version": (python, remove("1"), "refused", "config.pbtxt", "at least one version", "add a folder named 1"),
    "leading zero": (python, lambda f: (f / "02").mkdir(), "advice", "m/02", "leading zeros", "plain number"),
    "copy of a version": (python, lambda f: (f / "1_old").mkdir(), "advice", "m/1_old", "version 1,", "move it out"),
    "version wanted": (
        python, add("version_policy { specific { versions: [ 1, 3 ] } }\n"),
        "advice", ":15", "version 3", "folder 3",
    ),
    "file": (
        python, move("1/model.py", "1/main.py"),
        "refused", "m/1", "without end", 'default_model_filename: "main.py"',
    ),
    "platform": (
        python, edit('backend: "python"', 'platform: "torch"'),
        "refused", ":2", "unexpected platform", "pytorch_libtorch",
    ),
    "slip in the backend": (
        python, edit('"python"', '"pyton"'),
        "refused", ":2", "unable to find backend library", '"python"',
    ),
    "backend of one's own": (
        python, edit('"python"', '"tabular"'),
        "advice", ":2", "backend library", "server without",
    ),
    # ragged batches
    "flag": (
        ragged, edit("  allow_ragged_batch: true\n", ""),
        "refused", ":7", "expects 1 dimensions", "allow_ragged_batch: true",
    ),
    "graph with a batch axis": (
        engine, edit("dims: [ -1 ]", "dims: [ -1 ]\n  allow_ragged_batch: true"),
        "refused", ":4", "with shape [-1]  for ragged input 'ids', model provides [-1,-1]", "remove allow_ragged_batch",
    ),
    "several axes": (ragged, edit("dims: [ -1 ]", "dims: [ -1, 2 ]"), "advice", ":7", "[-1,-1,2]", "dims: [-1]"),
    "no batch_input": (ragged, remove_added, "refused", ":4", "expects 1 inputs", 'target_name: "lengths"'),
    "another target": (
        ragged, edit(LENGTHS, 'target_name: "length"'),
        "fails", ":22", "Failed to find input name in the mapping: length", 'target_name: "lengths"',
    ),
    "no target": (ragged, edit(LENGTHS, ""), "fails", ":20", "Missing Input: lengths", 'target_name: "lengths"'),
    "target of requests": (
        ragged, edit(LENGTHS, 'target_name: "ids"'),
        "fails", ":22", "'ids' beside", 'target_name: "lengths"',
    ),
    "two targets": (
        ragged, both(edit(LENGTHS, f'{LENGTHS} target_name: "more"'), flat_graph(more=["more"])),
        "refused", ":4", "expects 2 inputs, model provides 3", "a batch_input for each",
    ),
    "no source": (
        ragged, edit('TYPE_INT32\n  source_input: "ids"', "TYPE_INT32"),
        "refused", ":20", "expects 1 source input, got 0", "one source_input",
    ),
    "unknown source": (
        ragged, edit('TYPE_INT32\n  source_input: "ids"', 'TYPE_INT32\n  source_input: "id"'),
        "refused", ":24", "unknown source input name 'id'", "one source_input",
    ),
    "INT64 target": (
        ragged, flat_graph(length_type=TensorProto.INT64),
        "fails", ":23", "(tensor(int32)) , expected: (tensor(int64))", "export the graph with an INT32 lengths",
    ),
    "FP32 target": (
        ragged, flat_graph(length_type=TensorProto.FLOAT),
        "fails", ":23", "expected: (tensor(float))", "data_type: TYPE_FP32",
    ),
    "INT64": (
        ragged, edit("TYPE_INT32", "TYPE_INT64"),
        "refused", ":23", "must be TYPE_INT32 or", "data_type: TYPE_INT32",
    ),
    "no type": (
        ragged, edit("  data_type: TYPE_INT32\n", ""),
        "refused", ":20", "unexpected batch input data type 'TYPE_INVALID'", "data_type: TYPE_INT32",
    ),
    "rank": (
        ragged, flat_graph(length_shape=["items", 1]),
        "fails", ":21", "Invalid rank for input: lengths Got: 1 Expected: 2", "kind: BATCH_ITEM_SHAPE",
    ),
    "rank of a shape": (
        ragged, edit("_FLATTEN", ""), "fails", ":21", "Got: 2 Expected: 1", "kind: BATCH_ITEM_SHAPE_FLATTEN",
    ),
    "count of a request": (
        ragged, edit("BATCH_ITEM_SHAPE_FLATTEN", "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO"),
        "advice", ":21", "a number a request", "BATCH_ITEM_SHAPE_FLATTEN",
    ),
    "count of no kind": (
        ragged, edit("  kind: BATCH_ITEM_SHAPE_FLATTEN\n", ""),
        "advice", ":20", "BATCH_ELEMENT_COUNT (a kind that is left out)", "BATCH_ITEM_SHAPE_FLATTEN",
    ),
    "tokens not cut": (ragged, remove_scatter, "refused", ":18", "2 dimensions", 'batch_output { target_name: "marks"'),
    "tokens as items": (
        ragged, both(remove_scatter, edit("dims: [ -1, 2 ]", "dims: [ 2 ]")),
        "fails", ":18", "row k of all tokens as item k", 'batch_output { target_name: "marks"',
    ),
    "tokens cut as items": (
        ragged, edit("dims: [ -1, 2 ]", "dims: [ 2 ]"),
        "fails", ":18", "row k of all tokens as item k", "dims: [-1,2]",
    ),
    "wider than the graph": (
        ragged, edit("dims: [ -1, 2 ]", "dims: [ -1, 3 ]"),
        "fails", ":18", "reads memory behind the tensor: takes 3 values at a time where the graph gives 2", "[-1,2]",
    ),
    "narrower than the graph": (
        ragged, edit("dims: [ -1, 2 ]", "dims: [ -1, 1 ]"), "fails", ":18", "the values of others", "dims: [-1,2]",
    ),
    "an axis too many": (
        ragged, edit("dims: [ -1, 2 ]", "dims: [ -1, -1 ]"),
        "fails", ":18", "an axis that 'ids' does not have", "dims: [-1,2]",
    ),
    "cut for nobody": (ragged, edit(f"  {MARKS}\n", ""), "refused", ":26", "the server itself ends", "name outputs"),
    "cut for two": (
        ragged, edit(MARKS, f'{MARKS} target_name: "scores"'),
        "fails", ":28", "'scores' under the name", "a batch_output for each",
    ),
    "cut for another": (ragged, edit(MARKS, 'target_name: "mark"'), "refused", ":28", "output name 'mark'", "marks"),
    # tensors
    "dims": (python, edit("dims: [ 1 ]", "dims: [ 0 ]"), "refused", ":4", "must be integer >= 1", "-1 for an open"),
    "reshape": (
        python, edit("dims: [ 1 ]", "dims: [ 1 ]\n  reshape { shape: [ 2 ] }"),
        "refused", ":8", "different size", "equally",
    ),
    "twice": (
        python, add('input { name: "text" data_type: TYPE_STRING dims: [ 1 ] }\n'),
        "advice", ":15", "only one", "own name",
    ),
    "text without batch": (
        python, edit("max_batch_size: 4", ""),
        "advice", ":7", "Expected [1], got [1,1]", "dims: [1]",
    ),
    "text with batch axis": (
        python, edit("dims: [ 1 ]", "dims: [ -1, 1 ]"),
        "advice", ":7", "[-1,-1,1]", "without the batch",
    ),
    # batching
    "nothing to merge": (
        engine, both(edit(": 4", ": 1"), add("dynamic_batching { }\n")),
        "advice", ":15", "no two requests", "above 1",
    ),
    "preferred sizes": (
        python, add("dynamic_batching { preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 100 }\n"),
        "advice", ":15", "only TensorRT", "remove",
    ),
    "spinning": (engine, add("dynamic_batching { }\n"), "advice", ":15", "spins", "pad all to one length"),
    # instances and settings
    "no group": (engine, edit("instance_group { count: 1 }", ""), "advice", "config.pbtxt", "2 instances", "count: 1"),
    "all cores twice": (engine, edit("count: 1", "count: 2 kind: KIND_CPU"), "advice", ":14", "all cores", "intra_op"),
    "GPUs alone": (
        python, edit(CPU, "instance_group [ { kind: KIND_GPU }, { kind: KIND_GPU } ]"),
        "advice", ":14", "on a server without a GPU: instance group m_0 of model m has kind KIND_GPU", "KIND_AUTO",
    ),
    "slip in a backend": (engine, edit('"onnxruntime"', '"onnx"'), "refused", ":2", "'onnx'", 'backend: "onnxruntime"'),
    "platform as backend": (
        engine, edit('"onnxruntime"', '"tensorrt_plan"'), "refused", ":2", "'tensorrt_plan'", 'backend: "tensorrt"',
    ),
    "capitals in a backend": (python, edit('"python"', '"Python"'), "refused", ":2", "'Python'", 'backend: "python"'),
    "slip in a platform": (
        engine, edit('backend: "onnxruntime"', 'platform: "tensorRT"'),
        "refused", ":2", "unexpected platform type 'tensorRT'", 'platform: "tensorrt_plan"',
    ),
    "backend named like another": (
        engine, edit('"onnxruntime"', '"onnxruntime_genai"'), "advice", ":2", "'onnxruntime_genai'", "a server without",
    ),
    "gpus that may lack": (
        python, edit(CPU, "instance_group { gpus: [ 1 ] }"),
        "advice", ":14", "GPU of these", "KIND_GPU",
    ),
    "slip in a parameter": (
        engine, parameter("intra_op_thread_counts", "1"),
        "advice", ":15", "ignores", "intra_op_thread_count",
    ),
    "parameter of nothing": (
        engine, parameter("colour", "red"),
        "advice", ":15", "ignores the parameter colour", "known:",
    ),
    "thread count": (engine, parameter("intra_op_thread_count", "two"), "refused", ":15", "integral number", "mend"),
    "accelerator on CPUs": (
        engine, both(edit("count: 1", "kind: KIND_CPU"), accelerator("gpu", "tensorrt"), edit("kind: KIND_CPU",
        "kind: KIND_CPU count: 1")),
        "advice", ":15", "ignores the accelerator tensorrt", "KIND_GPU",
    ),
    "accelerator": (
        engine, accelerator("cpu", "tensorrt"),
        "refused", ":15", "unknown Execution Accelerator", "gpu_exec",
    ),
    "environment": (
        python, parameter("EXECUTION_ENV_PATH", "env.tar.gz"),
        "advice", ":15", "the server was started in", "$$TRITON_MODEL_DIRECTORY",
    ),
    # files beside the model
    "labels": (
        engine,
        both(edit("dims: [ 3 ]", 'dims: [ 3 ] label_filename: "labels.txt"'), put("labels.txt", "부정\n긍정\n")),
        "fails", "m/labels.txt", "2 labels for the 3 values of scores", "3 lines",
    ),
    "labels too many": (
        engine, both(edit("dims: [ 3 ]", 'dims: [ 3 ] label_filename: "labels.txt"'), put("labels.txt",
        "a\nb\nc\nd\n")),
        "advice", "m/labels.txt", "4 labels for the 3", "3 lines",
    ),
    # ensembles
    "unmapped": (
        ensemble, edit('input_map { key: "text" value: "text" }', 'input_map { key: "words" value: "text" }'),
        "refused", ":18", "mapping to non-existing input words", "its inputs: text",
    ),
    "unused": (
        ensemble, edit('output_map { key: "ids" value: "ids" }',
        'output_map { key: "ids" value: "ids" }\n    output_map { key: "x" value: "y" }'),
        "refused", ":20", "'y' is unused", "remove 'y'",
    ),
    "batch": (ensemble, edit(": 4", ": 8"), "refused", ":3", "allows maximum batch size 8", "max_batch_size: 4"),
    # ONNX
    "type": (engine, edit("TYPE_INT64", "TYPE_INT32"), "refused", ":6", "model provides TYPE_INT64", "TYPE_INT64"),
    "classes": (engine, edit("dims: [ 3 ]", "dims: [ 2 ]"), "refused", ":12", "(shape [-1,3])", "dims: [3]"),
    "fixed batch": (engine, graph(batch=1), "refused", ":7", "first dimension must be -1", "open batch axis"),
    "no ONNX file": (
        engine, put("1/model.onnx", "version https://git-lfs.github.com/spec/v1\n"),
        "refused", "m/1/model.onnx", "Protobuf", "LFS",
    ),
    "completed": (
        engine, put("config.pbtxt", ""),
        "advice", "config.pbtxt", "max_batch_size 4", "write max_batch_size",
    ),
    # Python models
    "syntax": (
        python, edit("requests):", "requests)", "1/model.py"),
        "refused", "m/1/model.py:9", "SyntaxError", "syntax",
    ),
    "package": (
        python, add("import torch\n", "1/model.py"),
        "advice", "m/1/model.py:12", "No module named 'torch'", "EXECUTION_ENV_PATH",
    ),
    "no execute": (
        python, edit("def execute", "def run", "1/model.py"),
        "fails", "model.py:5", "`execute`", "def execute",
    ),
    "step's file": (
        steps, remove("1/shout.py"),
        "refused", "m/1/steps.json:4", "FileNotFoundError", "put shout.py beside",
    ),
    "step's class": (
        steps, edit('"Shout"', '"Sout"', "1/steps.json"),
        "refused", "steps.json:4", "no attribute 'Sout'", "has: Shout",
    ),
    "step's setting": (
        steps, edit('{"mark": "!"}', '{"mark": "!", "time": 2}', "1/steps.json"),
        "refused", "steps.json:6", "unexpected keyword argument 'time'", "takes times",
    ),
    "setting of a step's base": (
        steps, both(
            put("1/base.py", "class Base:\n    def __init__(self, *, mark, times=1): ...\n"),
            edit("class Shout:", "from .base import Base\nclass Shout(Base):", "1/shout.py"),
            edit("*, mark, times=1):", "**others):\n        super().__init__(**others)", "1/shout.py"),
            edit('{"mark": "!"}', '{"mark": "!", "time": 2}', "1/steps.json"),
        ),
        "refused", "steps.json:6", "Base.__init__() got an unexpected keyword argument 'time'", "Shout takes times",
    ),
    "asset of a step's base": (
        steps, both(
            put(
                "1/base.py",
                'class Base:\n    def __init__(self, folder):\n        self.text = (folder / "base.txt").read_text()\n',
            ),
            edit("class Shout:", "from .base import Base\nclass Shout(Base):", "1/shout.py"),
            edit("*, mark, times=1):", "*, mark, **others):\n        super().__init__(folder, **others)", "1/shout.py"),
        ),
        "refused", "m/1/base.py:3", "base.txt", "put base.txt beside",
    ),
    "step's asset": (steps, remove("1/words.txt"), "refused", "m/1/shout.py:3", "words.txt", "put words.txt beside"),
    "words that a tokenizer reads together": (
        steps, both(
            put("1/tokenizer.json", Tokenizer(models.WordLevel({"a": 0}, "a")).to_str()),
            edit('{"mark": "!"}', '{"mark": "!", "words_alone": true}', "1/steps.json"),
        ),
        "fails", "steps.json:6", "long texts may be answered wrongly", "set words_alone to false",
    ),
    "engine of a step": (
        steps, step("Engine", '{"mark": "!", "model": "bert_onnx"}'),
        "fails", "steps.json:6", "bert_onnx is not found", "add bert_onnx",
    ),
    "model of a separate step": (
        steps, step("Remote", '{"callee": "m_shout"}'),
        "fails", "steps.json:6", "m_shout is not found", "add m_shout",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", FINDINGS.values(), ids=FINDINGS.keys())
def test_findings(tmp_path: Path, row: tuple[Callable[[Path], Path], Break, str, str, str, str]) -> None:
    model, change, effect, place, says, mend = row
    findings = found(tmp_path, model, change)
    rows = [(finding.effect, str(finding.place), finding.says, finding.mend) for finding in findings]
    assert any(a == effect and b.endswith(place) and says in c and mend in d for a, b, c, d in rows), rows
    assert {finding.model for finding in findings} == {"m"}


def test_preferred_sizes_that_nothing_waits_for_are_left_alone(tmp_path: Path) -> None:
    """As `tbgen tune` writes them: a batch is closed at such a size, and sooner when an instance is free."""
    assert not found(tmp_path, python, add("dynamic_batching { preferred_batch_size: [ 4 ] }\n"))
