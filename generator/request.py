"""What a person asks of scaffold: its fields are the options of scaffold and init and the keys of a recipe.

`tbgen scaffold --help` imports this, so it imports nothing that takes long.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from tbgen.export.layout import LAYOUTS
from tbgen.generator.devices import DEVICES
from tbgen.generator.graphs import AUTO, GRAPHS

REPOSITORY = "model_repository"  # the folder, where nobody names another
RECIPE_FILE = "tbgen.toml"
LONG_TEXTS = ("truncate", "reject", "windows")
_FORMS = ("copy", "backend")  # each Python model brings the code of its steps, or the server has it
PLATFORMS = ("x86_64", "aarch64")


@dataclass(frozen=True)
class Option:
    """How a field of a request is said on the command line and in a recipe, and what it decides.

    flag: its spelling, where that is not the field's name.
    choices: all words that it takes, where that is known here; the error calls one of them a `noun`, or as the field.
    least: the smallest number that it takes.
    place: it is a path, in a recipe relative to that; or a name.
    decides: `source`, where the models come from; `answers`; `files`, which models and files there are; or `serving`.
    """

    help: str
    flag: str = ""
    metavar: str | None = None
    choices: Collection[str] = ()
    noun: str = ""
    least: int | None = None
    place: bool = False
    decides: str = "serving"


def _option(help_line: str, default: Any = None, **settings: Any) -> Any:
    """A field with its option."""
    return field(default=default, metadata={"option": Option(help_line, **settings)})


@dataclass(frozen=True)
class Request:
    """One engine and the graphs around it, under one name. A field that is said has an option, here and nowhere else.

    weights: the source's files and their SHA-256, if they must be these.
    """

    name: str
    source: Path | None = _option(  # noqa: RUF009
        "Folder of a checkpoint or an export, name on the hub (owner/model), or file: a ready .onnx or .plan, "
        "or a state dict (.pt).",
        place=True,
        decides="source",
    )
    revision: str | None = _option("Branch, tag or commit of a name on the hub.", decides="source")
    tokenizer: Path | None = _option(  # noqa: RUF009
        "Folder of tokenizer and config.json, for a file. Default: the file's own.", place=True, decides="source"
    )
    base: str | None = _option(
        "Shape of a state dict's model: beomi/kcbert-base, beomi/kcbert-large, or a folder with a config.json.",
        place=True,
        decides="source",
    )
    label_count: int | None = _option(
        "How many classes a state dict has, when they have no names.", least=1, decides="source"
    )
    rename: tuple[str, ...] = _option(
        "A tensor of a ready ONNX file by its right name; repeatable.", (), metavar="OLD=NEW", decides="source"
    )
    task: str | None = _option("What the model does. Default: read from the checkpoint.", decides="answers")
    labels: tuple[str, ...] = _option(
        "Name of a class, in the order of the logits; repeatable.", (), flag="--label", decides="answers"
    )
    engine: str = _option("How Triton runs the model; auto: onnx on CPUs, on GPUs the fastest that runs it.", AUTO)
    device: str | None = _option(
        "What it is served on: cpu (the default, but of engines that run on GPUs alone), gpu, or auto: what is here.",
        choices=DEVICES,
    )
    graph: str = _option(
        "ensemble, bls, both, single (one Python model that runs the engine itself), or auto: the engine's best.",
        "both",
        choices=(*GRAPHS, AUTO),
        decides="files",
    )
    options: tuple[str, ...] = _option(
        "A setting of the task, KEY=VALUE; repeatable: docs/reference/tasks.md.", (), flag="--set", decides="answers"
    )
    long_text: str | None = _option(
        "What becomes of a text longer than the model: truncate (the default), reject, or windows, over BLS alone.",
        choices=LONG_TEXTS,
        decides="answers",
    )
    pre: tuple[str, ...] = _option(
        "A step before the tokenizer: 'FILE.py:Class KEY=VALUE ...' [--separate]; repeatable.", (), decides="answers"
    )
    post: tuple[str, ...] = _option(
        "A step behind the task's head, written likewise; repeatable.", (), decides="answers"
    )
    steps: str = _option(
        "Where the code of the steps is: copy in each model, or backend: once in the server (install-backends).",
        "copy",
        choices=_FORMS,
        noun="form",
    )
    fixed_length: int | None = _option("Pad every text to this many tokens.", least=2)
    layout: str = _option(
        "Of the ONNX file: packed computes no padding, padded is the plain one; auto: packed where the model has it.",
        AUTO,
        choices=(AUTO, *LAYOUTS),
    )
    vendor: bool = _option(
        "Put the tokenizers library into the models that use it, for servers without it.", True, decides="files"
    )
    cache: bool = _option(
        "Let Triton keep answers and give them again for equal inputs; such models take no request parameters.", False
    )
    warmup: bool = _option(
        "Let Triton run the engine at its lengths and batches, and the tokenizer, while it loads them.", False
    )
    queue: str = _option(
        "Seconds that a request may have to wait before others are refused; none: no limit.",
        "4",
        metavar="SECONDS",
    )
    platform: str | None = _option(
        "Processor of the server, x86_64 or aarch64. Default: this machine's.", choices=PLATFORMS, decides="files"
    )
    build_script: str | None = _option(
        "For a TensorRT engine: write the script that builds the plan in that Triton release's container.",
        metavar="RELEASE",
    )
    weights: Mapping[str, str] = field(default_factory=dict)


FIELDS: dict[str, Field[Any]] = {each.name: each for each in fields(Request)}
OPTIONS: dict[str, Option] = {name: row.metadata["option"] for name, row in FIELDS.items() if row.metadata}


def type_of(name: str) -> str:
    """The type of a field's values, as it is written; they may be missing all the same."""
    return str(FIELDS[name].type).removesuffix(" | None")


def deciding(what: str) -> tuple[str, ...]:
    """The options that decide so."""
    return tuple(name for name, option in OPTIONS.items() if option.decides == what)
