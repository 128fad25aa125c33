"""docs/explanation/fidelity.md, written from what a run of the whole table found."""

from __future__ import annotations

import platform
import textwrap
from collections.abc import Iterable, Mapping
from importlib.metadata import version

from tbgen.export.families import FAMILIES
from tbgen.export.layout import LAYOUTS
from tests.fidelity.cases import CASES
from tests.fidelity.cells import Cell
from tests.fidelity.made import MOST
from tests.fidelity.measure import NEAR, TOLERANCE, Found
from tests.fidelity.texts import NAMES

Results = Mapping[Cell, Mapping[str, Found]]  # cell -> graph -> what was found
LIBRARIES = ("torch", "transformers", "tokenizers", "sentence-transformers", "onnxruntime", "numpy")

HEAD = """# Served answers beside the libraries'

Written by `make fidelity`: {cells} model repositories, scaffolded from checkpoints that transformers and
sentence-transformers saved, and what their graphs answer to raw text beside what the libraries answer to it.

**{answers:,} answers, {decisions:,} decisions: {others:,} decided otherwise; the largest difference is {largest:.0e}.**

- **Checkpoints**: each family's own tokenizer and model class, 2 layers of 32, {most} tokens at most; vocabularies
  that know a part of the texts; all weights and biases widened at random, so that answers differ between texts and
  classes.
- **Texts**: {texts}, each in a request of its own and with others in one: {names}.
- **Graphs**: ensemble, BLS and single where the task has them, from the files that Triton loads, run in one process;
  those of {triton} on a real Triton too, over HTTP and gRPC with NVIDIA's clients.
- **Numbers**: the largest difference over all texts and graphs, over the largest number of its answer where that is
  above 1. {tolerance:g} is allowed.
- **Decisions**: which of two neighbours in the library's order comes first; of token-classification, a text's whole
  list of entities. Those that the library takes by less than {near:g} are as good as even, and not counted.
- **Libraries**: {versions}; Python {python}.
"""
TABLE = """
## Largest differences

{layouts}; a dash where there is no packed layout.

"""
TRITON = """
## On a real Triton

The largest difference of all graphs over both protocols, packed.

"""
COUNTS = """
## Decisions

| task | held against | answers compared | decisions counted | too near to call | decided otherwise |
|---|---|---|---|---|---|
"""
UNCOVERED = """
## What is not in it, and why

- **Trained weights and whole vocabularies**: no checkpoint is downloaded by a test. `tbgen scaffold` holds each
  checkpoint's answers against its library's before it publishes them ([tasks.md](../reference/tasks.md)).
- **FP16, INT8, TensorRT, GPUs**: they round, within the bounds of [export.md](export.md).
- **Options, request parameters, prompts, and other ways with long texts** than the defaults: `tests/backends/`.
- **Modules of sentence-transformers** other than those that its classes write by themselves:
  `tests/backends/test_sentence_folders.py`.
- **A blank context** of question-answering, which is refused here. transformers 5 has no pipeline for the task, so its
  model is held against the rule of [tasks.md](../reference/tasks.md).
- **An empty text of zero-shot-classification**, which the pipeline refuses; it is answered here.
- **A text without a mask** of fill-mask, which both refuse.
- **Tokenizers without a tokenizer.json**, and folders of older versions of the libraries: `tests/export/`.
"""
DIFFERENT = """
## Where answers differ

| cell | graph | largest difference | decided otherwise | texts |
|---|---|---|---|---|
"""


def page(results: Results, on_triton: Results) -> str:
    """The page's text. on_triton: what was found there; its graphs have the protocol in their names."""
    found = {cell: total(graphs.values()) for cell, graphs in results.items()}
    served = {cell: total(graphs.values()) for cell, graphs in on_triton.items()}
    every = total(found.values())
    head = HEAD.format(
        cells=len(results),
        answers=every.items,
        decisions=every.decisions,
        others=every.others,
        largest=every.largest,
        most=MOST,
        texts=len(NAMES),
        names=", ".join(NAMES),
        triton=", ".join(dict.fromkeys(cell.family for cell in on_triton)) or "no family",
        tolerance=TOLERANCE,
        near=NEAR,
        versions=", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        python=platform.python_version(),
    )
    rows = [["task", "largest difference", "answers compared"], ["---"] * 3]
    rows += [[cell.case, f"{each.largest:.0e}", f"{each.items:,}"] for cell, each in served.items()]
    differences = TABLE.format(layouts=" / ".join(LAYOUTS)) + table(found) + TRITON + lines(rows)
    return wrapped(head) + differing([*results.items(), *on_triton.items()]) + differences + counts(found) + UNCOVERED


def wrapped(text: str) -> str:
    """A text whose lines are no longer than this project's."""
    return "".join(
        textwrap.fill(line, 120, subsequent_indent="  ", break_on_hyphens=False) + "\n" for line in text.splitlines()
    )


def total(found: Iterable[Found]) -> Found:
    """Several findings as one."""
    return sum(found, Found())


def table(found: Mapping[Cell, Found]) -> str:
    """Families by cases: the largest difference in each layout."""
    rows = [["task", *FAMILIES], ["---"] * (len(FAMILIES) + 1)]
    for case in CASES:
        cells = [[found.get(Cell(family, case, layout)) for layout in LAYOUTS] for family in FAMILIES]
        rows.append([case, *(" / ".join(f"{each.largest:.0e}" if each else "-" for each in pair) for pair in cells)])
    return lines(rows)


def counts(found: Mapping[Cell, Found]) -> str:
    """What was decided, by case and in all."""
    rows = []
    for case, row in CASES.items():
        held = f"`{row.library}`" if "(" in row.library else row.library
        rows.append([case, held, *numbers(total(each for cell, each in found.items() if cell.case == case))])
    return COUNTS + lines([*rows, ["all", "", *numbers(total(found.values()))]])


def numbers(found: Found) -> list[str]:
    """How many answers and decisions there were."""
    return [f"{number:,}" for number in (found.items, found.decisions, found.near, found.others)]


def differing(results: Iterable[tuple[Cell, Mapping[str, Found]]]) -> str:
    """The cells that are not the library's; nothing where all are."""
    rows = [
        [str(cell), graph, f"{found.largest:.2g}", str(found.others), "; ".join(dict.fromkeys(found.worst))]
        for cell, graphs in results
        for graph, found in graphs.items()
        if not found.holds
    ]
    return DIFFERENT + lines(rows) if rows else ""


def lines(rows: Iterable[Iterable[str]]) -> str:
    """Rows of a Markdown table."""
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
