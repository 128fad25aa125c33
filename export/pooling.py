"""Pooling and linear layers of a sentence-transformers folder as part of the PyTorch model, and so of the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tbgen.export.errors import UserError, require
from tbgen.export.sentence import Dense, Sentence


def first(states: Any, _: Any) -> Any:
    """The first token: (batch, sequence, hidden) to (batch, hidden)."""
    return states[:, 0]


def mean(states: Any, mask: Any) -> Any:
    """The mean of the real tokens; the mask is (batch, sequence, 1)."""
    return (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)


def highest(states: Any, mask: Any) -> Any:
    """The largest number of each dimension among the real tokens."""
    return states.masked_fill(mask == 0, -1e9).max(1).values


def last(states: Any, mask: Any) -> Any:
    """The last real token, wherever the padding is."""
    place = (mask.cumsum(1) * mask).argmax(1, keepdim=True)
    return states.gather(1, place.expand(-1, 1, states.shape[2]))[:, 0]


POOL: dict[str, Callable[[Any, Any], Any]] = {"cls": first, "mean": mean, "max": highest, "lasttoken": last}


def pooled_model(model: Any, sentence: Sentence) -> Any:
    """`model` with pooling and linear layers behind it; its `last_hidden_state` is (batch, width) then."""
    torch = require("torch", extra="onnx")
    pool = POOL[sentence.pooling]

    class Pooled(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.dense = torch.nn.Sequential(*(dense_layers(dense) for dense in sentence.dense))

        def forward(self, attention_mask: Any, mask: Any = None, **named: Any) -> dict[str, Any]:
            states = self.model(attention_mask=attention_mask if mask is None else mask, **named).last_hidden_state
            real = attention_mask[:, :, None].to(states.dtype)
            return {"last_hidden_state": self.dense(pool(states, real))}

    return Pooled()


def dense_layers(dense: Dense) -> Any:
    """A Dense module as PyTorch layers, its weights in. Raises UserError when they are not there."""
    torch = require("torch", extra="onnx")
    weights = dense_weights(dense)
    layer = torch.nn.Linear(*reversed(weights["linear.weight"].shape), bias="linear.bias" in weights)
    layer.load_state_dict({name.removeprefix("linear."): tensor for name, tensor in weights.items()})
    return torch.nn.Sequential(layer, getattr(torch.nn, dense.activation)())


def dense_weights(dense: Dense) -> dict[str, Any]:
    """The tensors of a Dense module's folder."""
    safe, pickled = dense.folder / "model.safetensors", dense.folder / "pytorch_model.bin"
    if safe.is_file():
        return dict(require("safetensors.torch", extra="onnx").load_file(safe))
    if pickled.is_file():
        return dict(require("torch", extra="onnx").load(pickled, map_location="cpu", weights_only=True))
    raise UserError(f"no weights in {str(dense.folder)!r}; looked for {safe.name}, {pickled.name}")
