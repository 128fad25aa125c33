"""A package that a test installs in an environment of its own, by the hash that stands in a file of the project."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path(__file__).parents[1]
FILES = (_ROOT / "constraints.txt", _ROOT / "tests" / "pythons.txt")


def by_hash(package: str, version: str, folder: Path) -> list[str | Path]:
    """What pip is told of it; the file that pip reads is written into `folder`."""
    lines = [line for file in FILES for line in file.read_text(encoding="utf-8").splitlines()]
    line = next(line for line in lines if line.startswith(f"{package}=={version} "))
    file = folder / "requirement.txt"
    file.write_text(re.sub(" ; [^-]*(?=--hash)", " ", line), encoding="utf-8")
    return ["--only-binary=:all:", "--no-deps", "--require-hashes", "--requirement", file]
