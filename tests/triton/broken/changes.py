"""The ways to break a model: each takes the folder of a good one and changes one thing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.triton.good_models import save_graph, save_ragged_graph, write

Break = Callable[[Path], None]
PARAMETER = 'parameters {{ key: "{}" value {{ string_value: "{}" }} }}\n'
WARM_UP = (
    'model_warmup {{ name: "w" batch_size: {batch} inputs {{ key: "{key}" '
    "value {{ data_type: {type} dims: [ {dims} ] {data} }} }} }}\n"
)


def edit(old: str, new: str, file: str = "config.pbtxt") -> Break:
    """Replace a text that stands in a file; the test fails when it does not."""

    def change(folder: Path) -> None:
        text = (folder / file).read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {file}"
        (folder / file).write_text(text.replace(old, new), encoding="utf-8")

    return change


def step(name: str, settings: str) -> Break:
    """Another class, with its settings, for the step of the model `steps`."""
    shout = '"class": "Shout",\n      "settings": {"mark": "!"}'
    return edit(shout, f'"class": "{name}",\n      "settings": {settings}', "1/steps.json")


def add(text: str, file: str = "config.pbtxt") -> Break:
    """Write something at the end of a file, or a new file; {name} is the model's."""
    return lambda folder: write(
        folder / file,
        ((folder / file).read_text(encoding="utf-8") if (folder / file).exists() else "")
        + text.replace("{name}", folder.name),
    )


def put(file: str, content: bytes | str) -> Break:
    """A file with just this content."""
    content = content.encode() if isinstance(content, str) else content

    def change(folder: Path) -> None:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)

    return change


def move(old: str, new: str) -> Break:
    """Rename a file or folder."""
    return lambda folder: (folder / old).rename(folder / new) and None


def remove(name: str) -> Break:
    """Delete a file or a folder."""
    return lambda folder: shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()


def both(*changes: Break) -> Break:
    """One change after the other."""
    return lambda folder: [change(folder) for change in changes] and None


def graph(**options: int | str) -> Break:
    """Another graph under the same config."""
    return lambda folder: save_graph(folder / "1" / "model.onnx", **options)  # type: ignore[arg-type]


def warm_up(
    *, key: str = "text", type: str = "TYPE_STRING", dims: str = "1", data: str = "zero_data: true", batch: int = 1
) -> Break:
    """A warm-up sample of one input."""
    return add(WARM_UP.format(key=key, type=type, dims=dims, data=data, batch=batch))


def parameter(key: str, value: str) -> Break:
    """A parameter of the config."""
    return add(PARAMETER.format(key, value))


def accelerator(kind: str, name: str) -> Break:
    """An execution accelerator for CPUs or GPUs."""
    return add(
        f'optimization {{ execution_accelerators {{ {kind}_execution_accelerator [ {{ name: "{name}" }} ] }} }}\n'
    )


def flat_graph(**options: Any) -> Break:
    """Another flat graph under the same config."""
    return lambda folder: save_ragged_graph(folder / "1" / "model.onnx", **options)


def cut_message(folder: Path, field: str) -> None:
    """Leave a message out of a config."""
    file = folder / "config.pbtxt"
    head, _, tail = file.read_text(encoding="utf-8").partition(f"{field} {{")
    write(file, head + tail.partition("}\n")[2])


nothing = add("# good\n")
