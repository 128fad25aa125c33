"""Where a model comes from: a folder, the hub, a tokenizer folder with a state dict, a ready engine file, an export."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from tbgen.export.checkpoint.bases import BASES, config_of_base
from tbgen.export.checkpoint.checkpoint import (
    WEIGHTS,
    Checkpoint,
    architecture_of,
    checkpoint_from_folder,
    checkpoint_of,
)
from tbgen.export.checkpoint.config import encoder_config, own_labels
from tbgen.export.checkpoint.explanation import AS_NAMED, task_source
from tbgen.export.checkpoint.lookalikes import FOREIGN_FILES
from tbgen.export.errors import UserError, require
from tbgen.export.exported import exported_from_folder
from tbgen.export.files import EXPORT_RECORD, sha256
from tbgen.export.ready.companions import companions_from_folder
from tbgen.export.ready.onnx_file import read_graph, weight_files
from tbgen.export.tasks.table import model_of, task_of_architecture
from tbgen.export.tokenizers.tokenizer import check_tokenizer

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
# All that is read, in two steps: most repositories hold the same weights twice. The last are layers of 2.x.
_TEXTS = ["*.json", "*.jinja", "*.txt", "*.model", "*.safetensors", "[1-9]_*/pytorch_model.bin"]
_PICKLES = ["*.bin"]


@dataclass(frozen=True)
class _Kind:
    """A kind of source: what a person calls it, the endings of its file's name, and the options that go with it."""

    about: str
    suffixes: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


KINDS = {
    "checkpoint": _Kind("a checkpoint's folder or a name on the hub", options=("revision",)),
    "export": _Kind("an export's folder"),
    "state": _Kind("a state dict", (".pt", ".pth", ".bin"), ("tokenizer", "base", "label_count")),
    "onnx": _Kind("an ONNX file", (".onnx",), ("tokenizer", "rename")),
    "plan": _Kind("a TensorRT plan", (".plan", ".engine", ".trt"), ("tokenizer",)),
}


@dataclass(frozen=True)
class Source:
    """What a person names as a model's source.

    `place` is a folder, a file, or a name on the hub, which `revision` goes with. With a file goes `tokenizer`, the
    folder of tokenizer and config.json (the file's own by default), with a state dict `base`, its shape (by default
    that config.json), and `label_count`, with an ONNX file `rename`: words OLD=NEW for its tensors.
    """

    place: str
    revision: str | None = None
    tokenizer: Path | None = None
    base: str | None = None
    label_count: int | None = None
    rename: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """A key of KINDS. Raises UserError for a file of another kind, and for options that do not go with it."""
        path = Path(self.place)
        found = "export" if (path / EXPORT_RECORD).exists() else "checkpoint"
        if not path.is_dir():
            found = next((name for name, kind in KINDS.items() if path.suffix.lower() in kind.suffixes), found)
        if path.is_file() and not KINDS[found].suffixes:
            known = ", ".join(f"{kind.about} ({', '.join(kind.suffixes)})" for kind in KINDS.values() if kind.suffixes)
            cure = FOREIGN_FILES.get(path.suffix.lower())
            raise UserError(
                f"{self.place!r} is neither a folder nor a file of a known kind: {known}"
                + (f"; {cure}" if cure else "")
            )
        if KINDS[found].suffixes and not path.is_file():
            raise UserError(f"no file {self.place!r}; a source is a folder, a file, or a name on the hub (owner/model)")
        for option in fields(self)[1:]:
            if getattr(self, option.name) and option.name not in KINDS[found].options:
                takers = " or ".join(kind.about for kind in KINDS.values() if option.name in kind.options)
                raise UserError(
                    f"--{option.name.replace('_', '-')} goes with {takers}; {self.place!r} is {KINDS[found].about}"
                )
        return found

    @property
    def companions(self) -> Path:
        """The folder of a file's tokenizer and config.json."""
        return self.tokenizer or Path(self.place).parent

    def checkpoint(self, *, task: str | None = None, labels: Sequence[str] | None = None) -> Checkpoint:
        """The checkpoint that a source of kind checkpoint or state is. Raises UserError, also for the other kinds."""
        kind = self.kind
        if kind == "checkpoint":
            return checkpoint_from_source(self.place, revision=self.revision, task=task, labels=labels)
        if kind == "state":
            return checkpoint_from_state(
                self.companions,
                Path(self.place),
                base=self.base,
                label_count=self.label_count,
                task=task,
                labels=labels,
            )
        raise UserError(
            f"{self.place!r} is {KINDS[kind].about}; this needs the checkpoint: its folder, a name on the hub, or "
            "a state dict's file"
        )

    def weights(self, *, task: str | None = None, labels: Sequence[str] | None = None) -> dict[str, str]:
        """What identifies it: the files of its weights, name -> SHA-256. Raises UserError."""
        kind, path = self.kind, Path(self.place)
        if kind == "export":
            return dict(exported_from_folder(path).made.source)
        if kind in ("onnx", "plan"):
            return {file.name: sha256(file) for file in _ready_files(path)}
        return self.checkpoint(task=task, labels=labels).source

    def explanation(self, *, task: str | None = None, labels: Sequence[str] | None = None) -> str:
        """What it is taken for, and what told so. Raises UserError."""
        kind = self.kind
        if kind == "export":
            return exported_from_folder(Path(self.place)).made.chosen
        if kind in ("onnx", "plan"):
            return companions_from_folder(self.companions, task=task, labels=labels).explanation
        return self.checkpoint(task=task, labels=labels).explanation


def _ready_files(file: Path) -> list[Path]:
    """A ready engine file, and those beside it that an ONNX file keeps its weights in. Raises UserError."""
    return [file, *(weight_files(read_graph(file), file) if file.suffix == ".onnx" else [])]


def checkpoint_from_source(
    source: str, *, revision: str | None = None, task: str | None = None, labels: Sequence[str] | None = None
) -> Checkpoint:
    """A checkpoint from a folder's path or, where there is no such folder, from the hub. Raises UserError."""
    if Path(source).is_dir():
        if revision:
            raise UserError(f"{source!r} is a folder; a revision is for a name on the hub")
        return checkpoint_from_folder(Path(source), task=task, labels=labels)
    if HUB_NAME.fullmatch(source):
        return _checkpoint_from_hub(source, revision=revision, task=task, labels=labels)
    raise _no_source(source)


def _no_source(source: str) -> UserError:
    """What to say of a source that is neither a folder nor can be a name on the hub."""
    return UserError(f"no folder {source!r}, and it is no name on the hub (owner/model) either")


def _checkpoint_from_hub(
    name: str, *, revision: str | None = None, task: str | None = None, labels: Sequence[str] | None = None
) -> Checkpoint:
    """A checkpoint from the Hugging Face hub, or from its cache on this machine. Raises UserError."""
    folder = _snapshot(name, revision, _TEXTS)
    if not any((folder / weights).is_file() for weights in WEIGHTS):
        folder = _snapshot(name, revision, [*_TEXTS, *_PICKLES])
    origin = {"repository": name, "revision": folder.name}
    return checkpoint_from_folder(folder, task=task, labels=labels, origin=origin)


def _snapshot(name: str, revision: str | None, patterns: list[str]) -> Path:
    """The folder of a repository's files, whose name is the commit. Raises UserError for what can go wrong there."""
    hub = require("huggingface_hub", extra="onnx")
    at = f"{name!r} at {revision!r}" if revision else repr(name)
    try:
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=patterns))
    except hub.errors.HFValidationError as error:  # ./mine, a folder that is not there
        raise _no_source(name) from error
    except hub.errors.GatedRepoError as error:
        raise UserError(f"{at} on the hub needs your consent and a token: huggingface-cli login") from error
    except hub.errors.RevisionNotFoundError as error:
        raise UserError(f"no revision {revision!r} of {name!r} on the hub") from error
    except hub.errors.RepositoryNotFoundError as error:
        raise UserError(f"no model {name!r} on the hub, or it is private and there is no token") from error
    except (hub.errors.LocalEntryNotFoundError, hub.errors.OfflineModeIsEnabled) as error:
        raise UserError(
            f"{at} is neither a folder nor in the hub's cache on this machine, and the hub cannot be reached; "
            "download it where there is a network, and name its folder"
        ) from error
    except hub.errors.HfHubHTTPError as error:
        raise UserError(f"the hub refuses {at}: {str(error).splitlines()[0]}") from error


def checkpoint_from_state(
    tokenizer: Path,
    state: Path,
    *,
    base: str | None = None,
    label_count: int | None = None,
    task: str | None = None,
    labels: Sequence[str] | None = None,
) -> Checkpoint:
    """A checkpoint from a tokenizer's folder and a state dict's file: `torch.save(model.state_dict(), 'model.pt')`.

    `base` names the model's shape, see `config_of_base`; without it, that is the config.json beside the tokenizer. The
    classes are `labels`, or `label_count` nameless ones. Raises UserError.
    """
    if not state.is_file():
        raise UserError(f"no file {str(state)!r}; it is written by torch.save(model.state_dict(), file)")
    if not tokenizer.is_dir():
        raise UserError(f"no folder {str(tokenizer)!r}; it is written by tokenizer.save_pretrained(folder)")
    check_tokenizer(tokenizer)
    if base is None and not (tokenizer / "config.json").is_file():
        raise UserError(
            f"{str(state)!r} does not say what shape its model has; name it with --base: {', '.join(BASES)}, or a "
            "folder with the base model's config.json"
        )
    config = encoder_config(config_of_base(base or str(tokenizer)))
    own = architecture_of(config) if base is None else ""  # a base's head is another's
    told_by = AS_NAMED if task else task_source(None) if own else "which a state dict does not tell and --task does"
    task = task or task_of_architecture(own) or "text-classification"
    if model_of(task).width == "labels":
        count = label_count or len(labels or own_labels(config))
        if base is not None or count != len(own_labels(config)):
            config["id2label"] = {str(index): f"LABEL_{index}" for index in range(count)}
    elif label_count:
        raise UserError(f"--label-count is for tasks with labels, which {task!r} has none of; leave it out")
    elif base is not None:
        del config["id2label"]  # of the base's own head
    config.pop("label2id", None)
    config["architectures"] = []
    return checkpoint_of(tokenizer, config, task=task, labels=labels, state=state, told_by=told_by, architecture=own)
