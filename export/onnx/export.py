"""From a checkpoint to an export folder: traced, checked, compared with PyTorch on real sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tbgen.export.checkpoint.checkpoint import Checkpoint
from tbgen.export.checkpoint.pytorch import model_from_checkpoint
from tbgen.export.errors import NoSuchName, UserError, require
from tbgen.export.exported import Exported, TensorSpec, exported_from_folder, record_of
from tbgen.export.files import EXPORT_RECORD, sha256, whole_folder, write_json
from tbgen.export.layout import LAYOUTS, LENGTHS, MODEL_ONNX, OPSET, PACKED, PADDED, TOKENIZER_JSON
from tbgen.export.onnx.broken_weights import refuse_broken_weights
from tbgen.export.onnx.fusion import fuse
from tbgen.export.onnx.graph_file import opset_of, weights_beside
from tbgen.export.onnx.packed import refuse_unpackable
from tbgen.export.onnx.trace import write_graph
from tbgen.export.onnx.varlen_fusion import fuse_varlen
from tbgen.export.parity.agreement import agreement_text
from tbgen.export.parity.library import Library, refuse_other_ids
from tbgen.export.parity.parity import Encoder, Parity, engine_parity
from tbgen.export.parity.sentences import gate_sentences, gate_texts
from tbgen.export.precision.drift import advice, holds
from tbgen.export.precision.precision import Precision, other_export, precision_named
from tbgen.export.precision.samples import Samples
from tbgen.export.provenance import Provenance
from tbgen.export.run import cuda_here
from tbgen.export.tokenizers.tokenizer import PLACES, check_vocabulary, write_tokenizer

_PACKAGES = ("torch", "transformers", "safetensors", "onnx", "onnxruntime", "tokenizers")
_RECORDED = ("onnx", "onnxruntime", "torch", "transformers")  # modules whose versions the record says


@dataclass(frozen=True)
class OnnxOptions:
    """How a graph is written, and what it is held to.

    newest_opset, newest_ir: the newest that the server's ONNX Runtime reads.
    fixed_length: the sequence axis is that number, and only the batch stays dynamic.
    layout: packed takes flat inputs and computes no padding (export/onnx/packed.py).
    optimize: layers are fused to operators of ONNX Runtime alone.
    keep_fp32: beginnings of the names of nodes that another precision leaves as they are.
    texts: what is compared with PyTorch, padded together; default: a dozen Korean and English sentences.
    tolerance: the largest difference of a logit; default: the precision's.
    """

    opset: int = OPSET
    newest_opset: int | None = None
    newest_ir: int | None = None
    fixed_length: int | None = None
    layout: str = PADDED
    precision: str = "fp32"
    optimize: bool = False
    keep_fp32: Sequence[str] = ()
    texts: Sequence[str] | None = None
    tolerance: float | None = None

    @property
    def bounds(self) -> Precision:
        """The row of the precision, with the tolerance that is asked for."""
        row = precision_named(self.precision)
        return row if self.tolerance is None else replace(row, tolerance=self.tolerance)

    def check(self, checkpoint: Checkpoint) -> None:
        """Raise UserError for what cannot be, of itself or with the checkpoint."""
        precision_named(self.precision)
        refuse_newer("opset", self.opset, self.newest_opset)
        if self.fixed_length is not None and not 2 <= self.fixed_length <= checkpoint.max_length:
            raise UserError(
                f"fixed length {self.fixed_length} does not fit: the checkpoint reads 2 to {checkpoint.max_length} "
                "tokens"
            )
        if self.layout not in LAYOUTS:
            raise NoSuchName("layout", self.layout, list(LAYOUTS))
        if self.layout != PACKED:
            return
        refuse_unpackable(checkpoint)
        if self.fixed_length is not None:
            raise UserError("a fixed length goes with --layout padded; the packed layout has no padding")
        if self.optimize and self.precision != "fp16":
            raise UserError(
                "--optimize with --layout packed writes a file for GPUs, whose attention is fast in FP16 alone; add "
                "--precision fp16, or leave --optimize out"
            )


def onnx_from_checkpoint(
    checkpoint: Checkpoint,
    folder: Path,
    *,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
    **options: Any,
) -> Exported:
    """Write `folder` with model.onnx, the tokenizer, config.json and export.json; `options` are those of OnnxOptions.

    Both axes of the inputs are dynamic. `progress` is told each stage. Raises UserError when the answers are not
    PyTorch's, and for whatever the user can mend; then nothing is written.
    """
    for package in _PACKAGES:
        require(package, extra="onnx")  # now, not after minutes of work
    asked, tell = OnnxOptions(**options), progress or (lambda _: None)
    asked.check(checkpoint)
    with whole_folder(folder, force=force) as new:
        _write_companions(checkpoint, new)
        tell("loading the checkpoint")
        model = model_from_checkpoint(checkpoint, tell)
        traced = _traced_graph(model, checkpoint, new.with_name("traced"), asked, tell)
        _convert(traced, checkpoint, new, asked, tell)
        exported = _exported_graph(checkpoint, new, asked, model.taken_off)
        refuse_newer("IR version", exported.made.ir_version, asked.newest_ir)
        tell("comparing with PyTorch")
        library = Library(checkpoint, model, max_length=exported.max_length)
        parity = _pytorch_parity(traced, exported, library, asked, tell)
        write_json(new / EXPORT_RECORD, record_of(replace(exported, parity=parity)))
    return exported_from_folder(folder)


def expected_export(checkpoint: Checkpoint, folder: Path, **options: Any) -> Exported:
    """What an export of the checkpoint will be, before anything long is done; its file in `folder` has tensors alone.

    Raises UserError for a tokenizer or a length that does not fit the checkpoint.
    """
    asked = OnnxOptions(**options)
    asked.check(checkpoint)
    _write_companions(checkpoint, folder)
    config, row = checkpoint.config, checkpoint.row
    sequence: tuple[int | str, ...] = ("batch", asked.fixed_length or "sequence")
    widths = {
        "labels": len(checkpoint.labels),
        "hidden": checkpoint.width(_hidden_of(config)),
        "vocabulary": config["vocab_size"],
    }
    width = (widths[row.width],) if row.width in widths else ()
    shape = (*(sequence if row.per_token else sequence[:1]), *width)
    inputs = {name: TensorSpec("int64", sequence) for name in checkpoint.inputs}
    outputs = {name: TensorSpec("float32", shape) for name in row.outputs}
    flat = {name: TensorSpec("int64", ("elements",)) for name in inputs} | {LENGTHS: TensorSpec("int32", ("batch",))}
    _write_interface(folder / MODEL_ONNX, flat if asked.layout == PACKED else inputs, outputs)
    made = Provenance(asked.precision, optimized=asked.optimize, layout=asked.layout, source=checkpoint.source)
    return _export_of(checkpoint, folder, asked.fixed_length, inputs, outputs, made)


def _export_of(
    checkpoint: Checkpoint,
    folder: Path,
    fixed_length: int | None,
    inputs: dict[str, TensorSpec],
    outputs: dict[str, TensorSpec],
    made: Provenance,
) -> Exported:
    """The record of a checkpoint's export, as yet without its parity."""
    weights = weights_beside(folder / MODEL_ONNX)
    return Exported(
        folder=folder,
        model=folder / MODEL_ONNX,
        weights=weights if weights.is_file() else None,
        tokenizer=folder / TOKENIZER_JSON,
        task=checkpoint.task,
        labels=checkpoint.labels,
        problem=checkpoint.problem,
        max_length=fixed_length or checkpoint.max_length,
        fixed_length=fixed_length,
        inputs=inputs,
        outputs=outputs,
        special=dict(checkpoint.tokenizer.special),
        sentence=checkpoint.sentence.record() if checkpoint.sentence else {},
        reading=dict(checkpoint.tokenizer.settings),
        made=made,
    )


def _exported_graph(checkpoint: Checkpoint, folder: Path, options: OnnxOptions, taken_off: str) -> Exported:
    """The record of the graph that lies in `folder`."""
    file = folder / MODEL_ONNX
    model = require("onnx", extra="onnx").load(str(file), load_external_data=False)
    weights, padded = weights_beside(file), options.layout == PADDED
    made = Provenance(
        precision=options.precision,
        opset=opset_of(model),
        ir_version=model.ir_version,
        optimized=options.optimize,
        layout=options.layout,
        hidden=0 if padded else _hidden_of(checkpoint.config),
        sha256=sha256(file),
        weights_sha256=sha256(weights) if weights.is_file() else "",
        source=checkpoint.source,
        chosen=checkpoint.explanation,
        taken_off=taken_off,
        versions={name: require(name, extra="onnx").__version__.partition("+")[0] for name in _RECORDED},
        repository=checkpoint.origin.get("repository", ""),
        revision=checkpoint.origin.get("revision", ""),
        twin=options.optimize and not padded and not cuda_here(),
    )
    # Clients send rows of tokens to a packed engine, too.
    rows = {name: TensorSpec("int64", ("batch", "sequence")) for name in checkpoint.inputs}
    inputs = tensor_specs(model.graph.input) if padded else rows
    return _export_of(checkpoint, folder, options.fixed_length, inputs, tensor_specs(model.graph.output), made)


def _write_companions(checkpoint: Checkpoint, folder: Path) -> None:
    """Write config.json and the tokenizer. Raises UserError for one that does not fit the checkpoint."""
    _write_config(checkpoint, folder)
    write_tokenizer(checkpoint.tokenizer, folder)
    check_vocabulary(checkpoint.tokenizer.tokenizer, checkpoint.config["vocab_size"])


def _traced_graph(
    model: Any, checkpoint: Checkpoint, folder: Path, options: OnnxOptions, tell: Callable[[str], None]
) -> Path:
    """The FP32 graph of a loaded model, in a new folder, its layers fused if that is asked for."""
    folder.mkdir(exist_ok=True)
    traced, packed = folder / MODEL_ONNX, options.layout == PACKED
    tell("tracing the graph")
    write_graph(
        model,
        checkpoint,
        traced,
        opset=options.opset,
        fixed_length=options.fixed_length,
        packed=packed,
        varlen=packed and options.optimize,
    )
    if options.optimize:
        tell("fusing layers")
        (fuse_varlen if packed else fuse)(traced, traced, checkpoint.config)
    return traced


def traced_like(checkpoint: Checkpoint, exported: Exported, folder: Path) -> Path:
    """The FP32 graph that an export was converted from, traced again into `folder`."""
    made = exported.made
    options = OnnxOptions(
        opset=made.opset, fixed_length=exported.fixed_length, layout=made.layout, optimize=made.optimized
    )
    return _traced_graph(model_from_checkpoint(checkpoint), checkpoint, folder, options, lambda _: None)


def _convert(
    traced: Path, checkpoint: Checkpoint, folder: Path, options: OnnxOptions, tell: Callable[[str], None]
) -> None:
    """Write model.onnx into `folder`, the traced graph in the precision that is asked for. Raises UserError."""
    if options.precision != "fp32":
        tell(f"converting to {options.precision}")
    pad_id = checkpoint.tokenizer.special.get("pad", 0)
    samples = Samples(folder / TOKENIZER_JSON, checkpoint.max_length, options.fixed_length, pad_id)
    options.bounds.convert(traced, folder / MODEL_ONNX, checkpoint.row, options.keep_fp32, samples)
    tell("checking the graph")
    check_graph(folder / MODEL_ONNX)


def _pytorch_parity(
    traced: Path, exported: Exported, library: Library, options: OnnxOptions, tell: Callable[[str], None]
) -> dict[str, Any]:
    """The comparison of an export with its checkpoint in PyTorch, for its record. Raises UserError for a drift."""
    checkpoint, bounds = library.checkpoint, options.bounds
    texts = options.texts or (None if options.precision == "fp32" else gate_sentences())
    texts = gate_texts(texts, checkpoint.tokenizer.special_tokens, exported.max_length)
    refuse_other_ids(library, Encoder(exported).ids, texts, exported.tokenizer)
    reference = library.run()
    found = engine_parity(checkpoint, exported, texts, reference=reference)
    refuse_drift(found, bounds, lambda: advice(traced, exported, texts, reference, bounds, options.keep_fp32, tell))
    limits: dict[str, Any] = {"tolerance": found.bound(bounds.tolerance), "least_agreement": bounds.agreement}
    return {**asdict(found), **limits, **({"not_asked": library.missing} if library.missing else {})}


def _write_interface(path: Path, inputs: dict[str, TensorSpec], outputs: dict[str, TensorSpec]) -> None:
    """Write an ONNX file that has these tensors and computes nothing."""
    helper = require("onnx", extra="onnx").helper
    tensors = [
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)), spec.shape)
            for name, spec in side.items()
        ]
        for side in (inputs, outputs)
    ]
    path.write_bytes(helper.make_model(helper.make_graph([], "expected", *tensors)).SerializeToString())


def refuse_newer(what: str, made: int, newest: int | None) -> None:
    """Raise UserError for a version that the server's ONNX Runtime cannot read."""
    if newest is not None and made > newest:
        raise UserError(f"{what} {made} is newer than the server's ONNX Runtime reads, which is {newest} at most")


def refuse_drift(found: Parity, bounds: Precision, advise: Callable[[], str], *, reference: str = "PyTorch") -> None:
    """Raise UserError when the engine's answers are not the reference's, or NaN, which fails every comparison."""
    if holds(found, bounds):
        return
    advised = advise()
    ending = "; nothing was written" + (f". {advised}" if advised else "")
    most = found.bound(bounds.tolerance)
    if not found.max_abs <= most:
        raise UserError(
            f"the ONNX file differs from {reference} by {found.max_abs:g} in a logit, the tolerance is {most:g}{ending}"
        )
    if found.agreement < bounds.agreement:
        raise UserError(
            f"{found.flips} of {found.decisions} decisions differ from {reference}'s, {found.agreement:.4f} agree "
            f"and {bounds.agreement:g} must{ending}"
        )
    if not found.answers_hold:
        raise UserError(f"the answers are not those of {reference}: {agreement_text(found.answers)}{ending}")
    raise UserError(f"padding moves a logit by {found.padding_abs:g}, the tolerance is {most:g}{ending}")


def check_graph(path: Path) -> None:
    """Let onnx.checker read the file, shapes included. Raises UserError for one that it refuses, or whose weights are
    no numbers.
    """
    onnx = require("onnx", extra="onnx")
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        instead = other_export("with --precision fp32 and without --optimize")
        raise UserError(f"the graph is not valid ({error}); {instead}") from error
    refuse_broken_weights(path, "the graph")


def _write_config(checkpoint: Checkpoint, folder: Path) -> None:
    """Write config.json, with the labels as they were named and without the place it came from."""
    config = {key: value for key, value in checkpoint.config.items() if key not in PLACES}
    if checkpoint.labels:
        config["id2label"] = {str(index): label for index, label in enumerate(checkpoint.labels)}
        config["label2id"] = {label: index for index, label in enumerate(checkpoint.labels)}
    write_json(folder / "config.json", config)


def tensor_specs(tensors: Any) -> dict[str, TensorSpec]:
    """Names, types and shapes of a graph's inputs or outputs; a dynamic axis by its name."""
    onnx = require("onnx", extra="onnx")
    specs = {}
    for tensor in tensors:
        kind = tensor.type.tensor_type
        shape = tuple(axis.dim_param or axis.dim_value for axis in kind.shape.dim)
        specs[tensor.name] = TensorSpec(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name, shape)
    return specs


def _hidden_of(config: dict[str, Any]) -> int:
    """How wide a model's layers are; DistilBERT has a name of its own for it."""
    return int(config.get("hidden_size") or config["dim"])
