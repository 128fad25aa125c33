"""The packed layout for CUDA: attention is one operator of ONNX Runtime that takes texts of any lengths at once.

Inputs and answers are those of packed.py, and so are the model's layers; attention alone is written as a node of
com.microsoft, which knows by the texts' cumulative lengths where each ends. Only the real tokens go through it, and
nothing is padded. The arithmetic on lengths and masks begins with a zero made of a shape: ONNX Runtime leaves to the
CPU what follows from shapes and inputs alone, so that no run waits for the GPU before its layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tbgen.export.checkpoint.checkpoint import Checkpoint
from tbgen.export.errors import require
from tbgen.export.families import inputs_of, padding_idx_of
from tbgen.export.onnx.graph_file import MICROSOFT
from tbgen.export.onnx.packed import NO_SIZE, padded_rows, with_types
from tbgen.export.tokenizers.tokenizer import TYPES

VARLEN = "PackedMultiHeadAttention"  # of com.microsoft, as it is traced: query, key and value apart
_OWN, _NAMED = "tbgen", "Named"  # an operator without a computation, whose result is to have a name
# What the layers get of the arithmetic on inputs: also the packed token_type_ids, where the model has such.
IDS, TYPES_OF_TOKENS, POSITIONS = "packed/input_ids", f"packed/{TYPES}", "packed/position_ids"
FIRST, OFFSET, CUMULATIVE = "packed/first", "packed/token_offset", "packed/cumulative"


@dataclass(frozen=True)
class VarlenPacking:
    """Where the real tokens of `rows` texts are, in flat tensors of rows of `width` elements at most.

    place: (tokens,) of each among the elements. starts: (rows,) the element that begins each. counted: (elements,) the
    real tokens up to each. cumulative: (rows + 1,) those before each row, and all. of_operator: what attention takes
    as token_offset, see `_token_offset`, and cumulative_sequence_length. first: (rows,) the token that begins each.
    """

    rows: Any
    width: Any
    place: Any
    starts: Any
    counted: Any
    cumulative: Any
    of_operator: tuple[Any, Any]

    first: Any

    @property
    def slot(self) -> Any:
        """(rows x width,) the packed token of each place in padded rows; for padding another one of its row."""
        torch = require("torch", extra="onnx")
        grid = self.starts[:, None] + torch.arange(self.width)
        tokens = self.counted[grid.clamp(max=self.counted.shape[0] - 1)]
        return (torch.minimum(tokens, self.cumulative[1:, None]) - 1).reshape(-1)


def varlen_module(model: Any, checkpoint: Checkpoint) -> Any:
    """The model as the engine for CUDA has it: tensors in and out as those of `packed_module`.

    A run fails where the tensors are not as long as the rows together, and where a row does not begin with a real
    token. To be called inside `packed_attention`.
    """
    torch = require("torch", extra="onnx")
    row = checkpoint.row
    padding_idx, typed = padding_idx_of(checkpoint.config), TYPES in inputs_of(checkpoint.config)

    class VarlenEngine(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: Any) -> tuple[Any, ...]:
            named, widths = dict(zip(checkpoint.inputs, tensors[:-1], strict=True)), tensors[-1]
            shape = torch._shape_as_tensor(widths)
            nothing = shape - shape
            widths, mask = (widths + nothing.int()).long(), (named.pop("attention_mask") + nothing).bool().long()
            starts = (widths.cumsum(0) - widths).clamp(min=0, max=mask.shape[0] - 1)
            size = _size_of_all(widths, mask, starts)
            packing = self.model.packing = _packing_of(widths, mask, starts)
            named = {name: flat.reshape(size) for name, flat in named.items()} | {
                "position_ids": _positions(named["input_ids"] + nothing, starts, padding_idx)
            }
            taken = {name: flat.index_select(0, packing.place) for name, flat in named.items()}
            taken = {name: _named(tokens, f"packed/{name}")[None] for name, tokens in taken.items()}
            answer = self.model(**with_types(taken, typed))
            fields = row.outputs.values()
            if not row.per_token:
                return tuple(answer[field] for field in fields)
            slot = packing.slot
            return tuple(padded_rows(answer[field], slot, packing.rows, packing.width) for field in fields)

    return VarlenEngine().eval()


def _size_of_all(widths: Any, mask: Any, starts: Any) -> Any:
    """How many elements each flat tensor must have: a size that no tensor has where rows and mask do not fit."""
    torch = require("torch", extra="onnx")
    total = widths.where(widths > 0, -NO_SIZE).sum()
    fits = (torch._shape_as_tensor(mask)[0] == total) & (mask.index_select(0, starts).min() > 0)
    return total.where(fits, -NO_SIZE)


def _packing_of(widths: Any, mask: Any, starts: Any) -> VarlenPacking:
    """The places of the real tokens of rows of `widths`; mask (elements,) 1 for a real token."""
    torch = require("torch", extra="onnx")
    rows, counted = widths.shape[0], mask.cumsum(0)
    cumulative = torch.cat([torch.zeros(1, dtype=torch.long), counted.index_select(0, starts + widths - 1)])
    return VarlenPacking(
        rows=rows,
        width=widths.max(),
        place=mask.nonzero()[:, 0],
        starts=starts,
        counted=counted,
        cumulative=cumulative,
        of_operator=(_named(_token_offset(cumulative, rows), OFFSET), _named(cumulative.int(), CUMULATIVE)),
        first=_named(cumulative[:-1], FIRST),
    )


def _token_offset(cumulative: Any, rows: Any) -> Any:
    """(rows, longest) INT32: the places of the real tokens in rows that hold them alone, then those of all others.

    Most kernels read its shape alone; the plain one, which takes over where no other can run, its numbers, too.
    """
    torch = require("torch", extra="onnx")
    before, behind = cumulative[:-1, None], cumulative[1:, None]
    width = (behind - before).max()
    places = torch.arange(rows * width).view(rows, width)
    tokens = before + torch.arange(width)
    order = torch.where(tokens < behind, tokens, places + (cumulative[-1] - behind))
    flat = places.reshape(-1)
    return flat.scatter(0, order.reshape(-1), flat).view(rows, width).int()


def _positions(ids: Any, starts: Any, padding_idx: int | None) -> Any:
    """The (elements,) positions that transformers gives tokens: columns, or a count of those that are no padding."""
    if padding_idx is None:
        return _sums_in_rows(ids * 0 + 1, starts) - 1
    counted = ids.ne(padding_idx).long()
    return _sums_in_rows(counted, starts) * counted + padding_idx


def _sums_in_rows(numbers: Any, starts: Any) -> Any:
    """(elements,) running sums that begin anew with each row."""
    torch = require("torch", extra="onnx")
    before = (numbers.cumsum(0) - numbers).index_select(0, starts)
    of_row = before - torch.cat([torch.zeros(1, dtype=torch.long), before[:-1]])
    return numbers.scatter(0, starts, numbers.index_select(0, starts) - of_row).cumsum(0)


def _named(tensor: Any, name: str) -> Any:
    """The tensor, to be named so in the graph, see `name_tensors`."""
    torch = require("torch", extra="onnx")

    class Named(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(_: Any, given: Any) -> Any:
            return given.clone()

        @staticmethod
        def symbolic(graph: Any, given: Any) -> Any:
            made = graph.op(f"{_OWN}::{_NAMED}", given, name_s=name)
            made.setType(given.type())
            return made

    return Named.apply(tensor)


def name_tensors(model: Any) -> None:
    """Give the tensors of a traced graph the names that were asked for."""
    graph = model.graph
    asked = {node.input[0]: node for node in graph.node if node.op_type == _NAMED}
    new = {name: node.attribute[0].s.decode() for name, node in asked.items()}
    new |= {node.output[0]: new[name] for name, node in asked.items()}
    for node in asked.values():
        graph.node.remove(node)
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    del graph.value_info[:]
    for entry in [entry for entry in model.opset_import if entry.domain == _OWN]:
        model.opset_import.remove(entry)


def varlen_attention_of(model: Any) -> Callable[..., tuple[Any, None]]:
    """Attention over packed tokens, (1, heads, tokens, size), as transformers calls it, traced as one node."""
    torch = require("torch", extra="onnx")

    class Varlen(torch.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(_: Any, query: Any, key: Any, value: Any, *__: Any) -> Any:
            return query + 0 * key + 0 * value  # tracing reads its shape alone

        @staticmethod
        def symbolic(graph: Any, *given: Any) -> Any:
            *tensors, heads, scale = given
            nothing = graph.op("prim::Constant")
            nothing.setType(torch._C.OptionalType.ofTensor())
            made = graph.op(
                f"{MICROSOFT}::{VARLEN}", *tensors[:3], nothing, *tensors[3:], num_heads_i=heads, scale_f=scale
            )
            made.setType(tensors[0].type())
            return made

    def attend(
        module: Any,  # noqa: ARG001
        query: Any,
        key: Any,
        value: Any,
        attention_mask: Any,  # noqa: ARG001
        scaling: float,
        **_: Any,
    ) -> tuple[Any, None]:
        packing, heads, size = model.packing, int(query.shape[1]), int(query.shape[3])
        flat = [tensor.transpose(1, 2).reshape(-1, heads * size) for tensor in (query, key, value)]
        mixed = Varlen.apply(*flat, *packing.of_operator, heads, scaling)
        return mixed.view(1, -1, heads, size), None

    return attend
