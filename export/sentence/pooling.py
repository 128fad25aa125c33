"""Pooling, and what follows it in a sentence-transformers folder, as part of the PyTorch model, and so of the graph.

This file imports torch; it is imported where a model is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from tbgen.export.checkpoint.tensors import tensors_from_file
from tbgen.export.errors import UserError
from tbgen.export.reading import is_there
from tbgen.export.sentence.modules import LAYERS, MASK, TOKENS, VECTOR, Module


def mean(states: Any, mask: Any) -> Any:
    """The mean of the real tokens; the mask is (batch, sequence, 1)."""
    return (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)


def _last_token(states: Any, mask: Any) -> Any:
    """The last real token, wherever the padding is."""
    place = (mask.cumsum(1) * mask).argmax(1, keepdim=True)
    return states.gather(1, place.expand(-1, 1, states.shape[2]))[:, 0]


# Of (batch, sequence, hidden) the vectors of texts, (batch, hidden).
POOL: dict[str, Callable[[Any, Any], Any]] = {
    "cls": lambda states, _: states[:, 0],
    "mean": mean,
    "max": lambda states, mask: states.masked_fill(mask == 0, -1e9).max(1).values,
    "lasttoken": _last_token,
    "mean_sqrt_len_tokens": lambda states, mask: (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9).sqrt(),
    "weightedmean": lambda states, mask: mean(states, mask * mask.cumsum(1)),
}


class PooledModel(torch.nn.Module):  # type: ignore[misc]
    """A model with layers behind it; its `last_hidden_state` is (batch, width). Raises UserError."""

    def __init__(self, model: Any, layers: Sequence[Module]) -> None:
        super().__init__()
        self.model, self.layers = model, layers
        self.behind = torch.nn.ModuleList(_LAYER[layer.kind](layer).float() for layer in layers)

    def forward(self, attention_mask: Any, mask: Any = None, **named: Any) -> dict[str, Any]:
        answer = self.model(attention_mask=attention_mask if mask is None else mask, **named)
        features = {TOKENS: answer.last_hidden_state, MASK: attention_mask, LAYERS: answer.get("hidden_states")}
        for said, layer in zip(self.layers, self.behind, strict=True):
            features[said.gives] = layer(*(features[name] for name in said.takes))
        return {"last_hidden_state": features[VECTOR]}


class _Pool(torch.nn.Module):  # type: ignore[misc]
    """Token vectors and the mask to one vector: the modes' vectors one after the other."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.modes = module.config["modes"]

    def forward(self, states: Any, mask: Any) -> Any:
        real = mask[:, :, None].to(states.dtype)
        return torch.cat([POOL[mode](states, real) for mode in self.modes], dim=-1)


class _Dense(torch.nn.Module):  # type: ignore[misc]
    """A linear layer, its activation, and what it takes beside it if the folder says so. Raises UserError."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        said = module.config
        wide, narrow, self.use_residual = said["in_features"], said["out_features"], said["use_residual"]
        self.linear = torch.nn.Linear(wide, narrow, bias=said["bias"])
        self.activation = getattr(torch.nn, said["activation"])()
        self.residual = torch.nn.Identity()
        if self.use_residual and wide != narrow:
            self.residual = torch.nn.Linear(wide, narrow, bias=False)
        _load(self, module)

    def forward(self, vectors: Any) -> Any:
        given = self.activation(self.linear(vectors))
        return given + self.residual(vectors) if self.use_residual else given


class _Normalize(torch.nn.Module):  # type: ignore[misc]
    """Vectors of length 1."""

    def __init__(self, _: Module) -> None:
        super().__init__()

    def forward(self, vectors: Any) -> Any:
        return vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-12)


class _LayerNorm(torch.nn.Module):  # type: ignore[misc]
    """A layer normalisation. Raises UserError."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(module.config["dimension"])
        _load(self, module)

    def forward(self, vectors: Any) -> Any:
        return self.norm(vectors)


class _LayerPooling(torch.nn.Module):  # type: ignore[misc]
    """The weighted mean of the hidden states of the layers from `layer_start` on. Raises UserError."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.first = module.config["layer_start"]
        self.layer_weights = torch.nn.Parameter(_weights_of(module)["layer_weights"])

    def forward(self, states: Sequence[Any]) -> Any:
        weights = self.layer_weights[:, None, None, None]
        return (torch.stack(list(states[self.first :])) * weights).sum(0) / weights.sum()


_LAYER: dict[str, Callable[[Module], Any]] = {
    "Pooling": _Pool,
    "Dense": _Dense,
    "Normalize": _Normalize,
    "LayerNorm": _LayerNorm,
    "WeightedLayerPooling": _LayerPooling,
}


def _load(layer: Any, module: Module) -> None:
    """Load the weights of a module's folder, each into its place. Raises UserError where they do not fit."""
    weights = _weights_of(module)
    have, want = (
        {name: tuple(tensor.shape) for name, tensor in side.items()} for side in (weights, layer.state_dict())
    )
    if have != want:
        raise UserError(f"the weights in {str(module.folder)!r} are {have}, its config.json makes them {want}")
    layer.load_state_dict(weights)


def _weights_of(module: Module) -> dict[str, Any]:
    """The tensors of a module's folder, by name. Raises UserError where there are none."""
    files = [module.folder / name for name in ("model.safetensors", "pytorch_model.bin")]
    file = next(filter(is_there, files), None)
    if file is None:
        raise UserError(f"no weights in {str(module.folder)!r}; looked for {', '.join(file.name for file in files)}")
    return tensors_from_file(file)
