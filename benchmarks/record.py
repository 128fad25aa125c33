"""What `make bench` leaves in docs/reference/results.json: a story's rows, when and on what they were taken."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.table import Row
from tbgen.server.bench.machine import cores, processor

RESULTS = Path(__file__).parents[1] / "docs" / "reference" / "results.json"
PACKAGES = ("tbgen", "onnxruntime", "nvidia-pytriton", "tokenizers", "numpy")


@dataclass(frozen=True)
class Record:
    """A story's last run.

    rounds, seconds: how often each point was taken, and for how long; None: not known.
    stolen: seconds of CPU time that the host took meanwhile.
    note: what else must be known to read the figures.
    table: what stands before the rows, in cells, its head first; a comparison of many things has one.
    """

    date: str
    machine: str
    cores: int
    rows: tuple[Row, ...]
    versions: dict[str, str] = field(default_factory=dict)
    rounds: int | None = None
    seconds: float | None = None
    stolen: float | None = None
    note: str = ""
    table: tuple[tuple[str, ...], ...] = ()


def record_of(
    rows: Sequence[Row],
    rounds: int | None,
    seconds: float | None,
    *,
    stolen: float,
    note: str = "",
    table: Sequence[Sequence[str]] = (),
) -> Record:
    """A run that has just ended here."""
    versions = {"Python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    today = datetime.now(timezone.utc).date().isoformat()
    cells = tuple(map(tuple, table))
    return Record(today, processor(), cores(), tuple(rows), versions, rounds, seconds, stolen, note, cells)


def keep(file: Path, story: str, record: Record) -> None:
    """Put a story's record in the place of its last one; those of other stories stay."""
    records = {name: asdict(each) for name, each in records_in(file).items()} if file.exists() else {}
    records[story] = asdict(record)
    file.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def records_in(file: Path) -> dict[str, Record]:
    """Story -> its record."""
    found = json.loads(file.read_text(encoding="utf-8"))
    return {story: _record(**each) for story, each in found.items()}


def _record(rows: Sequence[dict[str, Any]], table: Sequence[Sequence[str]] = (), **others: Any) -> Record:
    return Record(rows=tuple(Row(**row) for row in rows), table=tuple(map(tuple, table)), **others)


def sentence_of(record: Record) -> str:
    """When, on what and how it was taken."""
    how = f"{record.rounds} rounds" if record.rounds else ""
    how += f" of {record.seconds:g} s" if record.seconds else ""
    stolen = "" if record.stolen is None else f"{record.stolen:.1f} s stolen by the host"
    said = [f"Taken on {record.date}", f"{record.machine}, {record.cores} cores"]
    said += [" ".join(item) for item in record.versions.items()]
    return "; ".join(filter(None, (*said, how, stolen))) + "."


def page_of(record: Record) -> str:
    """A record in Markdown: a sentence on the run, its table if it has one, and that of its rows."""
    head = ["what", "figure", "rounds", "target", "", *(["over the padded loop"] if _padded(record) else [])]
    rows = [head, *(_cells(row, padded=_padded(record)) for row in record.rows)]
    return "\n\n".join(filter(None, (sentence_of(record), record.note, markdown(record.table), markdown(rows))))


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table of cells, its head the first row; nothing without rows."""
    head, *body = rows or [()]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body) if row)


def _padded(record: Record) -> bool:
    return any(row.padded is not None for row in record.rows)


def _cells(row: Row, *, padded: bool) -> list[str]:
    marks = {True: "holds", False: "misses", None: ""}
    more = ["" if row.padded is None else f"{row.padded:.3g}"] if padded else []
    return [row.what, f"{row.figure:.3g}", row.spread, row.target, marks[row.holds], *more]
