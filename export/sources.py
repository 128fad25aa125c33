"""Where a checkpoint comes from: a folder, the hub, or a tokenizer folder with a state dict."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tbgen.export.bases import config_of_base
from tbgen.export.checkpoint import WEIGHTS, Checkpoint, checkpoint_from_folder, checkpoint_of, own_labels
from tbgen.export.errors import UserError, require
from tbgen.export.tasks import task_named
from tbgen.export.tokenizer import check_tokenizer

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
# All that is read, in two steps: most repositories hold the same weights twice.
TEXTS = ["*.json", "*.txt", "*.model", "*.safetensors"]
PICKLES = ["*.bin"]


def checkpoint_from_source(
    source: str, *, revision: str | None = None, task: str | None = None, labels: Sequence[str] | None = None
) -> Checkpoint:
    """A checkpoint from a folder's path or, where there is no such folder, from the hub. Raises UserError."""
    if Path(source).is_dir():
        if revision:
            raise UserError(f"{source!r} is a folder; a revision is for a name on the hub")
        return checkpoint_from_folder(Path(source), task=task, labels=labels)
    if HUB_NAME.fullmatch(source):
        return checkpoint_from_hub(source, revision=revision, task=task, labels=labels)
    raise UserError(f"no folder {source!r}, and it is no name on the hub (owner/model) either")


def checkpoint_from_hub(
    name: str, *, revision: str | None = None, task: str | None = None, labels: Sequence[str] | None = None
) -> Checkpoint:
    """A checkpoint from the Hugging Face hub, or from its cache on this machine. Raises UserError."""
    folder = snapshot(name, revision, TEXTS)
    if not any((folder / weights).is_file() for weights in WEIGHTS):
        folder = snapshot(name, revision, [*TEXTS, *PICKLES])
    origin = {"repository": name, "revision": folder.name}
    return checkpoint_from_folder(folder, task=task, labels=labels, origin=origin)


def snapshot(name: str, revision: str | None, patterns: list[str]) -> Path:
    """The folder of a repository's files, whose name is the commit. Raises UserError for what can go wrong there."""
    hub = require("huggingface_hub", extra="onnx")
    at = f"{name!r} at {revision!r}" if revision else repr(name)
    try:
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=patterns))
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
    base: str,
    label_count: int | None = None,
    task: str | None = None,
    labels: Sequence[str] | None = None,
) -> Checkpoint:
    """A checkpoint from a tokenizer's folder and a state dict's file: `torch.save(model.state_dict(), 'model.pt')`.

    `base` names the model's shape, see `config_of_base`; the classes are `labels`, or `label_count` nameless ones.
    Raises UserError.
    """
    if not tokenizer.is_dir():
        raise UserError(f"no folder {str(tokenizer)!r}; it is written by tokenizer.save_pretrained(folder)")
    if not state.is_file():
        raise UserError(f"no file {str(state)!r}; it is written by torch.save(model.state_dict(), file)")
    check_tokenizer(tokenizer)
    config = config_of_base(base)
    task = task or "text-classification"
    if task_named(task).width == "labels":
        count = label_count or len(labels or own_labels(config))
        config["id2label"] = {str(index): f"LABEL_{index}" for index in range(count)}
    config.pop("label2id", None)
    config["architectures"] = []
    return checkpoint_of(tokenizer, config, task=task, labels=labels, state=state)
