"""A checkpoint's weights as one state dict, and what wrappers put before its names."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from tbgen.export.checkpoint.checkpoint import Checkpoint
from tbgen.export.checkpoint.tensors import first_names, tensors_from_file


def state_dict_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """All tensors of a checkpoint, by name. Raises UserError for a file that holds none."""
    state: dict[str, Any] = {}
    for file in checkpoint.weights():
        state |= tensors_from_file(file)
    return state


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
