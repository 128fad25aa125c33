"""The packed layout: a graph that computes no padding, whatever the lengths of the texts that share a run.

Its inputs are flat, the tokens of all rows one after the other, with the rows' widths beside them: what Triton makes of
requests of unequal length when their inputs are ragged. Inside, only real tokens go through the layers; each attention
alone is padded to the longest text, where its cost is small. So texts of any lengths make one batch, and padding that a
client sends costs nothing. The idea is that of Effective Transformer and ByteTransformer, in standard ONNX operators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tbgen.export.checkpoint.checkpoint import Checkpoint
from tbgen.export.errors import UserError, require
from tbgen.export.families import FAMILIES, Family, family_of, inputs_of, padding_idx_of
from tbgen.export.tokenizers.tokenizer import TYPES

_ATTENTION = "tbgen_packed"  # the name by which transformers calls `attend`
NO_SIZE = 1 << 40  # taken off a size, it makes one that no tensor has


@dataclass(frozen=True)
class Packing:
    """Where the tokens of `rows` texts that are computed are, padded and packed: the real ones, and each row's first.

    place: (tokens,) of each in the padded rows, row by row. slot: (rows x width,) the packed token of each
    place; for padding another one of its row. mask: (rows, 1, 1, width), added to scores. first: (rows,) the token that
    begins each.
    """

    rows: Any
    width: Any
    place: Any
    slot: Any
    mask: Any
    first: Any


def can_pack(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint's graph can be packed: its attention can be replaced, and nothing is pooled behind it."""
    return not checkpoint.pooled and bool(family_of(checkpoint.config).encoder)


def refuse_unpackable(checkpoint: Checkpoint) -> None:
    """Raise UserError for a checkpoint that has no packed layout."""
    if not can_pack(checkpoint):
        names = ", ".join(name for name, family in FAMILIES.items() if family.encoder)
        raise UserError(
            f"this {checkpoint.config['model_type']} has no packed layout; it is for {names}, without linear layers of "
            "sentence-transformers behind them. Use --layout padded"
        )


def packed_module(model: Any, checkpoint: Checkpoint, masked: float) -> Any:
    """The model as the packed engine has it: flat tensors and the rows' widths in by position, the outputs as a tuple.

    To be called inside `packed_attention`.
    """
    torch = require("torch", extra="onnx")
    row = checkpoint.row
    fields = row.outputs.values()
    padding_idx = padding_idx_of(checkpoint.config)
    typed = TYPES in inputs_of(checkpoint.config)

    class PackedEngine(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: Any) -> tuple[Any, ...]:
            flat, widths = tensors[:-1], tensors[-1].long()
            named = dict(zip(checkpoint.inputs, _of_all_rows(flat, widths), strict=True))
            grid, real = _padded_rows(named.pop("attention_mask"), widths)
            packing = self.model.packing = _packing_of(real, masked)
            taken = grid.reshape(-1).index_select(0, packing.place)
            packed = with_types({name: tensor.index_select(0, taken)[None] for name, tensor in named.items()}, typed)
            positions = _positions_of_tokens(named["input_ids"], grid, packing, padding_idx)
            answer = self.model(**packed, position_ids=positions[None])
            if not row.per_token:
                return tuple(answer[field] for field in fields)
            return tuple(padded_rows(answer[field], packing.slot, packing.rows, packing.width) for field in fields)

    return PackedEngine().eval()


def with_types(tensors: dict[str, Any], typed: bool) -> dict[str, Any]:
    """The tensors of a model that reads token types, with 0 for each token where its tokenizer gives none."""
    if not typed or TYPES in tensors:
        return tensors
    torch = require("torch", extra="onnx")
    return {**tensors, TYPES: torch.zeros_like(tensors["input_ids"])}


def _of_all_rows(flat: Sequence[Any], widths: Any) -> list[Any]:
    """The flat tensors as they are, where each has as many elements as rows of `widths` have; else the run fails.

    Triton joins each input of its requests by itself, so one that is too short or too long shifts all behind it. A
    Reshape fails by a standard operator, and with the widths an input no optimiser can drop it. A row of no element
    has no answer: it asks for a size that no tensor has.
    """
    total = widths.where(widths > 0, -NO_SIZE).sum()
    return [tensor.reshape(total) for tensor in flat]


def _padded_rows(mask: Any, widths: Any) -> tuple[Any, Any]:
    """For a flat mask (elements,) of rows of `widths`: (rows, longest) place of each element, and if it is real."""
    torch = require("torch", extra="onnx")
    columns = torch.arange(widths.max(), device=widths.device)
    grid = ((widths.cumsum(0) - widths)[:, None] + columns).clamp(max=mask.shape[0] - 1)
    return grid, mask.bool()[grid] & (columns < widths[:, None])


def _packing_of(real: Any, masked: float) -> Packing:
    """The places of the tokens of a (rows, width) mask of booleans, wherever in a row they are.

    A row's first token is among them even where it is masked: the heads look at it, and so each row has an answer of
    its own.
    """
    torch = require("torch", extra="onnx")
    rows, width = real.shape
    kept = (real | (torch.arange(width, device=real.device) < 1)).long()
    lengths = kept.sum(1)
    first = lengths.cumsum(0) - lengths
    return Packing(
        rows=rows,
        width=width,
        place=kept.reshape(-1).nonzero()[:, 0],
        slot=(kept.cumsum(1) + (first - 1)[:, None]).reshape(-1),
        mask=(1.0 - real[:, None, None, :].to(torch.float32)) * masked,
        first=first,
    )


def _positions_of_tokens(ids: Any, grid: Any, packing: Packing, padding_idx: int | None) -> Any:
    """The (tokens,) positions that transformers gives the packed tokens; `grid` is the place of each in flat `ids`."""
    if padding_idx is None:
        return packing.place % packing.width
    counted = ids[grid].ne(padding_idx).long()
    return (counted.cumsum(1) * counted).reshape(-1).index_select(0, packing.place) + padding_idx


@contextmanager
def packed_attention(
    model: Any, checkpoint: Checkpoint, attention_of: Callable[[Any], Callable[..., tuple[Any, None]]] | None = None
) -> Iterator[None]:
    """Let a transformers model work on one row of packed tokens, by `attention_of` it; its family's if left out.

    Where a text has one answer, the heads see its first token alone, as (rows, 1, hidden), and where a family says
    where its attention ends, the last layer's feed-forward part computes no other, as (1, rows, hidden).
    """
    transformers = require("transformers", extra="onnx")
    family = family_of(checkpoint.config)
    attention_of = attention_of or family.packed_attention or _attention_of
    transformers.AttentionInterface.register(_ATTENTION, attention_of(model))
    before = model.config._attn_implementation
    hooks = [] if checkpoint.row.per_token else _first_token_hooks(model, family)
    try:
        model.set_attn_implementation(_ATTENTION)
        yield
    finally:
        model.set_attn_implementation(before)
        for hook in hooks:
            hook.remove()
        vars(model).pop("packing", None)


def _first_token_hooks(model: Any, family: Family) -> list[Any]:
    """Keep only each text's first token, from where nothing mixes tokens any more; out comes (rows, 1, hidden)."""
    encoder = getattr(model.base_model, family.encoder)
    last = encoder.layer[-1].get_submodule(family.attention) if family.attention else None

    def behind_attention(_: Any, __: Any, answer: Any) -> Any:
        states, *others = answer if isinstance(answer, tuple) else (answer,)
        states = states.index_select(1, model.packing.first)
        return (states, *others) if isinstance(answer, tuple) else states

    def behind_encoder(_: Any, __: Any, answer: Any) -> Any:
        states = answer["last_hidden_state"]
        states = states if last is not None else states.index_select(1, model.packing.first)
        answer["last_hidden_state"] = states.transpose(0, 1)
        return answer

    hooks = [encoder.register_forward_hook(behind_encoder)]
    return [*hooks, last.register_forward_hook(behind_attention)] if last is not None else hooks


def padded_rows(numbers: Any, slot: Any, rows: Any, width: Any) -> Any:
    """(1, tokens, ...) numbers as (rows, width, ...); what stands at padding is another token's of the row."""
    return numbers[0].index_select(0, slot).view(rows, width, *numbers.shape[2:])


def _attention_of(model: Any) -> Callable[..., tuple[Any, None]]:
    """Attention over packed tokens, (1, heads, tokens, size), as transformers calls it; the model has the packing."""
    torch = require("torch", extra="onnx")

    def attend(
        module: Any,  # noqa: ARG001
        query: Any,
        key: Any,
        value: Any,
        attention_mask: Any,  # noqa: ARG001
        scaling: float,
        **_: Any,
    ) -> tuple[Any, None]:
        packing, (heads, size) = model.packing, (query.shape[1], query.shape[3])

        def padded(packed: Any) -> Any:
            rows = packed.transpose(1, 2).reshape(-1, heads * size).index_select(0, packing.slot)
            return rows.view(packing.rows, packing.width, heads, size).transpose(1, 2)

        scores = torch.matmul(padded(query), padded(key).transpose(2, 3)) * scaling + packing.mask
        mixed = torch.matmul(torch.softmax(scores, dim=-1), padded(value))
        packed = mixed.transpose(1, 2).reshape(-1, heads * size).index_select(0, packing.place)
        return packed.view(1, -1, heads, size), None

    return attend
