"""`tbgen verify`: the engine file and each served graph held against PyTorch on real sentences."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tbgen.export.checkpoint.checkpoint import Checkpoint
from tbgen.export.errors import NoSuchName, UserError
from tbgen.export.exported import Exported, exported_from_record
from tbgen.export.layout import TOKENIZER_JSON
from tbgen.export.onnx.export import traced_like
from tbgen.export.parity.library import Library, refuse_other_ids
from tbgen.export.parity.parity import Encoder, Parity, near_of, parity
from tbgen.export.precision.drift import advice
from tbgen.export.precision.precision import precision_named
from tbgen.export.ready.onnx_file import export_from_onnx
from tbgen.export.run import Run, onnx_run
from tbgen.export.scratch import scratch
from tbgen.export.sources import KINDS, Source
from tbgen.export.tasks.table import exported_as, graph_of_export
from tbgen.export.tokenizers.tokenizer import tokenizer_from_file, written_tokens
from tbgen.generator.compare.comparison import STRUCTURAL
from tbgen.generator.compare.judge import answers_for
from tbgen.generator.compare.library_answers import Answers
from tbgen.generator.engines.engine import Engine
from tbgen.generator.engines.table import engine_of_settings
from tbgen.generator.graphs import EACH_GRAPH
from tbgen.generator.presets import PRESETS, source_named
from tbgen.generator.repository import refuse_without_models
from tbgen.generator.role import ENGINE, Role, WrittenModel, written_models
from tbgen.generator.steps.plugins import settings_from_words
from tbgen.server.bench.gpu import GpuUse
from tbgen.server.client.connection import Connection
from tbgen.server.verify.answers import answers_parity
from tbgen.server.verify.steps import answerable, reference_steps, steps_parity

_READY = {suffix for kind in ("onnx", "plan") for suffix in KINDS[kind].suffixes}
CountProgress = Callable[[str, int, int], None]  # what is compared, how many texts of how many


@dataclass(frozen=True)
class Verification:
    """One road from text to answer beside PyTorch, and the bounds that it is held to.

    max_abs, mean_abs: of logits for an engine file, of the answers' numbers for a served graph. padding_abs: the same
    text alone and beside a long one. agreement: the share of equal decisions (labels, words, borders, counts).
    """

    road: str
    parity: Parity
    tolerance: float
    least_agreement: float
    gpu: GpuUse | None = None

    @property
    def holds(self) -> bool:
        """Whether the road is as good as its precision must be; NaN never is."""
        return self.parity.holds(self.tolerance, self.least_agreement)


@dataclass(frozen=True)
class Scaffold:
    """The models of one name in a repository: the engine, the front models, and the export behind them."""

    name: str
    repository: Path
    engine: str
    fronts: tuple[str, ...]
    exported: Exported
    settings: Mapping[str, Any]

    @property
    def row(self) -> Engine:
        return engine_of_settings(self.settings)

    @property
    def stood_for(self) -> bool:
        """Whether its file runs on GPUs alone, and there is none here: its twin answers."""
        return self.row.twin and not self.row.here()

    @property
    def special_tokens(self) -> list[str]:
        """The tokens that have a role, as they are written."""
        return written_tokens(tokenizer_from_file(self.exported.tokenizer), self.exported.special)


def scaffold_named(name: str, repository: Path) -> Scaffold:
    """The models that scaffold wrote under `name`, or around the front model `name`. Raises UserError."""
    written = written_models(repository)
    refuse_without_models(repository, written)
    homes = _homes_of_engines(written.values(), asked=name)
    graphs = [model for model in written.values() if model.role.graph in EACH_GRAPH]
    asked = [engine for engine, home in sorted(homes.items()) if name in (engine, home.role.name)]
    asked += [
        _engine_of(model.role) for model in graphs if name == model.folder.name and _engine_of(model.role) in homes
    ]
    if not asked:
        raise NoSuchName("name", name, sorted({model.role.name for model in written.values()}))
    if len(asked) > 1:
        raise UserError(f"{name!r} has several engines, choose one: {', '.join(asked)}")
    home = homes[asked[0]]
    fronts = sorted(
        (model for model in graphs if _engine_of(model.role) == asked[0]),
        key=lambda model: EACH_GRAPH.index(str(model.role.graph)),
    )
    names = [front.folder.name for front in fronts]
    own = (model for model in written.values() if model.role.name == home.role.name)
    tokenizer = next(filter(Path.is_file, (model.folder / "1" / TOKENIZER_JSON for model in own)), None)
    file = _file_of_engine(home)
    if not file.is_file() or tokenizer is None:
        source = [] if home.role.name in PRESETS else ["--source", "CHECKPOINT"]
        said = {f"--{name}": home.settings.get(name) for name in ("engine", "device", "graph")}
        asked = [str(word) for flag, value in said.items() if value for word in (flag, value)]
        words = shlex.join(["tbgen", "scaffold", home.role.name, *source, *asked, "-r", str(repository)])
        what = "tokenizer" if file.is_file() else "engine"
        raise UserError(f"no {what} file in {file.parent}; write it with: {words}")
    return Scaffold(
        home.role.name,
        repository,
        asked[0],
        (name,) if name in names else tuple(names),
        replace(_export_of(home), model=file, tokenizer=tokenizer),
        home.settings,
    )


def _export_of(home: WrittenModel) -> Exported:
    """The export that a model was made of, by its record. Raises UserError for a record that says less."""
    try:
        return exported_from_record(home.folder / "1", home.export)
    except KeyError as error:
        raise UserError(
            f"the record of {home.folder.name} does not say {error.args[0]!r} of what was exported; scaffold it anew"
        ) from error


def _homes_of_engines(models: Iterable[WrittenModel], *, asked: str) -> dict[str, WrittenModel]:
    """Engine -> the model that has its file, the one that is asked for before others; one without it if none has."""
    homes = [model for model in models if model.role.has_engine_file]
    homes.sort(key=lambda home: (not _file_of_engine(home).is_file(), home.folder.name != asked))
    return {_engine_of(home.role): home for home in reversed(homes)}


def _engine_of(role: Role) -> str:
    """The name of the model that is the engine of a role's."""
    return Role(role.name, ENGINE, role.engine).model


def _file_of_engine(home: WrittenModel) -> Path:
    return home.folder / "1" / engine_of_settings(home.settings).file


@dataclass(frozen=True)
class Reference:
    """What the models are held against: a checkpoint in its library, or an ONNX file; `note` is what to say of it."""

    run: Run
    library: Library | None = None
    note: str = ""


class CannotRun(UserError):
    """The engine file itself cannot be run on this machine."""


def reference_of(scaffold: Scaffold, named: Mapping[str, Any], task: str | None = None) -> Reference:
    """The source that is named (fields of Source, place as `source`), loaded; by default what the models were made of.

    Raises UserError for another checkpoint than theirs, as far as that can be told.
    """
    ready = next((name for name in scaffold.exported.made.source if Path(name).suffix in _READY), None)
    if named.get("source") is None and ready:
        if scaffold.exported.made.tensorrt:
            raise UserError(
                f"{scaffold.engine} was made of the plan {ready}; name its checkpoint, or the ONNX file behind it, "
                "with --source"
            )
        note = (
            f"{scaffold.engine} beside its own file: {scaffold.name} was made of a ready one ({ready}); --source names "
        )
        return Reference(onnx_run(scaffold.exported.model), note=note + "its checkpoint")
    if named.get("source") is None and scaffold.name not in PRESETS:
        raise UserError(f"where the checkpoint of {scaffold.name!r} lies stands in no record: name it with --source")
    place = str(named.get("source") or source_named(scaffold.name))
    source = Source(place, **{key: value for key, value in named.items() if key != "source"})
    if source.kind == "onnx":
        return _reference_from_onnx(scaffold, source)
    task = exported_as(task) or scaffold.exported.task
    checkpoint = source.checkpoint(task=task, labels=scaffold.exported.labels or None)
    if not ready and checkpoint.source != dict(scaffold.exported.made.source):
        raise UserError(
            f"{checkpoint.folder} is not the checkpoint that {scaffold.engine} was made from; name that with --source"
        )
    library = Library(checkpoint, max_length=scaffold.exported.max_length)
    return Reference(library.run(), library)


def _reference_from_onnx(scaffold: Scaffold, source: Source) -> Reference:
    """An ONNX file as the reference, with its own names for tensors. Raises UserError."""
    with scratch() as folder:
        taken = export_from_onnx(
            Path(source.place),
            source.companions,
            folder / "taken",
            task=scaffold.exported.task,
            labels=scaffold.exported.labels or None,
            rename=source.rename,
        )
        run = onnx_run(taken.model)
    return Reference(lambda tensors: run({name: tensors[name].astype(i.dtype) for name, i in taken.inputs.items()}))


def verify_engine(scaffold: Scaffold, texts: Sequence[str], reference: Reference) -> Verification:
    """The engine file, on logits, run as its row says.

    Raises CannotRun for one that this machine cannot run, having no GPU.
    """
    exported = scaffold.exported
    what = "twin, on the CPU" if scaffold.stood_for else scaffold.row.format.rpartition(" ")[2]  # the file, the plan
    try:
        run = scaffold.row.run(exported)
    except UserError as error:
        if scaffold.row.here():
            raise
        raise CannotRun(
            f"The {what} of {scaffold.engine} itself was not run, only what is served: {error.message}"
        ) from error
    encoder = Encoder(exported)
    if reference.library:
        refuse_other_ids(reference.library, encoder.ids, texts, exported.tokenizer)
    found = parity(reference.run, run, encoder, texts, exported)
    return _compared(f"{scaffold.engine} ({what})", found, scaffold)


def engine_advice(scaffold: Scaffold, texts: Sequence[str], reference: Reference) -> str:
    """Where an engine file that does not hold first drifts, and what keeps it; empty where that cannot be told.

    It takes minutes: a caller shows what was found before it asks.
    """
    made = scaffold.exported.made
    if reference.library is None or made.tensorrt or made.engine:
        return ""
    return drift_advice(reference.library.checkpoint, scaffold.exported, texts, reference.run)


def drift_advice(checkpoint: Checkpoint, exported: Exported, texts: Sequence[str], reference: Run) -> str:
    """Where a file that was converted first leaves the FP32 graph of its checkpoint, and what mends it."""
    precision = exported.made.precision
    if precision == "fp32":
        return ""
    with scratch() as folder:
        traced = traced_like(checkpoint, exported, folder)
        return advice(traced, exported, texts, reference, precision_named(precision))


def verify_front(
    scaffold: Scaffold,
    front: str,
    texts: Sequence[str],
    connection: Connection,
    reference: Reference,
    on_progress: CountProgress = lambda *_: None,
) -> Verification:
    """A served graph: each text alone, then beside the longest, against the library that wrote the checkpoint.

    Where no library answers (a ready file, a task, steps or options of one's own) it is held against the same steps
    around the reference. Raises UserError, also without the library.
    """
    row = _library_row(scaffold)
    tell = partial(on_progress, front)
    if reference.library and row:
        return _compared(
            front,
            answers_parity(front, texts, connection, row, reference.library, near_of(scaffold.exported), tell),
            scaffold,
        )
    steps = reference_steps(scaffold.repository, front, scaffold.engine, scaffold.exported, reference.run)
    return _compared(
        front, steps_parity(steps, front, answerable(texts, scaffold.exported), connection, tell), scaffold
    )


def _library_row(scaffold: Scaffold) -> Answers | None:
    """How the answers of plain models are held against a library; None for models that a person changed."""
    settings = scaffold.settings
    options = settings_from_words(settings.get("options", ()))
    changed = settings.get("pre") or settings.get("post") or settings.get("long_text") or options.keys() - {*STRUCTURAL}
    pair = bool(options.get("pair", graph_of_export(scaffold.exported).pair))
    return None if changed else answers_for(settings["task"], pair=pair)


def _compared(road: str, parity: Parity, scaffold: Scaffold) -> Verification:
    gate = scaffold.row.gate
    return Verification(road, parity, gate.tolerance, gate.agreement)
