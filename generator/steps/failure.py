"""What a person's own code raised, by the lines of their own file: those of tbgen and libraries tell them nothing."""

from __future__ import annotations

import re
import sysconfig
import traceback
from pathlib import Path

from tbgen.export.reading import reason_of
from tbgen.generator.steps.catalogue import STEP_FOLDER

_HERE = Path(__file__).resolve().parents[2]
_OTHERS = (
    *(_HERE / name for name in ("api", "backends", "cli", "export", "generator", "server")),
    *(Path(path).resolve() for name, path in sysconfig.get_paths().items() if name in ("stdlib", "purelib", "platlib")),
)
_MOST = 5  # frames of a sentence
_FRAME = re.compile(r'  File "(?P<file>[^"\n]+)", line \d+.*\n(?:    .*\n)*')


def failure(error: BaseException) -> str:
    """The exception, what it says, and where in the person's file it came from."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if _is_own(each.filename)]
    lines = ", ".join(f"line {each.lineno} in {each.name}" for each in frames[-_MOST:])
    where = f" ({Path(frames[-1].filename).name}, {lines})" if frames else ""
    return f"{type(error).__name__}: {reason_of(error)}{where}"


def is_own_failure(error: BaseException) -> bool:
    """Whether it came through a file of the person's."""
    return any(_is_own(each.filename) for each in traceback.extract_tb(error.__traceback__))


def own_frames(text: str) -> str:
    """The text of a traceback without others' frames before and behind the person's own; whole where it has none."""
    if not any(_is_own(frame["file"]) for frame in _FRAME.finditer(text)):
        return text
    return _FRAME.sub(lambda frame: frame[0] if _is_own(frame["file"]) else "", text)


def _is_own(file: str) -> bool:
    """Whether a frame's file is the person's: no file of tbgen or a library, nor a copy of tbgen's in a repository."""
    path = Path(file).resolve()
    original = STEP_FOLDER / path.name
    if not path.is_file() or any(each in path.parents for each in _OTHERS):
        return False
    return not original.is_file() or original.read_bytes() != path.read_bytes()
