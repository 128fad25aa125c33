"""A checkpoint as a PyTorch model: loaded whole, in float32, with eager attention."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tbgen.export.checkpoint import Checkpoint
from tbgen.export.errors import UserError, require
from tbgen.export.pooling import pooled_model
from tbgen.export.tasks import task_named

# Buffers that older versions saved with the weights; today's models make them themselves.
BUFFERS = ("position_ids", "token_type_ids")


def model_from_checkpoint(checkpoint: Checkpoint) -> Any:
    """The transformers model of a checkpoint's task, ready to answer.

    Raises UserError when the weights do not fill the model: transformers would fill the rest with random numbers.
    """
    torch = require("torch", extra="onnx")
    transformers = require("transformers", extra="onnx")
    auto = getattr(transformers, task_named(checkpoint.task).auto)
    settings = {
        "attn_implementation": "eager",
        "dtype": torch.float32,
        "output_loading_info": True,
        "ignore_mismatched_sizes": True,  # they are refused below, with a sentence
    }
    with quiet(transformers), readable(checkpoint):
        if checkpoint.state:
            model, loading = load_state(checkpoint, auto, settings)
            refuse_unknown(loading)
        else:
            model, loading = auto.from_pretrained(checkpoint.folder, local_files_only=True, **settings)
    refuse_gaps(checkpoint, loading)
    if checkpoint.sentence and checkpoint.sentence.dense:
        model = pooled_model(model, checkpoint.sentence)
    return model.eval()


def load_state(checkpoint: Checkpoint, auto: Any, settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Fill a model of the config's shape from a state dict, by the rules by which transformers reads its own files."""
    torch = require("torch", extra="onnx")
    transformers = require("transformers", extra="onnx")
    rest = {key: value for key, value in checkpoint.config.items() if key != "model_type"}
    config = transformers.AutoConfig.for_model(checkpoint.config["model_type"], **rest)
    with torch.device("meta"):
        kind = type(auto.from_config(config))
    model, loading = kind.from_pretrained(None, config=config, state_dict=read_state(checkpoint.state), **settings)
    return model, loading


def read_state(path: Path | None) -> dict[str, Any]:
    """The tensors of a state dict's file, read without running what a pickle may hold. Raises UserError."""
    torch = require("torch", extra="onnx")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles of another kind, which are refused below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise UserError(
            f"{str(path)!r} holds no plain state dict; write it with torch.save(model.state_dict(), file)"
        ) from error
    if not isinstance(state, dict) or not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{str(path)!r} holds no dict of tensors; write it with torch.save(model.state_dict(), file)")
    return state


def refuse_unknown(loading: dict[str, Any]) -> None:
    """Raise UserError when a state dict holds tensors that the model has no place for."""
    unknown = sorted(name for name in loading["unexpected_keys"] if not name.endswith(BUFFERS))
    if unknown:
        missing = sorted(loading["missing_keys"])
        raise UserError(
            f"the state dict holds {listed(unknown)}, which the model has not"
            + (f"; and it lacks {listed(missing)}" if missing else "")
            + "; does --base name its shape?"
        )


def refuse_gaps(checkpoint: Checkpoint, loading: dict[str, Any]) -> None:
    """Raise UserError when a tensor of the model is not among the weights, or has another shape there."""
    mismatched = sorted(loading["mismatched_keys"])
    if mismatched:
        name, have, want = mismatched[0]
        source = "the base" if checkpoint.state else "config.json"
        raise UserError(
            f"the weights hold {name!r} as {list(have)}, {source} makes it {list(want)}; they belong to two models"
        )
    # Hidden states are read before the pooler, which many checkpoints (RoBERTa with a head) come without.
    unused = "pooler." if task_named(checkpoint.task).width == "hidden" else "\0"
    missing = sorted(name for name in loading["missing_keys"] if unused not in name)
    if missing:
        saved = ", ".join(checkpoint.config.get("architectures") or [])
        raise UserError(
            f"the weights lack {listed(missing)}, which task {checkpoint.task!r} needs"
            + (f"; the checkpoint was saved from {saved}" if saved else "")
        )


def listed(names: list[str], limit: int = 4) -> str:
    """The first few names, and how many more there are."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


@contextmanager
def readable(checkpoint: Checkpoint) -> Iterator[None]:
    """Raise UserError for files of weights that are cut short or are something else."""
    safetensors = require("safetensors", extra="onnx")
    try:
        yield
    except (safetensors.SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        names = ", ".join(str(path) for path in checkpoint.weights())
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"the weights in {names} cannot be read ({reason}); copy or save them again") from error


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
