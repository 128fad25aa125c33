"""The staged models' answers beside those of the library that wrote the checkpoint, before they are published."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tbgen.export.parity.library import Library
from tbgen.export.parity.parity import near_of
from tbgen.export.parity.sentences import gate_texts
from tbgen.export.sources import Source
from tbgen.generator.compare.judge import Judgement, answers_for, expected_answers, judgement, refuse_other_answers
from tbgen.generator.compose import Composition, compose
from tbgen.generator.local.models import LocalModels
from tbgen.generator.local.twin import STANDS_FOR_FILE
from tbgen.generator.models.write import write_models
from tbgen.generator.resolve import ResolvedRequest

STRUCTURAL = ("pair",)  # options without which the task takes other inputs


@dataclass(frozen=True)
class Comparison:
    """What a comparison found, by front model, or why there was none; `note` is what to know of it."""

    judgements: dict[str, Judgement]
    why_not: str = ""
    note: str = ""


NOT_COMPARED = Comparison({}, "answers were not compared with any library's, as asked")


def _plainly(resolved: ResolvedRequest) -> ResolvedRequest:
    """The same models by the checkpoint's own defaults: what a person adds is meant to change answers."""
    request = replace(resolved.request, long_text=None, cache=False, warmup=False, steps="copy")
    structural = {name: value for name, value in resolved.options.items() if name in STRUCTURAL}
    return replace(resolved, request=request, pre=(), post=(), options=structural)


def compare(composition: Composition, folder: Path, repository: Path, on_progress: Callable[[str], None]) -> Comparison:
    """Ask the models in `folder`, or plain ones, what their checkpoint's library is asked. Raises UserError.

    That is where they answer otherwise, in what is to go into `repository`. Models that are not plain are written so
    beside, and these are asked.
    """
    resolved, exported = composition.resolved, composition.exported
    why = _why_not(composition, repository)
    checkpoint = resolved.checkpoint
    if checkpoint is None or why:
        return Comparison({}, why)
    asked_pair = resolved.options.get("pair")
    row = answers_for(composition.task, pair=checkpoint.row.pair if asked_pair is None else bool(asked_pair))
    if row is None:
        reason = f"transformers has no pipeline for {composition.task}: its logits were compared, not its answers"
        return Comparison({}, reason)
    library = Library(checkpoint, max_length=exported.max_length)
    if library.missing:
        return Comparison({}, library.missing)
    on_progress(f"Asking {library.name}")
    texts = gate_texts(None, checkpoint.tokenizer.special_tokens, exported.max_length)
    expected = expected_answers(row, library, texts)
    gate, found = resolved.engine.gate, dict[str, Judgement]()
    if (plain := _plainly(resolved)) != resolved:
        composition, folder = compose(plain, exported), folder / ".plain"
        write_models(composition.models, folder, {})
    with LocalModels(folder) as models:
        for front in composition.fronts:
            on_progress(f"Comparing answers of {front} with those of {library.name}")
            found[front] = judgement(row, library.name, expected, partial(models.infer, front), near=near_of(exported))
            refuse_other_answers(found[front], front, gate.tolerance, gate.agreement)
    notes = [
        library.read_otherwise(texts),
        STANDS_FOR_FILE if resolved.engine.twin and not resolved.engine.here() else "",
    ]
    return Comparison(found, note=". ".join(filter(None, notes)))


def _why_not(composition: Composition, repository: Path) -> str:
    """Why nobody answers for the models but tbgen itself; empty where somebody does."""
    request, source = composition.resolved.request, composition.resolved.source
    engine = composition.resolved.engine
    if composition.resolved.checkpoint is None:
        ready = isinstance(source, Source) and source.kind != "export"
        what = "a ready file has no library" if ready else "an export was compared when it was made"
        words = shlex.join(["tbgen", "verify", request.name, "-r", str(repository), "--source", "CHECKPOINT"])
        return f"{what}; {words} compares the answers"
    if request.build_script or not (engine.here() or engine.twin):
        return f"engine {request.engine} does not run here; tbgen verify compares it where it does"
    if composition.resolved.meaning["task"] not in (None, composition.task):
        return f"no library answers for the task {composition.task!r}"
    return ""
