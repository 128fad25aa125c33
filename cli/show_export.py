"""What the two commands that export print of the folder that they wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tbgen.cli.show import print_named, report

if TYPE_CHECKING:
    from tbgen.export.exported import Exported

_Rows = list[tuple[str, str]]


def report_exported(exported: Exported, rows_of: Callable[[Exported], _Rows]) -> None:
    """Which file was written, and a command's own rows of a name and a value; with --json the record."""
    from rich.filesize import decimal

    from tbgen.export.exported import record_of

    def draw() -> None:
        size = decimal(sum(file.stat().st_size for file in exported.files))
        print_named([("written", f"{exported.model} ({size})"), *rows_of(exported)])

    report({"folder": exported.folder, **record_of(exported)}, draw)


def tensor_rows(exported: Exported) -> _Rows:
    """The tensors of an export: name, and data type with shape."""
    tensors = {**exported.inputs, **exported.outputs}
    return [(name, f"{spec.dtype} [{', '.join(map(str, spec.shape))}]") for name, spec in tensors.items()]


def difference_text(exported: Exported) -> str:
    """How far an export's answers are from those that it was held against."""
    parity = exported.parity
    return (
        f"largest difference {parity['max_abs']:.1e} in {parity['texts']} texts (tolerance {parity['tolerance']:g}), "
        f"{parity['flips']} of {parity['decisions']} decisions differ"
    )
