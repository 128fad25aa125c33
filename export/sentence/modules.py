"""The modules of a sentence-transformers folder: which there are, and how vectors go from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from tbgen.backends.embedding import POOLINGS
from tbgen.export.errors import UserError
from tbgen.export.reading import is_there, json_from_file, read_json
from tbgen.export.sentence.keys import check_keys
from tbgen.export.values import A_TEXT, list_of, object_with

_LIBRARY = "sentence_transformers."
TOKENS, VECTOR, MASK, LAYERS = "token_embeddings", "sentence_embedding", "attention_mask", "all_layer_embeddings"
# Pooling modes by the switch that turns them on up to sentence-transformers 5.3, in the order in which they are joined.
_SWITCHES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# Classes of torch.nn that need no arguments and that a graph of every opset computes as PyTorch does: not LogSigmoid,
# which becomes the logarithm of a sigmoid that is 0.
ACTIVATIONS = (
    *("Identity", "Tanh", "ReLU", "GELU", "Sigmoid", "SiLU", "LeakyReLU", "ELU", "SELU", "CELU", "ReLU6", "Hardtanh"),
    *("Hardsigmoid", "Hardswish", "Mish", "Softplus", "Softsign", "Tanhshrink"),
)


@dataclass(frozen=True)
class Module:
    """A module by the name of its class, its folder and its config; it computes `gives` of the features `takes`."""

    kind: str
    folder: Path
    config: Mapping[str, Any]
    takes: tuple[str, ...] = ()
    gives: str = VECTOR


def modules_from_folder(folder: Path) -> list[Module]:
    """The modules that modules.json names, in order, their configs not yet read. Raises UserError."""
    path = folder / "modules.json"
    rows = json_from_file(path)
    if not list_of(object_with({"type": A_TEXT, "path": A_TEXT})).takes(rows) or not rows:
        raise UserError(f"{str(path)!r} is no list of modules, each with its type and path")
    named: dict[str, Module] = {}
    for number, row in enumerate(rows):
        check_keys(row, "modules.json", repr(str(path)))
        kind, place = row["type"].rsplit(".", 1)[-1], PureWindowsPath(row["path"])  # either kind of slash
        if not row["type"].startswith(_LIBRARY):
            raise UserError(
                f"{str(path)!r} has the module {row['type']!r}, which is code of its own; tbgen runs none, and serves "
                f"modules of {_LIBRARY.rstrip('.')}"
            )
        if place.anchor or ".." in place.parts or "\0" in row["path"]:
            raise UserError(f"{str(path)!r} names the path {row['path']!r}, which is outside its folder")
        named[row.get("name", str(number))] = Module(kind, folder / row["path"], {})
    return list(named.values())


def names_of(modules: Sequence[Module]) -> str:
    """Their classes, for a sentence."""
    return ", ".join(module.kind for module in modules)


def layers_of(modules: Sequence[Module], *, hidden_states: bool) -> tuple[Module, ...]:
    """What computes something behind a transformer, read and checked; the modules that change no answer are left out.

    `hidden_states`: the transformer gives those of all its layers. Raises UserError.
    """
    known = [TOKENS, *([LAYERS] if hidden_states else [])]
    found = []
    for module in (READERS[module.kind](module) for module in modules):
        passed_over = module.kind in _PASSING and not set(module.takes) <= set(known)
        if module.kind == "Dropout" or passed_over:
            continue
        if missing := [name for name in module.takes if name not in (*known, MASK)]:
            raise UserError(f"{str(module.folder)!r} takes {missing[0]}, which no module before it gives")
        known.append(module.gives)
        found.append(module)
    if VECTOR not in known:
        raise UserError(f"no module of {names_of(modules) or 'it'} gives a {VECTOR}, so there is no vector of a text")
    return tuple(found)


def width_of(layers: Sequence[Module], hidden: int) -> int:
    """How many numbers the vector has behind these layers. Raises UserError where two do not fit."""
    widths = {TOKENS: hidden, LAYERS: hidden}
    for layer in layers:
        width = widths[layer.takes[0]]
        taken = layer.config.get("in_features", layer.config.get("dimension", width))
        if taken != width:
            raise UserError(f"{str(layer.folder)!r} takes {taken} numbers, the modules before it give {width}")
        factor = len(layer.config["modes"]) if layer.kind == "Pooling" else 1
        widths[layer.gives] = int(layer.config.get("out_features", width)) * factor
    return widths[VECTOR]


def pooling(module: Module) -> Module:
    """A Pooling module, its `modes` in the order in which they are joined. Raises UserError."""
    config = _module_config(module)
    named = config.get("pooling_mode")
    if named is None:
        named = [mode for switch, mode in _SWITCHES.items() if config.get(switch)] or ["mean"]
    modes = [named] if isinstance(named, str) else list(named)
    if not modes or not set(modes) <= POOLINGS.keys():
        raise UserError(f"{str(module.folder)!r} pools by {modes}; tbgen serves {', '.join(POOLINGS)}")
    settings = {"modes": modes, "include_prompt": config.get("include_prompt", True)}
    return Module(module.kind, module.folder, settings, (TOKENS, MASK), VECTOR)


def _dense(module: Module) -> Module:
    """A Dense module, its `activation` the name of a class of torch.nn. Raises UserError."""
    config = _module_config(module)
    path = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    activation = str(path).rsplit(".", 1)[-1]
    if not str(path).startswith("torch.nn.") or activation not in ACTIVATIONS:
        raise UserError(
            f"{str(module.folder)!r} has the activation {activation!r}; tbgen serves {', '.join(ACTIVATIONS)} of "
            f"torch.nn, this is {path}"
        )
    widths = {name: config.get(name) for name in ("in_features", "out_features")}
    if not all(isinstance(width, int) for width in widths.values()):
        raise UserError(f"{str(module.folder)!r} has no in_features and out_features in its config.json")
    settings = {
        **widths,
        "bias": config.get("bias", True),
        "activation": activation,
        "use_residual": config.get("use_residual", False),
    }
    return Module(module.kind, module.folder, settings, *_between(config))


def _layer_pooling(module: Module) -> Module:
    """A WeightedLayerPooling module, which takes the place of the last layer's hidden states."""
    settings = {"layer_start": _module_config(module).get("layer_start", 4)}
    return Module(module.kind, module.folder, settings, (LAYERS,), TOKENS)


def _between(config: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """The features that a module takes and gives."""
    takes = config.get("module_input_name") or VECTOR
    return (takes,), config.get("module_output_name") or takes


def _module_config(module: Module) -> dict[str, Any]:
    """A module's config, its keys known. Raises UserError."""
    path = module.folder / "config.json"
    bare = module.kind in _WITHOUT_CONFIG and not is_there(path)
    config = {} if bare else read_json(module.folder, path.name, f"a {module.kind} module has one")
    check_keys(config, module.kind, repr(str(path)))
    return config


READERS: dict[str, Callable[[Module], Module]] = {
    "Pooling": pooling,
    "Dense": _dense,
    "Normalize": lambda module: Module(module.kind, module.folder, {}, *_between(_module_config(module))),
    "LayerNorm": lambda module: Module(module.kind, module.folder, _module_config(module), (VECTOR,)),
    "Dropout": lambda module: Module(module.kind, module.folder, _module_config(module), (VECTOR,)),  # training's alone
    "WeightedLayerPooling": _layer_pooling,
}
_WITHOUT_CONFIG = ("Normalize", "Dropout")  # they had none before 5.4
_PASSING = ("Normalize", "WeightedLayerPooling")  # they do nothing where the features are not there that they take
