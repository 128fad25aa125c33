"""Pooling, and what follows it in a sentence-transformers folder, as part of the PyTorch model, and so of the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tbgen.export.errors import UserError, require
from tbgen.export.sentence.folder import Sentence
from tbgen.export.sentence.modules import LAYERS, MASK, TOKENS, VECTOR, Module

# Weights, by the name that they have in a module's file.
Weights = dict[str, Any]


def first(states: Any, _: Any) -> Any:
    """The first token: (batch, sequence, hidden) to (batch, hidden)."""
    return states[:, 0]


def mean(states: Any, mask: Any) -> Any:
    """The mean of the real tokens; the mask is (batch, sequence, 1)."""
    return (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)


def mean_root(states: Any, mask: Any) -> Any:
    """The sum of the real tokens over the root of their number."""
    return (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9).sqrt()


def weighted_mean(states: Any, mask: Any) -> Any:
    """The mean of the real tokens, each weighing as much as its place: 1, 2, 3 and so on."""
    return mean(states, mask * mask.cumsum(1))


def highest(states: Any, mask: Any) -> Any:
    """The largest number of each dimension among the real tokens."""
    return states.masked_fill(mask == 0, -1e9).max(1).values


def last(states: Any, mask: Any) -> Any:
    """The last real token, wherever the padding is."""
    place = (mask.cumsum(1) * mask).argmax(1, keepdim=True)
    return states.gather(1, place.expand(-1, 1, states.shape[2]))[:, 0]


POOL: dict[str, Callable[[Any, Any], Any]] = {
    "cls": first,
    "mean": mean,
    "max": highest,
    "lasttoken": last,
    "mean_sqrt_len_tokens": mean_root,
    "weightedmean": weighted_mean,
}


def pooled_model(model: Any, sentence: Sentence) -> Any:
    """`model` with its layers behind it; its `last_hidden_state` is (batch, width) then. Raises UserError."""
    torch = require("torch", extra="onnx")

    class Pooled(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.behind = torch.nn.ModuleList(LAYER[layer.kind](layer) for layer in sentence.layers)

        def forward(self, attention_mask: Any, mask: Any = None, **named: Any) -> dict[str, Any]:
            answer = self.model(attention_mask=attention_mask if mask is None else mask, **named)
            features = {TOKENS: answer.last_hidden_state, MASK: attention_mask, LAYERS: answer.get("hidden_states")}
            for said, layer in zip(sentence.layers, self.behind, strict=True):
                features[said.gives] = layer(*(features[name] for name in said.takes))
            return {"last_hidden_state": features[VECTOR]}

    return Pooled()


def pooling_layer(module: Module) -> Any:
    """Token vectors and the mask to one vector: the modes' vectors one after the other."""
    torch = require("torch", extra="onnx")

    class Pool(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, states: Any, mask: Any) -> Any:
            real = mask[:, :, None].to(states.dtype)
            return torch.cat([POOL[mode](states, real) for mode in module.config["modes"]], dim=-1)

    return Pool()


def dense_layer(module: Module) -> Any:
    """A linear layer, its activation, and what it takes beside it if the folder says so. Raises UserError."""
    torch = require("torch", extra="onnx")
    said = module.config
    wide, narrow = said["in_features"], said["out_features"]

    class Dense(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(wide, narrow, bias=said["bias"])
            self.activation = getattr(torch.nn, said["activation"])()
            self.residual = torch.nn.Identity()
            if said["use_residual"] and wide != narrow:
                self.residual = torch.nn.Linear(wide, narrow, bias=False)

        def forward(self, vectors: Any) -> Any:
            given = self.activation(self.linear(vectors))
            return given + self.residual(vectors) if said["use_residual"] else given

    return loaded(Dense(), module)


def normalize_layer(_: Module) -> Any:
    """Vectors of length 1."""
    torch = require("torch", extra="onnx")

    class Normalize(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, vectors: Any) -> Any:
            return vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-12)

    return Normalize()


def norm_layer(module: Module) -> Any:
    """A layer normalisation. Raises UserError."""
    torch = require("torch", extra="onnx")

    class LayerNorm(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.LayerNorm(module.config["dimension"])

        def forward(self, vectors: Any) -> Any:
            return self.norm(vectors)

    return loaded(LayerNorm(), module)


def layers_layer(module: Module) -> Any:
    """The weighted mean of the hidden states of the layers from `layer_start` on. Raises UserError."""
    torch = require("torch", extra="onnx")

    class LayerPooling(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer_weights = torch.nn.Parameter(weights_of(module)["layer_weights"])

        def forward(self, states: Sequence[Any]) -> Any:
            weights = self.layer_weights[:, None, None, None]
            return (torch.stack(list(states[module.config["layer_start"] :])) * weights).sum(0) / weights.sum()

    return LayerPooling()


LAYER: dict[str, Callable[[Module], Any]] = {
    "Pooling": pooling_layer,
    "Dense": dense_layer,
    "Normalize": normalize_layer,
    "LayerNorm": norm_layer,
    "WeightedLayerPooling": layers_layer,
}


def loaded(layer: Any, module: Module) -> Any:
    """A layer with the weights of its module's folder, each in its place. Raises UserError where they do not fit."""
    weights, wanted = weights_of(module), layer.state_dict()
    have, want = ({name: tuple(tensor.shape) for name, tensor in side.items()} for side in (weights, wanted))
    if have != want:
        raise UserError(f"the weights in {str(module.folder)!r} are {have}, its config.json makes them {want}")
    layer.load_state_dict(weights)
    return layer.float()


def weights_of(module: Module) -> Weights:
    """The tensors of a module's folder. Raises UserError where there are none."""
    safe, pickled = module.folder / "model.safetensors", module.folder / "pytorch_model.bin"
    if safe.is_file():
        return dict(require("safetensors.torch", extra="onnx").load_file(safe))
    if pickled.is_file():
        return dict(require("torch", extra="onnx").load(pickled, map_location="cpu", weights_only=True))
    raise UserError(f"no weights in {str(module.folder)!r}; looked for {safe.name}, {pickled.name}")
