"""Damage to files by a seed: values of JSON, TOML and pbtxt that are other ones, bytes that are others or gone."""

from __future__ import annotations

import copy
import io
import json
import pickle
import random
import zipfile
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 10**18, -(2**63), 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", "x", "0", "../../etc/passwd", "/etc/passwd", "a\0b", "$(touch ran)", "글 🔥", "\ud800", "x" * 5000),
    *([], [5], [None], [[]], ["x", 5], {}, {"a": "b"}, {"0": None}, {"": {}}, [{}], [[[[[[]]]]]]),
)
TEXTS = ('{"a":' * 3000, "[" * 100_000, "", "\0", "\xff\xfe", "null", "5", '"x"', "[]", "{}", "1" * 5000, "NaN")


def json_damage(text: bytes, chance: random.Random) -> bytes:
    """JSON with a few values or keys that are others; at times a text that is hardly JSON, or bytes that are others."""
    kind = chance.random()
    if kind < 0.05:
        return chance.choice(TEXTS).encode("latin-1")
    if kind < 0.15:
        return byte_damage(text, chance)
    value = json.loads(text)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        value = _changed(value, chance)
    return json.dumps(value).encode()


def _changed(value: Any, chance: random.Random) -> Any:
    """The value with one change at a place within it."""
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places or chance.random() < 0.02:
        return chance.choice(ODD)
    holder, key = chance.choice(places)
    how = chance.random()
    if how < 0.6:
        holder[key] = copy.deepcopy(chance.choice(ODD))
    elif how < 0.75:
        del holder[key]
    elif how < 0.9 and isinstance(holder, dict):
        holder[str(chance.choice(ODD))] = holder.pop(key)
    elif isinstance(holder, list):
        holder.append(copy.deepcopy(chance.choice(ODD)))
    else:
        other, name = chance.choice(places)
        holder[key] = copy.deepcopy(other[name])
    return value


def _places(value: Any) -> Any:
    """Every place of a value in a list or an object: what holds it, and the key; a long list's first ones."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for key in keys[:200]:
        yield value, key
        yield from _places(value[key])


def byte_damage(content: bytes, chance: random.Random) -> bytes:
    """Bytes that are others, cut off, taken out, doubled or put in."""
    made = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8))):
        at = chance.randrange(len(made) + 1)
        size = chance.choice((1, 1, 4, 16, 256))
        how = chance.randrange(6)
        if how == 0:
            made[at : at + size] = chance.randbytes(size)
        elif how == 1:
            del made[at:]
        elif how == 2:
            del made[at : at + size]
        elif how == 3:
            made[at:at] = made[at : at + size]
        elif how == 4:
            made[at:at] = chance.choice(TEXTS).encode("latin-1")[:size]
        elif at < len(made):
            made[at] ^= 1 << chance.randrange(8)
    return bytes(made)


def text_damage(content: bytes, chance: random.Random) -> bytes:
    """Lines that are gone, doubled or swapped, values after `=` or `:` that are others, or bytes that are."""
    if chance.random() < 0.3:
        return byte_damage(content, chance)
    lines = content.decode("utf-8").split("\n")
    at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    how = chance.randrange(4)
    if how == 0:
        del lines[at]
    elif how == 1:
        lines.insert(at, lines[other])
    elif how == 2:
        lines[at], lines[other] = lines[other], lines[at]
    else:
        mark = "=" if "=" in lines[at] else ":"
        head, _, _ = lines[at].partition(mark)
        odd = json.dumps(chance.choice(ODD), ensure_ascii=False, default=str)
        lines[at] = f"{head}{mark} {odd}"
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def message_damage(message: Message, chance: random.Random) -> None:
    """Fields of a protobuf message that hold other values, are gone, or are there twice."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        one = chance.choice(list(_messages(message)))
        field = chance.choice(one.DESCRIPTOR.fields)
        if field.is_repeated and field.message_type and not field.message_type.GetOptions().map_entry:
            rows = getattr(one, field.name)
            if rows and chance.random() < 0.5:
                del rows[chance.randrange(len(rows))]
            else:
                rows.add()
        elif field.message_type or chance.random() < 0.2:
            one.ClearField(field.name)
        else:
            _set_odd(one, field, chance)


def _set_odd(message: Message, field: Any, chance: random.Random) -> None:
    """Give a plain field, or a place of a list of such, another value of its type."""
    numbers = (0, 1, -1, 2**31 - 1, -(2**31), 2**62, 5)
    texts = [odd for odd in ODD if isinstance(odd, str) and odd != "\ud800"]
    kinds: dict[type, Callable[[], Any]] = {
        bool: lambda: chance.random() < 0.5,
        int: lambda: chance.choice(numbers),
        float: lambda: chance.choice((0.0, -1.0, 1e30, float("nan"), float("inf"))),
        str: lambda: chance.choice(texts),
        bytes: lambda: chance.randbytes(chance.choice((0, 1, 9))),
    }
    value = kinds[type(field.default_value) if not field.is_repeated else _PLAIN.get(field.cpp_type, str)]()
    try:
        if field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
    except (ValueError, TypeError):  # a number beyond the field's type
        message.ClearField(field.name)


_PLAIN: dict[int, type] = {1: int, 2: int, 3: int, 4: int, 5: float, 6: float, 7: bool, 8: int, 9: str}


def _messages(message: Message) -> Any:
    """A message and those within it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type and not field.message_type.GetOptions().map_entry:
            for one in value if field.is_repeated else [value]:
                yield from _messages(one)


def safetensors_damage(content: bytes, chance: random.Random) -> bytes:
    """A header that says something else, or bytes that are others."""
    if chance.random() < 0.3:
        return byte_damage(content, chance)
    size = int.from_bytes(content[:8], "little")
    header = json_damage(content[8 : 8 + size], chance)
    length = len(header) if chance.random() < 0.9 else chance.choice((0, 2**40, 2**63))
    return length.to_bytes(8, "little") + header + content[8 + size :]


class Hostile:
    """What runs code where a pickle is loaded without care."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise AssertionError('a pickle ran')",)


def pickle_damage(content: bytes, chance: random.Random) -> bytes:
    """A torch file whose pickle holds other bytes, or is another; or bytes of the archive that are others."""
    how = chance.random()
    if how < 0.3:
        return byte_damage(content, chance)
    if how < 0.4:
        return pickle.dumps(chance.choice((Hostile(), {"a": Hostile()}, *ODD)), protocol=chance.choice((2, 4, 5)))
    made = io.BytesIO()
    kept = zipfile.ZIP_DEFLATED if chance.random() < 0.1 else zipfile.ZIP_STORED
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w", kept) as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("data.pkl"):
                data = pickle.dumps(Hostile()) if chance.random() < 0.1 else byte_damage(data, chance)
            if chance.random() > 0.02:
                new.writestr(name, data)
    return made.getvalue()
