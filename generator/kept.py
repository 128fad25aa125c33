"""What a person has in a folder that is written anew: the same files, and the same owners and modes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tbgen.export.files import copy_access
from tbgen.export.scratch import remove_entry


def keep_entry(standing: Path, staged: Path) -> None:
    """Put what a person has in a model into the one that takes its place, as it is: the same file, the same link."""
    if os.path.lexists(staged):
        remove_entry(staged)
    staged.parent.mkdir(parents=True, exist_ok=True)
    if standing.is_dir() and not standing.is_symlink():
        shutil.copytree(standing, staged, symlinks=True, copy_function=_keep_file)
    else:
        _keep_file(standing, staged)


def _keep_file(standing: str | Path, staged: str | Path) -> None:
    """Another name of a file."""
    try:
        os.link(standing, staged, follow_symlinks=False)
    except OSError:  # a file system without hard links, or a file of another user
        shutil.copy2(standing, staged, follow_symlinks=False)


def keep_access(standing: Path, staged: Path) -> None:
    """Let files and folders have the owners and modes of those in whose place they come."""
    for entry in (standing, *standing.rglob("*")) if standing.exists() else ():
        new = staged / entry.relative_to(standing)
        if new.exists() and new.is_dir() == entry.is_dir() and not (new.is_symlink() or entry.is_symlink()):
            copy_access(entry, new)
