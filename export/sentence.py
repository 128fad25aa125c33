"""A sentence-transformers folder: what it does with the hidden states after the transformer, read from its modules."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError
from tbgen.export.files import parsed, read_json, read_json_if_there

# Pooling modes by the switch that turns them on; the switch has this form up to sentence-transformers 5.
SWITCHES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "lasttoken",
}
POOLINGS = tuple(SWITCHES.values())
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "Sigmoid")
SPLADE = ("max", "sum")


@dataclass(frozen=True)
class Dense:
    """A linear layer behind the pooling: its folder, and its activation by the name of a torch.nn class."""

    folder: Path
    activation: str


@dataclass(frozen=True)
class Sentence:
    """What follows the transformer: `pooling` to one vector per text, linear layers, and L2 normalisation.

    A SPLADE folder (task sparse-embedding) pools the weights of words by `pooling`, behind `activation`.
    `prompts` are the prefixes by name, `prompt` the name of the one that is put before every text. With linear layers
    the pooling is part of the graph, since they come after it; otherwise hidden states leave the graph.
    """

    transformer: Path
    task: str
    max_length: int | None
    pooling: str
    normalize: bool
    dense: tuple[Dense, ...]
    prompts: dict[str, str]
    prompt: str | None
    activation: str | None = None

    def record(self) -> dict[str, Any]:
        """What a server's step has to know, in plain values."""
        return {
            "pooling": self.pooling,
            "pooled": bool(self.dense),
            "normalize": self.normalize,
            "prompts": self.prompts,
            "prompt": self.prompt,
            **({"activation": self.activation} if self.activation else {}),
        }


def sentence_from_folder(folder: Path) -> Sentence | None:
    """Read modules.json and what it names; None where there is none. Raises UserError for modules it cannot serve."""
    if not (folder / "modules.json").is_file():
        return None
    modules = [
        (module["type"].rsplit(".", 1)[-1], folder / module["path"]) for module in parsed(folder / "modules.json")
    ]
    kinds = [kind for kind, _ in modules]
    if kinds == ["MLMTransformer", "SpladePooling"]:
        return splade(folder, modules[0][1], modules[1][1])
    if kinds[:2] != ["Transformer", "Pooling"] or not is_chain(kinds[2:]):
        raise UserError(
            f"{str(folder)!r} has the modules {', '.join(kinds)}; tbgen serves Transformer, Pooling, then Dense "
            "any number of times, then Normalize or not; or MLMTransformer, SpladePooling"
        )
    return Sentence(
        **common(folder, modules[0][1]),
        task="embedding",
        pooling=pooling_of(modules[1][1]),
        normalize="Normalize" in kinds,
        dense=tuple(dense_of(place) for kind, place in modules if kind == "Dense"),
    )


def common(folder: Path, transformer: Path) -> dict[str, Any]:
    """What every such folder has: the transformer's place, its longest text, and the prompts."""
    settings = read_json_if_there(folder, "config_sentence_transformers.json")
    return {
        "transformer": transformer,
        "max_length": read_json_if_there(transformer, "sentence_bert_config.json").get("max_seq_length"),
        "prompts": settings.get("prompts") or {},
        "prompt": settings.get("default_prompt_name"),
    }


def splade(folder: Path, transformer: Path, pooling: Path) -> Sentence:
    """A SparseEncoder's folder: a masked language model, and the words' weights pooled. Raises UserError."""
    config = read_json(pooling, "config.json", "a SpladePooling module has one")
    strategy, activation = config.get("pooling_strategy", "max"), config.get("activation_function", "relu")
    if strategy not in SPLADE:
        raise UserError(f"{str(pooling)!r} pools by {strategy!r}; tbgen serves {', '.join(SPLADE)}")
    return Sentence(
        **common(folder, transformer),
        task="sparse-embedding",
        pooling=strategy,
        normalize=False,
        dense=(),
        activation=activation,
    )


def is_chain(kinds: list[str]) -> bool:
    """Whether these are linear layers, then at most one normalisation."""
    layers = kinds[:-1] if kinds[-1:] == ["Normalize"] else kinds
    return all(kind == "Dense" for kind in layers)


def pooling_of(folder: Path) -> str:
    """The one mode of a Pooling module. Raises UserError for several at once, and for those that tbgen has not."""
    config = read_json(folder, "config.json", "a Pooling module has one")
    on = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    modes = [config["pooling_mode"]] if "pooling_mode" in config else [SWITCHES.get(key, key) for key in on]
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise UserError(f"{str(folder)!r} pools by {modes}; tbgen serves one of {', '.join(POOLINGS)}")
    return str(modes[0])


def dense_of(folder: Path) -> Dense:
    """A Dense module. Raises UserError for an activation that it has not."""
    config = read_json(folder, "config.json", "a Dense module has one")
    activation = config.get("activation_function", "torch.nn.modules.activation.Tanh").rsplit(".", 1)[-1]
    if activation not in ACTIVATIONS:
        raise UserError(f"{str(folder)!r} has the activation {activation!r}; tbgen serves {', '.join(ACTIVATIONS)}")
    return Dense(folder, activation)
