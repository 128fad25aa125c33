"""A checkpoint's weights as one state dict: its files read without running a pickle's code, names without wrappers'."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tbgen.export.checkpoint.checkpoint import Checkpoint
from tbgen.export.errors import UserError, require

_PICKLED = re.compile(r"GLOBAL (\S+)")  # torch names the first class that it would not load


def state_dict_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """All tensors of a checkpoint, by name. Raises UserError for a state dict's file that is none."""
    if checkpoint.state:
        return _read_state(checkpoint.state)
    torch = require("torch", extra="onnx")
    state: dict[str, Any] = {}
    for file in checkpoint.weights():
        if file.suffix == ".safetensors":
            state |= require("safetensors.torch", extra="onnx").load_file(file)
        else:
            state |= _tensors_of(file, torch.load(file, map_location="cpu", weights_only=True))
    return state


def _read_state(path: Path) -> dict[str, Any]:
    """The tensors of a state dict's file, read without running what a pickle may hold. Raises UserError."""
    torch = require("torch", extra="onnx")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles of another kind, which are refused below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        found = _PICKLED.search(str(error))
        more = (
            f"; it is a pickle with {found[1]} in it, a whole model perhaps, whose code tbgen does not run: load it "
            "where that code is, with torch.load(file, weights_only=False)"
            if found
            else ""
        )
        raise UserError(
            f"{str(path)!r} holds no plain state dict; write it with torch.save(model.state_dict(), file){more}"
        ) from error
    return _tensors_of(path, state)


def _tensors_of(path: Path, state: Any) -> dict[str, Any]:
    """What was read from a file, if it is a state dict; else UserError, with the state dict that is in it."""
    if _is_state(state):
        return dict(state)
    inner = next((key for key, value in state.items() if _is_state(value)), None) if isinstance(state, dict) else None
    if inner is None:
        raise UserError(f"{str(path)!r} holds no dict of tensors; write it with torch.save(model.state_dict(), file)")
    others = [str(key) for key in state if key != inner]
    raise UserError(
        f"{str(path)!r} holds no dict of tensors, but one under {inner!r}"
        + (f", beside {first_names(others)}" if others else "")
        + f"; write that: torch.save(torch.load({path.name!r})[{inner!r}], 'model.pt')"
    )


def _is_state(value: Any) -> bool:
    """Whether it is a state dict: tensors by name, one at least."""
    torch = require("torch", extra="onnx")
    return isinstance(value, dict) and bool(value) and all(isinstance(each, torch.Tensor) for each in value.values())


def wrapper_of(names: Collection[str], model: Any) -> str:
    """What stands before all names and has to go for them to be the model's, such as `module._orig_mod.`; else empty.

    torch.compile, DataParallel and training loops put it there. Names may lack the model's own prefix (`bert.`) or
    have it: transformers reads both.
    """
    first = next(iter(names))
    cuts = ["", *(first[: dot.end()] for dot in re.finditer(r"\.", first))]
    shared = [cut for cut in cuts if all(name.startswith(cut) for name in names)]
    own = f"{model.base_model_prefix}."
    known = {name.removeprefix(own) for name in model.state_dict()}
    return max(shared, key=lambda cut: sum(name[len(cut) :].removeprefix(own) in known for name in names))


def broken_sentence(names: list[str]) -> str:
    """What is wrong with weights of these names that are no numbers."""
    return f"the weights hold NaN or infinity in {first_names(names)}"


def first_names(names: list[str], limit: int = 4) -> str:
    """The first few names, and how many more there are."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
