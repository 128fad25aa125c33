"""What the commands draw: a status line while something runs, the tree of a repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.tree import Tree


@contextmanager
def status_line(console: Console) -> Iterator[Callable[[str], None]]:
    """A spinner with the text of what runs now; on a pipe, a line for each text."""
    if not console.is_terminal:
        yield lambda text: console.print(text, highlight=False)
        return
    with console.status("Starting") as status:
        yield status.update


def repository_tree(repository: Path, names: Sequence[str]) -> Tree:
    """The files of the named model folders, with their sizes."""
    tree = Tree(f"{repository}/")
    for name in names:
        grow(tree.add(f"{name}/"), repository / name)
    return tree


def grow(branch: Tree, folder: Path) -> None:
    """Add a folder's entries to its branch, files before folders."""
    for entry in sorted(folder.iterdir(), key=lambda entry: (entry.is_dir(), entry.name)):
        if entry.name == "vendor":  # another project's files
            size = sum(file.stat().st_size for file in entry.rglob("*"))
            branch.add(f"{entry.name}/ [dim]{decimal(size)}[/dim]")
        elif entry.is_dir():
            grow(branch.add(f"{entry.name}/"), entry)
        else:
            branch.add(f"{entry.name} [dim]{decimal(entry.stat().st_size)}[/dim]")
