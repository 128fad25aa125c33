"""The staged models' answers beside those of the library that wrote the checkpoint, before they are published."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tbgen.export.exported import Exported
from tbgen.export.parity.library import Library
from tbgen.export.parity.parity import near_of
from tbgen.export.parity.sentences import gate_texts
from tbgen.export.precision.precision import precision_named
from tbgen.generator.compare.judge import Judgement, answers_for, expected_answers, judgement, refuse_other_answers
from tbgen.generator.engines import ENGINES
from tbgen.generator.local.models import LocalModels
from tbgen.generator.request import Request
from tbgen.generator.resolve import export_task, source_of
from tbgen.generator.steps.plugins import settings_from_words

CHECKPOINTS = ("checkpoint", "state")  # kinds of sources that a library can answer for
STRUCTURAL = ("pair",)  # options without which the task takes other inputs


@dataclass(frozen=True)
class Comparison:
    """What a comparison found, by front model, or why there was none; `note` is what to know of it."""

    judgements: dict[str, Judgement]
    why_not: str = ""
    note: str = ""


NOT_COMPARED = Comparison({}, "answers were not compared with any library's, as asked")


def plain_request(request: Request) -> Request:
    """The same models by the checkpoint's own defaults: what a person adds is meant to change answers."""
    kept = tuple(word for word in request.options if word.partition("=")[0] in STRUCTURAL)
    return replace(request, pre=(), post=(), options=kept, long_text=None, cache=False, warmup=False, steps="copy")


def compare(
    request: Request,
    exported: Exported,
    task: str,
    staged: Callable[[Request], tuple[Path, Sequence[str]]],
    on_progress: Callable[[str], None],
) -> Comparison:
    """Ask the plain models what their checkpoint's library is asked. Raises UserError where the answers are others.

    staged: writes the models of a request, or has them; gives their folder and the front models' names.
    """
    if why := why_not(request, task):
        return Comparison({}, why)
    checkpoint = source_of(request).checkpoint(task=export_task(request), labels=request.labels or None)
    asked_pair = settings_from_words(request.options).get("pair")
    row = answers_for(task, pair=checkpoint.row.pair if asked_pair is None else bool(asked_pair))
    if row is None:
        return Comparison({}, f"transformers has no pipeline for {task}: its logits were compared, not its answers")
    library = Library(checkpoint, max_length=exported.max_length)
    if library.missing:
        return Comparison({}, library.missing)
    on_progress(f"Asking {library.name}")
    texts = gate_texts(None, checkpoint.tokenizer.special_tokens, exported.max_length)
    expected = expected_answers(row, library, texts)
    bounds, found = precision_named(exported.made["precision"]), dict[str, Judgement]()
    folder, fronts = staged(plain_request(request))
    with LocalModels(folder) as models:
        for front in fronts:
            on_progress(f"Comparing answers of {front} with those of {library.name}")
            found[front] = judgement(row, library.name, expected, partial(models.infer, front), near=near_of(exported))
            refuse_other_answers(found[front], front, bounds.tolerance, bounds.agreement)
    return Comparison(found, note=library.read_otherwise(texts))


def why_not(request: Request, task: str) -> str:
    """Why nobody answers for the models but tbgen itself; empty where somebody does."""
    kind, engine = source_of(request).kind, ENGINES[request.engine]
    if kind not in CHECKPOINTS:
        what = "an export was compared when it was made" if kind == "export" else "a ready file has no library"
        return f"{what}; tbgen verify {request.name} --source CHECKPOINT compares the answers"
    if engine.plan or engine.accelerator or request.build_script:
        return f"engine {request.engine} does not run here; tbgen verify compares it where it does"
    if export_task(request) not in (None, task):
        return f"no library answers for the task {task!r}"
    return ""
