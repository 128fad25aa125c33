"""A ready ONNX file with a tokenizer folder beside it: believed only after it was read and tried."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tbgen.export.checkpoint.checkpoint import ModelReading
from tbgen.export.errors import UserError, require
from tbgen.export.exported import Exported, TensorSpec, exported_from_folder, record_of
from tbgen.export.files import EXPORT_RECORD, sha256, whole_folder, write_json
from tbgen.export.layout import MODEL_ONNX
from tbgen.export.onnx.broken_weights import refuse_broken_weights
from tbgen.export.onnx.export import OnnxOptions, check_graph, refuse_drift, refuse_newer, tensor_specs
from tbgen.export.onnx.fusion import fuse
from tbgen.export.onnx.graph_file import MICROSOFT, load_graph, opset_of, save_graph, weights_beside
from tbgen.export.parity.parity import Encoder, engine_run, parity
from tbgen.export.parity.sentences import gate_sentences
from tbgen.export.precision.drift import advice
from tbgen.export.precision.precision import precision_named
from tbgen.export.precision.samples import Samples
from tbgen.export.provenance import Provenance
from tbgen.export.reading import FETCH_AGAIN, library_reading
from tbgen.export.ready.adapt import adapt, engine_names, fix_widths, graph_inputs, name_nodes, names_from_words
from tbgen.export.ready.companions import companions_from_folder, ready_export, write_companions
from tbgen.export.ready.tryout import try_out
from tbgen.export.run import onnx_run, runtime_errors
from tbgen.export.tasks.table import graph_of_export

_QUANTIZED = {"DynamicQuantizeLinear", "DequantizeLinear", "MatMulInteger", "QLinearMatMul", "QGemm"}
_LONGEST = 1_000_000  # tokens of a fixed length
_OWN = "its FP32 file"  # what a converted file is held against: there is no checkpoint


def export_from_onnx(
    model: Path,
    tokenizer: Path,
    folder: Path,
    *,
    task: str | None = None,
    labels: Sequence[str] | None = None,
    rename: Sequence[str] = (),
    precision: str | None = None,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
    **options: Any,
) -> Exported:
    """Write `folder` as `onnx_from_checkpoint` does, around a file made elsewhere, which itself stays untouched.

    A file that has the engine's tensors is copied as it is; otherwise its copy gets them: `rename` is of OLD=NEW words,
    and the logits of a task with one output are found without. `tokenizer` is the folder of tokenizer and config.json,
    whose task and labels count unless `task` and `labels` are named. The precision is the file's own (None), or it is
    converted and the outcome held against it; `options` are those of OnnxOptions. Raises UserError when the file is
    damaged, or does not fit the task, the labels, the tokenizer or the length.
    """
    beside = companions_from_folder(tokenizer, task=task, labels=labels)
    graph = read_graph(model)
    own, tell = _precision_of(graph), progress or (lambda _: None)
    asked = OnnxOptions(precision=precision or own, **options)
    _check_conversion(model, own, asked)
    refuse_broken_weights(model, repr(str(model)))
    refuse_newer("opset", opset_of(graph), asked.newest_opset)
    refuse_newer("IR version", graph.ir_version, asked.newest_ir)
    source = {file.name: sha256(file) for file in (model, *weight_files(graph, model))}
    with whole_folder(folder, force=force) as new:
        write_companions(beside, new)
        taken = new.with_name("taken") / MODEL_ONNX
        taken.parent.mkdir()
        tell("trying the ONNX file")
        exported = _adapted_copy(model, graph, taken, beside, new, names_from_words(rename), asked.fixed_length)
        exported = replace(exported, made=Provenance(precision=asked.precision, optimized=asked.optimize))
        found: dict[str, Any] = {}
        if asked.precision != own or asked.optimize:
            found = _converted(taken, exported, beside, asked, tell)
        else:
            for file in taken.parent.iterdir():
                file.rename(new / file.name)
        made = replace(_made_of(exported), source=source, chosen=beside.explanation)
        weights = weights_beside(exported.model)
        exported = replace(exported, made=made, parity=found, weights=weights if weights.is_file() else None)
        write_json(new / EXPORT_RECORD, record_of(exported))
    return exported_from_folder(folder)


def read_graph(model: Path) -> Any:
    """The parsed file, weights kept outside left there. Raises UserError for a damaged one."""
    onnx = require("onnx", extra="onnx")
    if not model.is_file():
        raise UserError(f"no ONNX file {str(model)!r}")
    with library_reading(f"{str(model)!r} is no whole ONNX file", FETCH_AGAIN):
        graph = onnx.load(str(model), load_external_data=False)
        onnx.checker.check_model(str(model))
        _decode_texts(graph)
    return graph


def _decode_texts(message: Any) -> None:
    """Raise ValueError for a text within a message that is no UTF-8, which protobuf gives as bytes, and takes back from
    nobody.
    """
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        if field.message_type:
            for each in values:
                _decode_texts(each)
        elif field.type == field.TYPE_STRING:
            for each in values:
                if isinstance(each, bytes):
                    each.decode("utf-8")


def weight_files(graph: Any, model: Path) -> list[Path]:
    """The files beside a model's in which its weights lie, if any."""
    places = {
        entry.value for tensor in graph.graph.initializer for entry in tensor.external_data if entry.key == "location"
    }
    return [model.parent / place for place in sorted(places)]


def _precision_of(graph: Any) -> str:
    """The precision of a file's weights, a name of PRECISIONS."""
    half = require("onnx", extra="onnx").TensorProto.FLOAT16
    if _QUANTIZED & {node.op_type for node in graph.graph.node}:
        return "int8"
    return "fp16" if any(tensor.data_type == half for tensor in graph.graph.initializer) else "fp32"


def _is_fused(graph: Any) -> bool:
    """Whether the file has operators that only ONNX Runtime knows."""
    return any(node.domain == MICROSOFT for node in graph.graph.node)


def _check_conversion(model: Path, own: str, asked: OnnxOptions) -> None:
    """Raise UserError for a precision that cannot be made of the file's own."""
    precision_named(asked.precision)
    if own != "fp32" and (asked.precision != own or asked.optimize):
        what = "fused" if asked.precision == own else f"made {asked.precision}"
        raise UserError(
            f"{str(model)!r} is {own} and cannot be {what}; take it as it is (--precision {own}; in scaffold, --engine "
            f"onnx_{own}), or start from its fp32 file"
        )


def _adapted_copy(
    model: Path,
    graph: Any,
    target: Path,
    beside: ModelReading,
    folder: Path,
    rename: dict[str, str],
    fixed_length: int | None,
) -> Exported:
    """Write the file to `target`, with the engine's tensors, and try it; what it is, as it will lie in `folder`.

    Bytes change only where they have to: weights that lie apart come into one file of this project's name.
    """
    shown = str(model)
    names = engine_names(graph.graph, beside.row, rename, repr(shown))
    with library_reading(f"{shown!r} is no whole ONNX file", FETCH_AGAIN):  # the one beside it may be too short
        whole = load_graph(model)
    if adapt(whole, names, repr(shown)) or weight_files(graph, model):
        save_graph(whole, target)
    else:
        shutil.copyfile(model, target)
    inputs, outputs = tensor_specs(graph_inputs(whole.graph)), tensor_specs(whole.graph.output)
    _check_batch(inputs, shown)
    exported = ready_export(
        beside,
        folder / MODEL_ONNX,
        inputs=inputs,
        outputs={name: outputs[name] for name in beside.row.outputs},
        asked_length=fixed_length,
        shown=shown,
    )
    widths = try_out(exported, onnx_run(target), shown, runtime_errors(require("onnxruntime", extra="onnx")))
    if fix_widths(whole, widths):
        save_graph(whole, target)
        outputs = tensor_specs(whole.graph.output)
        exported = replace(exported, outputs={name: outputs[name] for name in exported.outputs})
    return exported


def _check_batch(inputs: dict[str, TensorSpec], shown: str) -> None:
    """Raise UserError for tensors that texts cannot be put into, any number of them."""
    for name, spec in inputs.items():
        if len(spec.shape) != 2 or isinstance(spec.shape[0], int):
            raise UserError(
                f"{shown!r} takes {name} as {list(spec.shape)}; it must be (batch, sequence), the batch open: export "
                "it with a dynamic batch axis"
            )
        if isinstance(spec.shape[1], int) and not 0 <= spec.shape[1] <= _LONGEST:
            raise UserError(f"{shown!r} takes {name} of {spec.shape[1]} tokens, which no text has; export it again")


def _converted(
    taken: Path, exported: Exported, beside: ModelReading, asked: OnnxOptions, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Make the engine's file of the one taken in, as `onnx_from_checkpoint` does of a traced one, and compare the two.

    Gives the comparison, for its record. Raises UserError for a drift.
    """
    tell(f"converting to {asked.precision}")
    whole = load_graph(taken)
    name_nodes(whole)
    save_graph(whole, taken)
    before = taken
    if asked.optimize:
        if "model_type" not in beside.config:
            raise UserError("--optimize needs the model's own config.json beside the tokenizer")
        before = taken.parent.with_name("fused") / taken.name
        before.parent.mkdir()
        fuse(taken, before, beside.config)
    samples = Samples(exported.tokenizer, exported.max_length, exported.fixed_length, exported.pad_id)
    bounds, texts, reference = asked.bounds, asked.texts or gate_sentences(), onnx_run(taken)
    bounds.convert(before, exported.model, graph_of_export(exported), asked.keep_fp32, samples)
    check_graph(exported.model)
    found = parity(reference, engine_run(exported), Encoder(exported), texts, exported)
    refuse_drift(
        found, bounds, lambda: advice(before, exported, texts, reference, bounds, asked.keep_fp32, tell), reference=_OWN
    )
    return {
        **asdict(found),
        "tolerance": found.bound(bounds.tolerance),
        "least_agreement": bounds.agreement,
        "against": _OWN,
    }


def _made_of(exported: Exported) -> Provenance:
    """What is known of a file's making."""
    graph = require("onnx", extra="onnx").load(str(exported.model), load_external_data=False)
    weights = weights_beside(exported.model)
    return replace(
        exported.made,
        opset=opset_of(graph),
        ir_version=graph.ir_version,
        optimized=exported.made.optimized or _is_fused(graph),
        sha256=sha256(exported.model),
        weights_sha256=sha256(weights) if weights.is_file() else "",
    )
