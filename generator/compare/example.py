"""An item that a model can answer: what smoke requests and warm-up send, and what a benchmark puts its texts into.

A step says what it needs (`example`, backends/README.md), the model's record keeps it, and whatever nobody speaks of is
any text. `{}` in a text stands for any text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.utils import triton_to_np_dtype

from tbgen.backends.fill_mask import with_mask
from tbgen.export.errors import UserError
from tbgen.export.layout import TOKENIZER_JSON
from tbgen.export.reading import json_from_file
from tbgen.generator.calls import parts_of
from tbgen.generator.models.config import TensorSpecs, specs_from_json
from tbgen.generator.repository import read_record
from tbgen.generator.steps.load import STEPS_FILE, listing

Item = dict[str, Any]  # input -> a text, a number, or a list of them

EXAMPLE = "오늘도 상한가 갔다 🔥📈"  # Korean with emoji: a broken locale, or a step that cannot read it, shows at once
ANY = "{}"
_MOST = 1 << 24  # values of an input of one item
MAIN = "input_text"  # what is said of it holds for the texts of a step before it, too


class NoExampleError(UserError):
    """A model takes something that is no text, and nothing says what to send."""


def example_item(config: Mapping[str, Any], folder: Path | None = None) -> dict[str, np.ndarray]:
    """One item for a model as a request: name -> array, (1, ...) where it batches; none where all is optional.

    config: as a server tells it, or JSON of its config.pbtxt.
    folder: the model's, whose record, or else whose steps, say what they need; without one any text will do.
    Raises NoExampleError.
    """
    inputs = required_inputs(config)
    item = item_from(inputs, folder_example(folder) if folder else {})
    batch = (1,) if int(config.get("max_batch_size", 0)) > 0 else ()
    return {name: array.reshape(*batch, *array.shape) for name, array in arrays_from(inputs, item).items()}


def required_inputs(config: Mapping[str, Any]) -> TensorSpecs:
    """The inputs that a request must bring: name -> (data type, dims)."""
    return specs_from_json(tensor for tensor in config.get("input", ()) if not tensor.get("optional"))


def item_from(inputs: TensorSpecs, said: Mapping[str, Any]) -> Item:
    """A value for each input: what is said of it, else any text. Raises NoExampleError."""
    lacking = [name for name, (data_type, _) in inputs.items() if name not in said and data_type != "TYPE_STRING"]
    if lacking:
        names = ", ".join(f"{name} ({inputs[name][0].removeprefix('TYPE_')})" for name in lacking)
        raise NoExampleError(f"it takes {names}, and no step says an example of it")
    return {name: said.get(name, said.get(MAIN, ANY)) for name in inputs}


def arrays_from(inputs: TensorSpecs, item: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The values as arrays, without a batch axis; a single value fills the dims, an open one of them with 1."""
    return {name: _array_from(name, *inputs[name], value) for name, value in item.items()}


def _array_from(name: str, data_type: str, dims: Sequence[int], value: Any) -> np.ndarray:
    """One value. Raises UserError for one of another type or of other dims."""
    problem = f"the example {value!r} does not fit the input {name!r}, {data_type} of dims {list(dims)}; mend it"
    values = np.array(value, dtype=object)
    try:
        if data_type == "TYPE_STRING":
            texts = [str(each).replace(ANY, EXAMPLE).encode("utf-8") for each in values.ravel()]
            values = np.array([*texts, None], dtype=object)[:-1].reshape(values.shape)
        else:
            values = values.astype(triton_to_np_dtype(data_type.removeprefix("TYPE_")))
    except (ValueError, TypeError, OverflowError) as error:
        raise UserError(problem) from error
    if not values.shape:
        if math.prod(max(1, size) for size in dims) > _MOST:
            raise NoExampleError(f"it takes {name!r} of dims {list(dims)}, more than is made to ask it")
        return np.full([max(1, size) for size in dims], values[()], dtype=values.dtype)
    shape = (*[1] * (len(dims) - values.ndim), *values.shape)
    if len(shape) != len(dims) or any(size not in (-1, there) for size, there in zip(dims, shape, strict=True)):
        raise UserError(problem)
    return values.reshape(shape)


def steps_example(steps: Iterable[Any]) -> Item:
    """What constructed steps say in `example`. Raises UserError."""
    said: list[Item] = []
    for step in steps:
        example = getattr(step, "example", {})
        try:
            said.append(json.loads(json.dumps(dict(example))))
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{type(step).__name__}.example is {example!r}; it names tensors, and gives each a text, a number, or "
                "a list of them"
            ) from error
    return nearest_example(*said)


def nearest_example(*said: Item) -> Item:
    """All that is said; of one tensor, what the step says that is nearest to the client."""
    return {name: value for item in reversed(said) for name, value in item.items()}


def folder_example(folder: Path) -> Item:
    """What a model's record says of an item; else a mask beside any text, where its steps look for one."""
    record = read_record(folder) or {}
    said = record.get("example")
    return said if isinstance(said, dict) else mask_example(folder, _masks_of_export(record))


def _masks_of_export(record: Mapping[str, Any]) -> set[int]:
    """The mask's id where a model's engine fills masks: what reads its logits, of whatever package, looks for one."""
    export = record.get("export")
    if not isinstance(export, dict) or export.get("task") != "fill-mask":
        return set()
    return {number for role, number in export.get("special", {}).items() if role == "mask"}


def mask_example(folder: Path, masks: Collection[int]) -> Item:
    """A mask at the end of any text that is read however long it is.

    masks: its ids, beside those that a step of the model or of an ensemble's models names.
    """
    for part in (folder, *parts_of(folder)):
        for file in sorted(part.glob(f"*/{STEPS_FILE}")):
            try:
                settings = [step["settings"] for step in listing(file.parent)["steps"]]
                tokenizer = json_from_file(file.parent / TOKENIZER_JSON)
                side = str((tokenizer.get("truncation") or {}).get("direction"))
                wanted = [*masks, *(each["mask_id"] for each in settings if "mask_id" in each)]
                found = [token["content"] for token in tokenizer["added_tokens"] if token["id"] in wanted]
            except (OSError, UserError, KeyError, TypeError):
                continue
            for token in found[:1]:
                return {MAIN: with_mask(ANY, token, side)}
    return {}
