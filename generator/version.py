"""The version of the package, read without importing it."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1]  # of a source tree whose folders are linked into one named tbgen


def version() -> str:
    """tbgen's version, such as '0.1.0'; of a source tree that is not installed, the one in its pyproject.toml."""
    try:
        return installed_version("tbgen")
    except PackageNotFoundError:
        return re.findall(r'^version = "(.+)"$', (SOURCES / "pyproject.toml").read_text("utf-8"), re.MULTILINE)[0]
