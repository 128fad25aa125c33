"""A sentence-transformers folder: what it is for, how it reads texts, and what it does with the model's answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tbgen.backends.rerank import ACTIVATIONS as SCORE_ACTIVATIONS
from tbgen.backends.similarity import METRICS
from tbgen.backends.sparse_embedding import LOGARITHMS, POOLINGS
from tbgen.export.errors import UserError
from tbgen.export.reading import is_there, read_json, read_json_if_there
from tbgen.export.sentence.keys import check_keys, check_known_values
from tbgen.export.sentence.modules import (
    MASK,
    READERS,
    TOKENS,
    VECTOR,
    Module,
    layers_of,
    modules_from_folder,
    names_of,
    width_of,
)
from tbgen.export.sentence.text import TEXT_CONFIGS, Reading, bare_reading, reading_from_folder

_CONFIG_FILE, _MODULES_FILE = "config_sentence_transformers.json", "modules.json"
_SPLADE = {"pooling_strategy": tuple(POOLINGS), "activation_function": tuple(LOGARITHMS)}
_HEADS = {"sequence-classification": "CrossEncoder", "fill-mask": "SparseEncoder"}  # by transformer_task, from 5.4 on
_MARKS = ("sentence_transformers", "sbert_ce_default_activation_function")  # of a CrossEncoder's config.json before 5.4
_TRANSFORMERS = ("Transformer", "MLMTransformer")  # of a SparseEncoder; the second up to 5.3
_MEAN = Module("Pooling", Path(), {"modes": ["mean"], "include_prompt": True}, (TOKENS, MASK), VECTOR)
_TASKS_OF = {
    "SentenceTransformer": ("embedding", "similarity"),
    "SparseEncoder": ("sparse-embedding",),
    "CrossEncoder": ("rerank", "text-classification", "zero-shot-classification"),
}


@dataclass(frozen=True)
class Sentence:
    """What sentence-transformers makes of a transformer's answer.

    `kind` is the library's class, as the file `said_in` says it; `task` the one that does what it does. `transformer`
    is the folder of the model, `reading` how texts reach it. `prompts` are the prefixes by name, `prompt` the name of
    the one that is put before every text. Not `whole`: there is no modules.json, and the library makes a new model of
    the folder, without its prompts and other settings.
    SentenceTransformer: `pooling` to one vector, by one mode or by several joined, and L2 normalisation. `layers` are
    the modules that are part of the graph, the pooling first: all but a Normalize at the end where more than these two
    follow; without layers hidden states leave the graph. `similarity` compares vectors, of which the first
    `truncate_dim` numbers are kept at last. SparseEncoder: `pooling` of the words' weights behind `activation`, the
    `top_k` heaviest kept. CrossEncoder: `activation` makes a score of a logit.
    """

    kind: str
    said_in: str
    task: str
    transformer: Path
    reading: Reading
    prompts: dict[str, str] = field(default_factory=dict)
    prompt: str | None = None
    pooling: str | tuple[str, ...] = "mean"
    include_prompt: bool = True
    normalize: bool = False
    layers: tuple[Module, ...] = ()
    similarity: str = "cosine"
    truncate_dim: int | None = None
    activation: str | None = None
    top_k: int | None = None
    whole: bool = True

    @property
    def max_length(self) -> int | None:
        """The longest text, where the folder names one."""
        return self.reading.max_length

    @property
    def pooled(self) -> bool:
        """Whether the graph gives vectors of texts."""
        return bool(self.layers)

    def serves(self, task: str) -> bool:
        """Whether what is said here holds for a task."""
        return task in _TASKS_OF[self.kind]

    def width(self, hidden: int) -> int:
        """How many numbers leave a graph whose hidden states have so many."""
        return width_of(self.layers, hidden) if self.layers else hidden

    def record(self) -> dict[str, Any]:
        """What a server's step has to know, in plain values; what is as it is in most folders is left out."""
        said = {"prompts": self.prompts, "prompt": self.prompt}
        if self.kind == "CrossEncoder":
            return {**said, "pair": True, "activation": self.activation}
        pooling = self.pooling if isinstance(self.pooling, str) else list(self.pooling)
        always = {"pooling": pooling, "pooled": self.pooled, "normalize": self.normalize, **said}
        rest = {
            "activation": self.activation,
            "top_k": self.top_k,
            "truncate_dim": self.truncate_dim,
            "similarity": None if self.similarity == "cosine" else self.similarity,
            "include_prompt": None if self.include_prompt else False,
        }
        return {**always, **{key: value for key, value in rest.items() if value is not None}}


def sentence_from_folder(folder: Path) -> Sentence | None:
    """Read a folder's modules, or what says that it is of this library; None where nothing does. Raises UserError."""
    config = read_json_if_there(folder, _CONFIG_FILE)
    check_known_values(config, _CONFIG_FILE, repr(str(folder / _CONFIG_FILE)))
    modules = modules_from_folder(folder) if is_there(folder / _MODULES_FILE) else []
    kind, said_in = _kind_of(folder, config, modules)
    if kind is None:
        return None
    if kind not in _KINDS:
        raise UserError(f"{str(folder)!r} holds a {kind}, as {said_in} says; tbgen serves {', '.join(_KINDS)}")
    return _KINDS[kind](folder, said_in, modules, config if modules else {})


def _kind_of(folder: Path, config: Mapping[str, Any], modules: list[Module]) -> tuple[str | None, str]:
    """The library's class that a folder was saved from, and the file that says so; none where no file does."""
    if config.get("model_type"):
        return config["model_type"], _CONFIG_FILE
    if modules:
        return ("SparseEncoder" if modules[-1].kind == "SpladePooling" else "SentenceTransformer"), _MODULES_FILE
    if is_there(folder / _CONFIG_FILE):
        return "SentenceTransformer", _CONFIG_FILE
    own = _own_config(folder)
    if any(own.get(mark) is not None for mark in _MARKS):
        return "CrossEncoder", "config.json"
    said = read_json_if_there(folder, TEXT_CONFIGS[0])
    check_known_values(said, TEXT_CONFIGS[0], repr(str(folder / TEXT_CONFIGS[0])))
    return _HEADS.get(said.get("transformer_task", "")), TEXT_CONFIGS[0]


def _own_config(folder: Path) -> dict[str, Any]:
    """The config.json of the model, as far as this library goes by it. Raises UserError."""
    config = read_json_if_there(folder, "config.json")
    check_known_values(config, "config.json", repr(str(folder / "config.json")))
    return config


def _embedder(folder: Path, said_in: str, modules: list[Module], config: Mapping[str, Any]) -> Sentence:
    """A SentenceTransformer. Without modules.json it is what the library makes of it: the mean, and no prompts."""
    kinds = [module.kind for module in modules]
    if modules and (kinds[0] != "Transformer" or not {*kinds[1:]} <= READERS.keys() or "Pooling" not in kinds):
        raise _other_modules(
            folder, modules, "Transformer, Pooling, then Dense, LayerNorm, Normalize, Dropout in any order"
        )
    transformer = modules[0].folder if modules else folder
    own = _own_config(transformer)
    hidden_states = bool(own.get("output_hidden_states"))
    layers = layers_of(modules[1:], hidden_states=hidden_states) if modules else (_MEAN,)
    if hidden := own.get("hidden_size") or own.get("dim"):
        width_of(layers, hidden)
    *before, last = layers
    normalize = last.kind == "Normalize" and (last.takes, last.gives) == ((VECTOR,), VECTOR)
    layers = tuple(before) if normalize else layers
    pool = next((layer for layer in layers if layer.kind == "Pooling"), None)
    modes = pool.config["modes"] if pool else ["mean"]
    similarity = config.get("similarity_fn_name")
    sentence = Sentence(
        **_common(folder, said_in, transformer, "feature-extraction", config, ("query", "document")),
        kind="SentenceTransformer",
        task="embedding",
        pooling=modes[0] if len(modes) == 1 else tuple(modes),
        include_prompt=pool.config["include_prompt"] if pool else True,
        normalize=normalize,
        layers=() if [layer.kind for layer in layers] == ["Pooling"] else layers,
        similarity=similarity if similarity in METRICS else "cosine",
        truncate_dim=config.get("truncate_dim"),
    )
    if sentence.pooled and not sentence.include_prompt and any(sentence.prompts.values()):
        raise UserError(
            f"{str(folder)!r} keeps its prompts' tokens out of the pooling (include_prompt false), and has "
            f"{names_of(sentence.layers)} in the graph; tbgen serves that where only Pooling and Normalize follow"
        )
    return sentence


def _splade(folder: Path, said_in: str, modules: list[Module], config: Mapping[str, Any]) -> Sentence:
    """A SparseEncoder: a masked language model, and the words' weights pooled. Raises UserError."""
    kinds = [module.kind for module in modules]
    if modules and (len(modules) != 2 or kinds[0] not in _TRANSFORMERS or kinds[1] != "SpladePooling"):
        raise _other_modules(folder, modules, "of a SparseEncoder Transformer or MLMTransformer, then SpladePooling")
    said: dict[str, Any] = {}
    if modules:
        pooling = modules[1].folder
        said = read_json(pooling, "config.json", "a SpladePooling module has one")
        check_keys(said, "SpladePooling", repr(str(pooling)))
        for key, known in _SPLADE.items():
            if said.get(key, known[0]) not in known:
                raise UserError(f"{str(pooling)!r} pools by {said[key]!r}; tbgen serves {', '.join(known)}")
    transformer = modules[0].folder if modules else folder
    return Sentence(
        **_common(folder, said_in, transformer, "fill-mask", config, ("query", "document")),
        kind="SparseEncoder",
        task="sparse-embedding",
        pooling=said.get("pooling_strategy", "max"),
        activation=said.get("activation_function", "relu"),
        top_k=config.get("max_active_dims"),
    )


def _cross_encoder(folder: Path, said_in: str, modules: list[Module], config: Mapping[str, Any]) -> Sentence:
    """A CrossEncoder: a classifier of pairs, whose only logit is a score. Raises UserError."""
    if len(modules) > 1 or (modules and modules[0].kind != "Transformer"):
        raise _other_modules(folder, modules, "of a CrossEncoder Transformer alone")
    transformer = modules[0].folder if modules else folder
    own = _own_config(transformer)
    count = len(own.get("id2label") or [None] * (own.get("num_labels") or 2))
    task = "rerank" if count == 1 else "text-classification"
    return Sentence(
        **_common(folder, said_in, transformer, "sequence-classification", config, ()),
        kind="CrossEncoder",
        task=task,
        activation=_activation_of(config, own, folder) or ("Sigmoid" if count == 1 else "Identity"),
    )


_KINDS: dict[str, Callable[[Path, str, list[Module], Mapping[str, Any]], Sentence]] = {
    "SentenceTransformer": _embedder,
    "CrossEncoder": _cross_encoder,
    "SparseEncoder": _splade,
}


def _activation_of(config: Mapping[str, Any], own: Mapping[str, Any], folder: Path) -> str | None:
    """The activation that a CrossEncoder was saved with, if any: the first that is named. Raises UserError."""
    marked = own.get("sentence_transformers") or {}
    old = own.get("sbert_ce_default_activation_function") if "activation_fn" not in marked else None
    path = config.get("activation_fn") or marked.get("activation_fn") or old
    if path is None:
        return None
    name = str(path).rsplit(".", 1)[-1]
    if not str(path).startswith("torch.nn.") or name not in SCORE_ACTIVATIONS:
        raise UserError(
            f"{str(folder)!r} makes scores by the activation {path!r}; tbgen serves {', '.join(SCORE_ACTIVATIONS)} of "
            "torch.nn: save the CrossEncoder with one of these"
        )
    return name


def _other_modules(folder: Path, modules: list[Module], known: str) -> UserError:
    """What to say of modules of which one is not served."""
    return UserError(f"{str(folder)!r} has the modules {names_of(modules)}; tbgen serves {known}")


def _common(
    folder: Path, said_in: str, transformer: Path, task: str, config: Mapping[str, Any], names: tuple[str, ...]
) -> dict[str, Any]:
    """What every kind has: how texts are read, and prompts, of which `names` are there, empty, without being saved."""
    _check_known_prompt(folder, config, names)
    named = {name: text or "" for name, text in (config.get("prompts") or {}).items()}
    default = config.get("default_prompt_name")
    # Without modules.json the library does not read the settings of its Transformer module either.
    whole = is_there(folder / _MODULES_FILE)
    reading = reading_from_folder(transformer, task) if whole else bare_reading(transformer, task)
    if reading.task != task:
        raise UserError(
            f"{str(transformer)!r} has the transformer_task {reading.task}; this kind of model needs {task}"
        )
    return {
        "said_in": said_in,
        "transformer": transformer,
        "reading": reading,
        "prompts": named,
        "prompt": default if default in named else None,
        "whole": whole,
    }


def _check_known_prompt(folder: Path, config: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Raise UserError for prompts that are not texts, and for a default that is none of them."""
    prompts, default = config.get("prompts") or {}, config.get("default_prompt_name")
    path = repr(str(folder / _CONFIG_FILE))
    if not isinstance(prompts, dict) or not all(isinstance(text, str | None) for text in prompts.values()):
        raise UserError(f"{path} holds prompts that are not texts by name")
    if default is not None and default not in (*prompts, *names):
        have = ", ".join((*prompts, *names))
        raise UserError(
            f"{path} has the default_prompt_name {default!r}, which no prompt has; there are: {have or 'none'}"
        )
