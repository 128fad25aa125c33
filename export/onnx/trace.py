"""A PyTorch model written down as an ONNX graph.

The path is torch.onnx.export with dynamo=False (TorchScript), chosen on what was seen with torch 2.13 and
transformers 5.23: it is the only one that writes opset 15 (TensorRT 8.5 reads nothing newer), it needs no onnxscript,
it writes LayerNormalization as one operator from opset 17 on, and both axes come out dynamic once the mask is made
here.
Left to itself transformers decides while tracing whether a mask is needed at all, and builds it with boolean operators
that TensorRT 8.5 cannot compile. So the wrapper hands over a ready additive mask of shape (batch, 1, 1, sequence).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tbgen.export.checkpoint.checkpoint import Checkpoint
from tbgen.export.errors import UserError, require
from tbgen.export.families import family_of, inputs_of
from tbgen.export.layout import LENGTHS
from tbgen.export.onnx.packed import packed_attention, packed_module, with_types
from tbgen.export.onnx.varlen import varlen_attention_of, varlen_module
from tbgen.export.tokenizers.tokenizer import TYPES

# Large enough to leave nothing of a padded token after softmax, small enough for float16 (65504), so that no -inf
# can arise there, and with it no -inf * 0 = NaN.
_MASKED = -10000.0
_OPSETS = range(15, 21)


def write_graph(
    model: Any,
    checkpoint: Checkpoint,
    path: Path,
    *,
    opset: int,
    fixed_length: int | None,
    packed: bool = False,
    varlen: bool = False,
) -> None:
    """Trace `model` and write it to `path`: outputs named as in the task's row, batch and sequence axes dynamic.

    With `fixed_length` the sequence axis is that number; `packed` is the layout of flat inputs, see packed.py, and
    `varlen` the one with attention for CUDA, see varlen.py. Raises UserError for an opset that this path cannot write.
    """
    if opset not in _OPSETS:
        raise UserError(f"opset {opset} cannot be written; there are {_OPSETS.start} to {_OPSETS.stop - 1}")
    examples = _example_tensors(checkpoint, fixed_length)
    if packed:
        with packed_attention(model, checkpoint, varlen_attention_of if varlen else None):
            module = varlen_module(model, checkpoint) if varlen else packed_module(model, checkpoint, _MASKED)
            _write_packed(module, checkpoint, path, examples, opset)
    else:
        axes = _dynamic_axes(checkpoint, fixed_length)
        _write_module(_engine_module(model, checkpoint), checkpoint, path, examples, axes, opset)


def _example_tensors(checkpoint: Checkpoint, fixed_length: int | None) -> dict[str, Any]:
    """Two rows to trace with, the second one shorter: name -> (2, length)."""
    torch = require("torch", extra="onnx")
    length = fixed_length or min(checkpoint.max_length, 16)
    ids = torch.arange(2 * length).reshape(2, length) % checkpoint.config["vocab_size"]
    examples = {
        "input_ids": ids,
        "attention_mask": (torch.arange(length) < length - torch.tensor([[0], [length // 2]])).long(),
        "token_type_ids": torch.zeros_like(ids),
    }
    return {name: examples[name] for name in checkpoint.inputs}


def _write_packed(module: Any, checkpoint: Checkpoint, path: Path, examples: dict[str, Any], opset: int) -> None:
    """Write the packed layout: flat inputs of one open axis, and the rows' widths."""
    torch = require("torch", extra="onnx")
    rows, width = next(iter(examples.values())).shape
    flat = {name: tensor.reshape(-1) for name, tensor in examples.items()}
    flat[LENGTHS] = torch.full((rows,), width, dtype=torch.int32)
    axes = {name: {0: "batch" if name == LENGTHS else "elements"} for name in flat}
    axes |= {
        name: axes_of for name, axes_of in _dynamic_axes(checkpoint, None).items() if name in checkpoint.row.outputs
    }
    _write_module(module, checkpoint, path, flat, axes, opset)


def _write_module(
    module: Any,
    checkpoint: Checkpoint,
    path: Path,
    examples: dict[str, Any],
    axes: dict[str, dict[int, str]],
    opset: int,
) -> None:
    """Trace a module on named examples; `axes` are those that stay open."""
    torch = require("torch", extra="onnx")
    with _known_warnings():
        torch.onnx.export(
            module,
            tuple(examples.values()),
            str(path),
            dynamo=False,
            opset_version=opset,
            input_names=list(examples),
            output_names=list(checkpoint.row.outputs),
            dynamic_axes=axes,
        )


def _engine_module(model: Any, checkpoint: Checkpoint) -> Any:
    """The model as the engine has it: tensors in by position, the task's outputs as a tuple."""
    torch = require("torch", extra="onnx")
    fields = checkpoint.row.outputs.values()
    pooled = checkpoint.pooled
    additive = family_of(checkpoint.config).mask == "additive"
    typed = TYPES in inputs_of(checkpoint.config)

    class Engine(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: Any) -> tuple[Any, ...]:
            named = with_types(dict(zip(checkpoint.inputs, tensors, strict=True)), typed)
            if additive:
                kept = named["attention_mask"][:, None, None, :].to(torch.float32)
                named["mask" if pooled else "attention_mask"] = (1.0 - kept) * _MASKED
            answer = self.model(**named)
            return tuple(answer[field] for field in fields)

    # The exporter puts the module back into the mode it found, and with it the model inside: train mode has dropout.
    return Engine().eval()


def _dynamic_axes(checkpoint: Checkpoint, fixed_length: int | None) -> dict[str, dict[int, str]]:
    """Which axes the graph leaves open: the batch always, the sequence unless its length is fixed."""
    row = checkpoint.row
    sequence = {} if fixed_length else {1: "sequence"}
    axes = {name: {0: "batch", **sequence} for name in checkpoint.inputs}
    axes.update({name: {0: "batch", **(sequence if row.per_token else {})} for name in row.outputs})
    return axes


@contextmanager
def _known_warnings() -> Iterator[None]:
    """Silence what is known of this path: it is the older one, and it warns wherever a model's code asks for a size.

        # DeBERTa, at each size that it asks for
        warnings.filterwarnings("ignore", message="To copy construct from a tensor")
    compared with PyTorch at batches and lengths other than the traced ones.
    """
    torch = require("torch", extra="onnx")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are using the legacy TorchScript-based ONNX export")
        warnings.filterwarnings("ignore", message="The feature will be removed", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        warnings.filterwarnings(
            "ignore", message="To copy construct from a tensor"
        )  # DeBERTa, at each size it asks for
        warnings.filterwarnings("ignore", message="Exporting aten::index operator of advanced indexing")  # ModernBERT
        yield
