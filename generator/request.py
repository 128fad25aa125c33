"""What a person asks of scaffold: its fields are the options of scaffold and init and the keys of a recipe.

`tbgen scaffold --help` imports this, so it imports nothing that takes long.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from tbgen.export.layout import LAYOUTS
from tbgen.generator.engines import AUTO, ENGINES, GRAPHS

LONG_TEXTS = ("truncate", "reject", "windows")
FORMS = ("copy", "backend")  # each Python model brings the code of its steps, or the server has it
PLATFORMS = ("x86_64", "aarch64")


@dataclass(frozen=True)
class Option:
    """How a field of a request is said on the command line and in a recipe, and what it decides.

    flag: its spelling, where that is not the field's name.
    choices: all words that it takes, where they can be listed; the error calls one of them a `noun`, or as the field.
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


@dataclass(frozen=True)
class Request:
    """One engine and the graphs around it, under one name. A field that is said has an option, here and nowhere else.

    weights: the source's files and their SHA-256, if they must be these.
    """

    name: str
    source: Annotated[
        Path | None,
        Option(
            "Folder of a checkpoint or an export, name on the hub (owner/model), or file: a ready .onnx or .plan, "
            "or a state dict (.pt).",
            place=True,
            decides="source",
        ),
    ] = None
    revision: Annotated[str | None, Option("Branch, tag or commit of a name on the hub.", decides="source")] = None
    tokenizer: Annotated[
        Path | None,
        Option(
            "Folder of tokenizer and config.json, for a file. Default: the file's own.", place=True, decides="source"
        ),
    ] = None
    base: Annotated[
        str | None,
        Option(
            "Shape of a state dict's model: beomi/kcbert-base, beomi/kcbert-large, or a folder with a config.json.",
            place=True,
            decides="source",
        ),
    ] = None
    label_count: Annotated[
        int | None, Option("How many classes a state dict has, when they have no names.", least=1, decides="source")
    ] = None
    rename: Annotated[
        tuple[str, ...],
        Option("A tensor of a ready ONNX file by its right name; repeatable.", metavar="OLD=NEW", decides="source"),
    ] = ()
    task: Annotated[
        str | None, Option("What the model does. Default: read from the checkpoint.", decides="answers")
    ] = None
    labels: Annotated[
        tuple[str, ...],
        Option("Name of a class, in the order of the logits; repeatable.", flag="--label", decides="answers"),
    ] = ()
    engine: Annotated[str, Option("How Triton runs the model.", choices=ENGINES)] = "onnx"
    graph: Annotated[
        str,
        Option(
            "ensemble, bls, both, single (one Python model that runs the engine itself), or auto: the engine's best.",
            choices=(*GRAPHS, AUTO),
            decides="files",
        ),
    ] = "both"
    options: Annotated[
        tuple[str, ...],
        Option("A setting of the task, KEY=VALUE; repeatable: docs/tasks.md.", flag="--set", decides="answers"),
    ] = ()
    long_text: Annotated[
        str | None,
        Option(
            "What becomes of a text longer than the model: truncate (the default), reject, or windows, over BLS alone.",
            choices=LONG_TEXTS,
            decides="answers",
        ),
    ] = None
    pre: Annotated[
        tuple[str, ...],
        Option(
            "A step before the tokenizer: 'FILE.py:Class KEY=VALUE ...' [--separate]; repeatable.", decides="answers"
        ),
    ] = ()
    post: Annotated[
        tuple[str, ...], Option("A step behind the task's head, written likewise; repeatable.", decides="answers")
    ] = ()
    steps: Annotated[
        str,
        Option(
            "Where the code of the steps is: copy in each model, or backend: once in the server (install-backends).",
            choices=FORMS,
            noun="form",
        ),
    ] = "copy"
    fixed_length: Annotated[int | None, Option("Pad every text to this many tokens.", least=2)] = None
    layout: Annotated[
        str,
        Option(
            "Of the ONNX file: packed computes no padding, padded is the plain one; auto: packed where the model has "
            "it.",
            choices=(AUTO, *LAYOUTS),
        ),
    ] = AUTO
    vendor: Annotated[
        bool, Option("Put the tokenizers library into the models that use it, for servers without it.", decides="files")
    ] = True
    cache: Annotated[
        bool,
        Option("Let Triton keep answers and give them again for equal inputs; such models take no request parameters."),
    ] = False
    warmup: Annotated[
        bool, Option("Let Triton run the engine at its lengths and batches, and the tokenizer, while it loads them.")
    ] = False
    platform: Annotated[
        str | None,
        Option(
            "Processor of the server, x86_64 or aarch64. Default: this machine's.", choices=PLATFORMS, decides="files"
        ),
    ] = None
    build_script: Annotated[
        str | None,
        Option(
            "For a TensorRT engine: write the script that builds the plan in that Triton release's container.",
            metavar="RELEASE",
        ),
    ] = None
    weights: Mapping[str, str] = field(default_factory=dict)


def _type_of(hint: Any) -> Any:
    """The type of a field's values, which may be missing all the same: str of str | None, tuple of tuple[str, ...]."""
    kind = get_args(hint)[0] if isinstance(hint, UnionType) else hint
    return get_origin(kind) or kind


_HINTS = get_type_hints(Request, include_extras=True)
OPTIONS: dict[str, Option] = {
    name: hint.__metadata__[0] for name, hint in _HINTS.items() if get_origin(hint) is Annotated
}
DEFAULTS: dict[str, Any] = {each.name: each.default for each in fields(Request)}
TYPES = {name: _type_of(hint) for name, hint in get_type_hints(Request).items()}


def deciding(what: str) -> tuple[str, ...]:
    """The options that decide so."""
    return tuple(name for name, option in OPTIONS.items() if option.decides == what)
