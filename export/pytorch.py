"""A checkpoint as a PyTorch model: loaded whole, in float32, with eager attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tbgen.export.checkpoint import Checkpoint
from tbgen.export.errors import UserError, require
from tbgen.export.tasks import task_named


def model_from_checkpoint(checkpoint: Checkpoint) -> Any:
    """The transformers model of a checkpoint's task, ready to answer.

    Raises UserError when the weights do not fill the model: transformers would fill the rest with random numbers.
    """
    torch = require("torch", extra="onnx")
    transformers = require("transformers", extra="onnx")
    auto = getattr(transformers, task_named(checkpoint.task).auto)
    with quiet(transformers):
        model, loading = auto.from_pretrained(
            checkpoint.folder,
            attn_implementation="eager",
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    refuse_gaps(checkpoint, loading)
    return model.eval()


def refuse_gaps(checkpoint: Checkpoint, loading: dict[str, Any]) -> None:
    """Raise UserError when a tensor of the model is not among the weights, or has another shape there."""
    mismatched = sorted(loading["mismatched_keys"])
    if mismatched:
        name, have, want = mismatched[0]
        raise UserError(
            f"the weights hold {name!r} as {list(have)}, config.json makes it {list(want)}; they belong to two models"
        )
    # Hidden states are read before the pooler, which many checkpoints (RoBERTa with a head) come without.
    unused = "pooler." if task_named(checkpoint.task).width == "hidden" else "\0"
    missing = sorted(name for name in loading["missing_keys"] if unused not in name)
    if missing:
        architecture = ", ".join(checkpoint.config.get("architectures") or ["an unknown architecture"])
        raise UserError(
            f"the weights lack {listed(missing)}, which task {checkpoint.task!r} needs; "
            f"the checkpoint was saved from {architecture}"
        )


def listed(names: list[str], limit: int = 4) -> str:
    """The first few names, and how many more there are."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


@contextmanager
def quiet(transformers: Any) -> Iterator[None]:
    """Keep transformers' progress bars and reports off the terminal: what counts in them is checked and raised."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
