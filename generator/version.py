"""The version of the installed package, read without importing it."""

from __future__ import annotations

from importlib.metadata import version as installed_version


def version() -> str:
    """tbgen's version, such as '0.1.0'."""
    return installed_version("tbgen")
