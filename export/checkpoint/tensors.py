"""Files of weights, safetensors and pickles, as tensors by name; a pickle's code is not run."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError, require
from tbgen.export.reading import library_reading

_CODE = re.compile(r"GLOBAL (\S+)")  # torch names the first class or function that it would not load
_WHY = re.compile(r"WeightsUnpickler error: ([^\n]+)")  # in what torch says, which goes on about switching that off
WEIGHTS_AGAIN = "copy or save them again"


def tensors_from_file(path: Path) -> dict[str, Any]:
    """The tensors of a .safetensors file, or of a pickled state dict. Raises UserError for whatever else it holds."""
    if path.suffix == ".safetensors":
        with library_reading(_unread(path), WEIGHTS_AGAIN):
            return dict(require("safetensors.torch", extra="onnx").load_file(path))
    return _tensors_of(path, _value_of_pickle(path))


def _value_of_pickle(path: Path) -> Any:
    """What a pickle holds, of tensors and plain values. Raises UserError."""
    torch = require("torch", extra="onnx")
    _refuse_compressed(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles of another kind, which are refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle raise on a damaged file what comes to them
        raise _no_state(path, str(error)) from error


def _no_state(path: Path, said: str) -> UserError:
    """A sentence on a pickle of which torch `said` why it does not read it."""
    if code := _CODE.search(said):
        return UserError(
            f"{str(path)!r} holds no plain state dict; write it with torch.save(model.state_dict(), file) where the "
            f"model is: it is a pickle with {code[1]} in it, a whole model perhaps, whose code tbgen does not run"
        )
    lines = [line for line in said.splitlines() if "weights_only" not in line] or [""]
    why = _WHY.search(said) or re.match("(.*)", lines[0])
    return UserError(
        f"{_unread(path)} (it holds no plain state dict{f': {why[1]}' if why and why[1] else ''}); {WEIGHTS_AGAIN}"
    )


def _unread(path: Path) -> str:
    """What becomes of a file that is damaged."""
    return f"the weights in {path} cannot be read"


def _refuse_compressed(path: Path) -> None:
    """Raise UserError for an archive whose files are larger than it: torch writes them as they are."""
    with library_reading(_unread(path), WEIGHTS_AGAIN):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                whole = all(row.compress_type == zipfile.ZIP_STORED for row in archive.infolist())
            if not whole:
                raise UserError(f"{str(path)!r} is compressed, as torch.save writes none; unpack it, or save it again")


def _tensors_of(path: Path, state: Any) -> dict[str, Any]:
    """What was read from a file, if it is a state dict; else UserError, with the state dict that is in it."""
    if _is_state(state):
        _check_sizes(path, state)
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
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(each, torch.Tensor) for each in value.values())
        and all(isinstance(name, str) for name in value)
    )


def _check_sizes(path: Path, state: dict[str, Any]) -> None:
    """Raise UserError for tensors that are not plain numbers, each in the file: copies would fill the memory."""
    torch, size = require("torch", extra="onnx"), path.stat().st_size
    for name, tensor in state.items():
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
        if not plain or tensor.numel() * tensor.element_size() > size:
            raise UserError(
                f"{str(path)!r} holds {name!r} as {list(tensor.shape)}, and not all its numbers; write it with "
                "torch.save(model.state_dict(), file)"
            )


def first_names(names: list[str], limit: int = 4) -> str:
    """The first few names, and how many more there are."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
