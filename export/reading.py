"""The door for files from outside: what one holds, or a sentence of what is wrong with it.

Whatever reads such a file comes through here: texts and JSON of this project's own reading, and files that a library
reads, which fails in ways of its own.
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError

_LARGEST = 512 << 20  # bytes of a file that is read whole; the tokenizer.json of 250,000 words has 17 MB
_OF_A_SHELL = (("/", "dev"), ("/", "proc"))  # how the names begin of what it pipes, such as <(...) and /dev/stdin
_AGAIN = "copy it again"
FETCH_AGAIN = "export or fetch it again"


def text_from_file(path: Path) -> str:
    """A file's text. Raises UserError for one that is too large, or no UTF-8, and OSError."""
    return text_from_bytes(bytes_from_file(path), repr(str(path)))


def bytes_from_file(path: Path) -> bytes:
    """A file's bytes. Raises UserError for one that is too large to be read whole, and OSError.

    In the place of a file, a pipe would let its reader wait for ever, and a device never end: UserError, too.
    """
    if "\0" in str(path):
        raise UserError(f"{str(path)!r} has a zero byte, which no name of a file has; {_AGAIN}")
    refuse_special(path)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(_LARGEST + 1) if size <= _LARGEST else b""
    if max(size, len(content)) > _LARGEST:
        raise UserError(f"{str(path)!r} has more than {_LARGEST >> 20} MB; a file of its kind has some kilobytes")
    return content


def refuse_special(path: Path) -> None:
    """Raise UserError for a pipe, a socket or a device, but one that a shell pipes: read, it may never end."""
    if path.exists() and not (path.is_file() or path.is_dir()) and path.parts[:2] not in _OF_A_SHELL:
        raise UserError(f"{str(path)!r} is a pipe, a socket or a device; put a file in its place")


def text_from_bytes(content: bytes, shown: str) -> str:
    """UTF-8 as text; `shown`: what a sentence calls it. Raises UserError."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"byte {error.start + 1} is 0x{content[error.start]:02x}"
        raise UserError(f"{shown} is not UTF-8 ({found}); write it as UTF-8, or {_AGAIN}") from error


def json_from_file(path: Path) -> Any:
    """A file's JSON value. Raises UserError, and OSError."""
    return json_from_text(text_from_file(path), repr(str(path)))


def json_from_text(text: str, shown: str) -> Any:
    """A JSON value. Raises UserError for what is none, is nested too deeply, or holds half a character."""
    try:
        value = json.loads(text)
        if "\\u" in text:  # as in "\ud800", which no file takes
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        why = str(error).partition("; use ")[0]  # numbers of thousands of digits, which Python could be told to read
        raise UserError(f"{shown} is not JSON: {why}") from error
    return value


def is_there(path: Path) -> bool:
    """Whether there is such a file. Raises UserError for what only has its name: it would be passed over, and another
    file, or none, read instead.
    """
    if os.path.lexists(path) and not path.is_file():
        raise UserError(
            f"{str(path)!r} is no file, but a folder, a pipe, or a link that leads nowhere; put the file in its place, "
            "or remove it"
        )
    return path.is_file()


def read_json(folder: Path, name: str, cure: str) -> dict[str, Any]:
    """A JSON object of a folder. Raises UserError, with `cure` when it is not there."""
    path = folder / name
    if not is_there(path):
        raise UserError(f"no {name} in {str(folder)!r}; {cure}")
    value = json_from_file(path)
    if not isinstance(value, dict):
        raise UserError(f"{str(path)!r} holds no JSON object")
    return value


def read_json_if_there(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object of a folder, empty where there is no such file. Raises UserError for a broken one."""
    return read_json(folder, name, "") if is_there(folder / name) else {}


def tree_from_file(path: Path) -> ast.Module:
    """A Python file's syntax tree. Raises UserError for what is none, and OSError."""
    try:
        return ast.parse(bytes_from_file(path), str(path))
    except SyntaxError as error:
        where = f" in line {error.lineno}" if error.lineno else ""
        raise UserError(f"{str(path)!r} is not Python: {error.msg}{where}") from error
    except (ValueError, RecursionError, MemoryError) as error:  # a zero byte; brackets without end
        raise UserError(f"{str(path)!r} is not Python: {error or 'it is nested too deeply'}") from error


def imports_in(path: Path) -> set[str]:
    """The modules that a Python file imports anywhere, dotted; "." where one is beside it. Raises as above."""
    names = set[str]()
    for node in ast.walk(tree_from_file(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." if node.level else str(node.module))
    return names


@contextmanager
def library_reading(what: str, cure: str = _AGAIN) -> Iterator[None]:
    """Turn whatever a library raises on a file into one sentence: `what` it was to do, its reason, the `cure`.

    Libraries raise on a damaged file what comes to them, in a panic of Rust no Exception at all. Raises UserError.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{what} ({reason_of(error)}); {cure}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise UserError(f"{what} ({reason_of(error)}); {cure}") from error


def package_loading(what: str) -> AbstractContextManager[None]:
    """Turn whatever the code of an installed package raises into one sentence; `what`: which part of it is loaded."""
    return library_reading(f"{what} of an installed package does not load", "mend the package, or uninstall it")


def reason_of(error: BaseException) -> str:
    """What an exception says, in one line, cut where it is long; its class where it says nothing."""
    line = " ".join(str(error).split())
    return (f"{line[:_LONGEST]}..." if len(line) > _LONGEST else line) or type(error).__name__


_LONGEST = 300  # characters of a library's reason
