"""Damage by system, beside that by chance: every key that a reader asks of a JSON file, with every kind of value; every
form that a text can have.
"""

from __future__ import annotations

import codecs
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.faults.damage import json_damage
from tests.faults.reader_fuzz import outcome_of
from tests.faults.readers import Read, Reader

KINDS: tuple[Any, ...] = (
    *(None, True, 5, -1, 10**30, 0.5, float("inf"), float("nan"), "x", "", "a\0b", "\ud800", "x" * 1_000_000),
    *([], {}, [5], [[]], {"a": "b"}, {"": None}),
)
_MOST = 40  # keys of an object that are tried; a vocabulary has thousands of a kind
Place = tuple[str | int, ...]


class _Watched(dict[str, Any]):
    """An object of JSON that remembers which keys it was asked for."""

    def __init__(self, value: dict[str, Any]) -> None:
        super().__init__({key: _watched(each) for key, each in value.items()})
        self.asked: dict[str, None] = {}

    def __getitem__(self, key: str) -> Any:
        self.asked[key] = None
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.asked[str(key)] = None
        return super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.asked[key] = None
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        self.asked[key] = None
        return super().pop(key, *default)


def _watched(value: Any) -> Any:
    if isinstance(value, dict):
        return _Watched(value)
    return [_watched(each) for each in value] if isinstance(value, list) else value


def keys_asked(read: Read, folder: Path, file: str) -> dict[Place, list[str]]:
    """The keys of each object in a JSON file, those first that a reader asks for though they are not there."""
    text, plain, seen = (folder / file).read_text(encoding="utf-8"), json.loads, list[Any]()

    def loads(content: str | bytes, **settings: Any) -> Any:
        value = plain(content, **settings)
        if not settings and content in (text, text.encode("utf-8")):
            value = _watched(value)
            seen.append(value)
        return value

    with patch("json.loads", loads):
        outcome_of(read, folder)
    found: dict[Place, list[str]] = {}
    for value in (*seen, _watched(plain(text))):
        for place, each in _objects(value):
            keys = found.setdefault(place, [])
            keys += [key for key in (*each.asked, *each) if key not in keys]
    return {place: keys[:_MOST] for place, keys in found.items()}


def _objects(value: Any, place: Place = ()) -> Iterator[tuple[Place, _Watched]]:
    """Every object, and where it stands; of a list the first ones."""
    if isinstance(value, _Watched):
        yield place, value
    for key in (
        [*value][:_MOST] if isinstance(value, dict) else range(min(len(value), 3)) if isinstance(value, list) else ()
    ):
        yield from _objects(dict.__getitem__(value, key) if isinstance(value, dict) else value[key], (*place, key))


def every_value(read: Read, folder: Path, file: str) -> Iterator[tuple[str, bytes]]:
    """What is changed, and the file with it: each key with each kind of value."""
    whole = json.loads((folder / file).read_text(encoding="utf-8"))
    for place, keys in keys_asked(read, folder, file).items():
        for key in keys:
            for kind in KINDS:
                value = copy.deepcopy(whole)
                holder = value
                for step in place:
                    holder = holder[step]
                holder[key] = kind
                yield f"{(*place, key)}: {str(kind)[:20]!r}", json.dumps(value).encode()


def every_form(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The same content in other forms, and what is no content."""
    yield "with a mark", codecs.BOM_UTF8 + content
    yield "lines of Windows", content.replace(b"\n", b"\r\n")
    yield "lines of old Macs", content.replace(b"\n", b"\r")
    yield "twice", content + content
    yield "zeros behind it", content + bytes(100)
    yield "a key twice", content.replace(b"{", b'{"a": 1, "a": 2, ', 1)
    yield "half of it", content[: len(content) // 2]
    for name in (
        "",
        "\n",
        " ",
        "\0",
        "[" * 100_000,
        "{" * 100_000,
        '{"a":' * 100_000,
        "1e400",
        "-" * 100_000,
        "\ufeff",
    ):
        yield f"only {name[:3]!r}", name.encode("utf-8")
    for form in ("utf-16", "utf-16-le", "utf-32", "cp949"):
        yield form, content.decode("utf-8", errors="ignore").encode(form, errors="ignore")


def is_json(reader: Reader) -> bool:
    """Whether its files are JSON."""
    return reader.damage is json_damage and not any(name.endswith(".jsonl") for name in reader.files)


def swept(reader: Reader, folder: Path, step: int = 1) -> Iterator[tuple[str, str, str, str]]:
    """File, what it holds, what became of it, and what was said: of every `step`-th change."""
    for file in reader.files:
        whole = (folder / file).read_bytes()
        changes = [*every_form(whole), *(every_value(reader.read, folder, file) if is_json(reader) else ())]
        for what, content in changes[::step]:
            (folder / file).write_bytes(content)
            yield file, what, *outcome_of(reader.read, folder)
        (folder / file).write_bytes(whole)
