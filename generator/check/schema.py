"""Rules on the text of config.pbtxt: a ModelConfig, of fields that the release knows, with nothing left unfilled."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from google.protobuf.message import Message
from tritonclient.grpc import model_config_pb2

from tbgen.generator.check.finding import Finding, Place
from tbgen.generator.check.model import Model, Repository
from tbgen.generator.releases import FIELDS_SINCE, Release
from tbgen.generator.repository import CONFIG

_POOL = model_config_pb2.DESCRIPTOR.pool
_NO_FIELD = re.compile(r'Message type "inference\.([\w.]+)" has no field named "(\w+)"')
_NO_VALUE = re.compile(r'Enum type "inference\.([\w.]+)" has no value named (\w+)')


def _is_a_config(model: Model) -> Iterator[Finding]:
    """The text must parse; the first thing that does not is found, as Triton's parser does."""
    if model.parse_error is None or model.lines.placeholders:
        return
    what = str(model.parse_error).partition(" : ")[2] or str(model.parse_error)
    line = model.parse_error.GetLine()
    yield model.refused(
        Place(f"{model.name}/{CONFIG}", line),
        f"Error parsing text-format inference.ModelConfig: {what} -> {_unread(model)}",
        _remedy(what),
    )


def _unread(model: Model) -> str:
    """Triton's last word on a text that does not parse."""
    return f"failed to read text proto from {model.folder / CONFIG}"


def _remedy(error: str) -> str:
    """What to write instead: the names that are closest to a wrong one."""
    if found := _NO_FIELD.search(error):
        descriptor = _POOL.FindMessageTypeByName(f"inference.{found[1]}")
        known = [field.name for field in descriptor.fields]
        near = difflib.get_close_matches(found[2], known, 3, 0.5)
        return f"{descriptor.name} has {' or '.join(near)}" if near else f"remove {found[2]}"
    if found := _NO_VALUE.search(error):
        values = list(_POOL.FindEnumTypeByName(f"inference.{found[1]}").values_by_name)
        near = difflib.get_close_matches(found[2], values, 3, 0.4) or values
        return f"write {' or '.join(near)}"
    return "mend the syntax: every brace and bracket closed, names: values, text in quotes"


def _nothing_unfilled(model: Model) -> Iterator[Finding]:
    """A template's ${...} stops the parser, or is taken literally inside quotes."""
    for placeholder, line in model.lines.placeholders:
        place = Place(f"{model.name}/{CONFIG}", line)
        mend = f"fill in {placeholder}, or remove its line"
        if model.parse_error:
            yield model.refused(place, f"{placeholder} is no value -> {_unread(model)}", mend)
        else:
            yield model.fails(place, f"{placeholder} is taken as it stands", mend)


def _known_to_the_release(model: Model, repository: Repository) -> Iterator[Finding]:
    """A field that came after the release stops its parser."""
    if repository.release is None:
        return
    for path, field in _newer_fields(model.config, repository.release):
        yield model.refused(
            path,
            f"Error parsing text-format inference.ModelConfig: {field.partition('.')[0]} has no field named "
            f'"{path.rpartition(".")[2]}" -> {_unread(model)}',
            f"Triton knows {field} from {FIELDS_SINCE[field]} on; remove it for {repository.release.name}",
        )


def _newer_fields(message: Message, release: Release, path: str = "") -> Iterator[tuple[str, str]]:
    """Path and name of each field that is set and that the release does not know."""
    for field, value in message.ListFields():
        name = f"{message.DESCRIPTOR.name}.{field.name}"
        here = f"{path}{field.name}"
        if not release.knows(name):
            yield here, name
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for index, part in enumerate(value if field.is_repeated else [value]):
                yield from _newer_fields(part, release, f"{here}[{index}].")


RULES = (_is_a_config, _nothing_unfilled)
REPOSITORY_RULES = (_known_to_the_release,)
