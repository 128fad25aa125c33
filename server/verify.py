"""`tbgen verify`: the engine file and each served graph held against PyTorch on real sentences."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tbgen.backends.model import (
    bytes_from_text,
    chain_on_request,
    chain_tensors,
    listing,
    run_steps,
    step_from_file,
    text_from_bytes,
)
from tbgen.export.checkpoint import Checkpoint
from tbgen.export.drift import advice
from tbgen.export.errors import NoSuchName, UserError
from tbgen.export.exported import Exported, exported_from_record
from tbgen.export.onnx import traced_like
from tbgen.export.parity import Encoder, Parity, engine_run, figure, parity, torch_run
from tbgen.export.precision import precision_named
from tbgen.export.ready import export_from_onnx
from tbgen.export.run import Run, onnx_run
from tbgen.export.sources import KINDS, Source
from tbgen.export.tokenizer import tokenizer_from_file
from tbgen.generator.config import config_from_text
from tbgen.generator.engines import EACH_GRAPH, ENGINES
from tbgen.generator.graph import ENGINE_STEPS
from tbgen.generator.presets import source_named
from tbgen.generator.repository import read_record, refuse_without_models
from tbgen.server.connection import Connection

READY = {suffix for kind in ("onnx", "plan") for suffix in KINDS[kind].suffixes}
SHORT = {"question": 16, "candidate_labels": 16}  # characters of what is never cut to fit a model
Tensors = dict[str, np.ndarray]
Progress = Callable[[str, int, int], None]  # what is compared, how many texts of how many


@dataclass(frozen=True)
class Comparison:
    """One road from text to answer beside PyTorch, and the bounds that it is held to.

    max_abs, mean_abs: of logits for an engine file, of the answers' numbers for a served graph. padding_abs: the same
    text alone and beside a long one. agreement: the share of equal decisions (labels, words, borders, counts).
    """

    road: str
    parity: Parity
    tolerance: float
    least_agreement: float
    advice: str = ""  # where a converted file that does not hold first drifts, and what keeps it

    @property
    def holds(self) -> bool:
        """Whether the road is as good as its precision must be; NaN never is."""
        found = self.parity
        close = found.max_abs <= self.tolerance and found.padding_abs <= self.tolerance
        return close and found.agreement >= self.least_agreement


@dataclass(frozen=True)
class Scaffold:
    """The models of one name in a repository: the engine, the front models, and the export behind them."""

    name: str
    repository: Path
    engine: str
    fronts: tuple[str, ...]
    exported: Exported


def scaffold_named(name: str, repository: Path) -> Scaffold:
    """The models that scaffold wrote under `name`, or around the front model `name`. Raises UserError."""
    records = {folder.name: read_record(folder) for folder in sorted(repository.glob("*")) if folder.is_dir()}
    written = {model: record for model, record in records.items() if record}
    refuse_without_models(repository, written)
    owners = {model: f"{record['name']}_{record['settings']['engine']}" for model, record in written.items()}
    # engine -> the model that has its file: its own, or that of the graph which runs it itself
    homes = {
        owners[model]: model
        for model in sorted(written, reverse=True)
        if model in (owners[model], f"{owners[model]}_single")
    }
    chosen = [engine for engine, home in homes.items() if name in (engine, *fronts_of(engine), written[home]["name"])]
    if not chosen:
        raise NoSuchName("name", name, sorted({record["name"] for record in written.values()}))
    if len(chosen) > 1:
        raise UserError(f"{name!r} has several engines, choose one: {', '.join(chosen)}")
    engine = chosen[0]
    home = homes[engine]
    fronts = [front for front in fronts_of(engine) if front in written]
    exported = exported_from_record(repository / home / "1", whole_export(written[home], repository / home))
    file = repository / home / "1" / ENGINES[written[home]["settings"]["engine"]].file
    own = (model for model, record in written.items() if record["name"] == written[home]["name"])
    tokenizer = next(filter(Path.is_file, (repository / model / "1" / "tokenizer.json" for model in own)))
    return Scaffold(
        written[home]["name"],
        repository,
        engine,
        tuple(front for front in fronts if name not in fronts or name == front),
        replace(exported, model=file, tokenizer=tokenizer),
    )


def fronts_of(engine: str) -> list[str]:
    """The names that front models of an engine have."""
    return [f"{engine}_{graph}" for graph in EACH_GRAPH]


def whole_export(record: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The export record within a model's record, with what a repository leaves out of it."""
    if not any((folder / "1").glob("*")):
        raise UserError(f"no engine file in {folder / '1'}; write it with: tbgen scaffold {record['name']}")
    return {**record["export"], "parity": {}, "made": {**record["export"]["made"], "source": record["source"]}}


@dataclass(frozen=True)
class Reference:
    """What the models are held against: PyTorch on a checkpoint, or an ONNX file; `note` is what to say of it."""

    run: Run
    checkpoint: Checkpoint | None = None
    note: str = ""


class CannotRun(UserError):
    """The engine file itself cannot be run on this machine."""


def reference_of(scaffold: Scaffold, named: Mapping[str, Any], task: str | None = None) -> Reference:
    """The source that is named (fields of Source, place as `source`), loaded; by default what the models were made of.

    Raises UserError for another checkpoint than theirs, as far as that can be told.
    """
    ready = ready_file(scaffold)
    if named.get("source") is None and ready:
        if scaffold.exported.model.suffix != ".onnx":
            raise UserError(
                f"{scaffold.engine} was made of the plan {ready}; name its checkpoint, or the ONNX file behind it, "
                "with --source"
            )
        note = (
            f"{scaffold.engine} beside its own file: {scaffold.name} was made of a ready one ({ready}); --source names "
        )
        return Reference(onnx_run(scaffold.exported.model), note=note + "its checkpoint")
    place = named.get("source") or str(source_named(scaffold.name))
    source = Source(place, **{key: value for key, value in named.items() if key != "source"})
    if source.kind == "onnx":
        return reference_from_onnx(scaffold, source)
    checkpoint = source.checkpoint(task=task or scaffold.exported.task, labels=scaffold.exported.labels or None)
    if not ready:
        check_source(checkpoint, scaffold)
    return Reference(torch_run(checkpoint), checkpoint)


def ready_file(scaffold: Scaffold) -> str | None:
    """The name of the ready engine file that models were made of; None for those of a checkpoint."""
    return next((name for name in scaffold.exported.made["source"] if Path(name).suffix in READY), None)


def reference_from_onnx(scaffold: Scaffold, source: Source) -> Reference:
    """An ONNX file as the reference, with its own names for tensors. Raises UserError."""
    with tempfile.TemporaryDirectory() as folder:
        taken = export_from_onnx(
            Path(source.place),
            source.companions,
            Path(folder, "taken"),
            task=scaffold.exported.task,
            labels=scaffold.exported.labels or None,
            rename=source.rename,
        )
        run = onnx_run(taken.model)
    return Reference(lambda tensors: run({name: tensors[name].astype(i.dtype) for name, i in taken.inputs.items()}))


def check_source(checkpoint: Checkpoint, scaffold: Scaffold) -> None:
    """Raise UserError when the checkpoint is not the one that the models were made from."""
    if checkpoint.source != dict(scaffold.exported.made["source"]):
        raise UserError(
            f"{checkpoint.folder} is not the checkpoint that {scaffold.engine} was made from; name that with --source"
        )


def verify_engine(scaffold: Scaffold, texts: Sequence[str], reference: Reference) -> Comparison:
    """The engine file, on logits: an ONNX file by ONNX Runtime, a plan by TensorRT on the GPU.

    Raises CannotRun for a plan that this machine cannot run.
    """
    exported = scaffold.exported
    what = "plan" if exported.model.suffix == ".plan" else "file"
    try:
        run = engine_run(exported)
    except UserError as error:
        if what == "file":
            raise
        raise CannotRun(
            f"The plan of {scaffold.engine} itself was not run, only what is served: {error.message}"
        ) from error
    found = parity(reference.run, run, Encoder(exported), texts, exported)
    row = compared(f"{scaffold.engine} ({what})", found, scaffold)
    if row.holds or reference.checkpoint is None or what == "plan":
        return row
    return replace(row, advice=drift_advice(reference.checkpoint, exported, texts, reference.run))


def drift_advice(checkpoint: Checkpoint, exported: Exported, texts: Sequence[str], reference: Run) -> str:
    """Where a file that was converted first leaves the FP32 graph of its checkpoint, and what mends it."""
    precision = exported.made["precision"]
    if precision == "fp32":
        return ""
    with tempfile.TemporaryDirectory() as folder:
        traced = traced_like(checkpoint, exported, Path(folder))
        found = advice(traced, exported, texts, reference, precision_named(precision))
    return f"{found}; then scaffold that folder" if "tbgen export" in found else found


def verify_front(
    scaffold: Scaffold,
    front: str,
    texts: Sequence[str],
    connection: Connection,
    reference: Run,
    on_progress: Progress = lambda *_: None,
) -> Comparison:
    """A served graph: each text alone, then beside the longest, against the same steps around PyTorch."""
    steps = reference_steps(scaffold, front, reference)
    inputs, outputs = chain_tensors(steps)
    outputs = {name: spec for name, spec in outputs.items() if name not in chain_on_request(steps)}
    texts = answerable(texts, scaffold.exported)
    longest = max(texts, key=len)
    errors, paddings, decisions, flips = [], [], 0, 0
    for number, text in enumerate(texts, start=1):
        on_progress(front, number, len(texts))
        expected = run_steps(steps, items_of(inputs, [text]))
        alone = decoded(connection.infer(front, encoded(items_of(inputs, [text]))), outputs)
        beside = decoded(connection.infer(front, encoded(items_of(inputs, [text, longest]))), outputs)
        for name in outputs:
            want, have, again = expected[name], alone[name], first_item(beside[name], alone[name])
            if want.dtype.kind == "f":
                errors.append(distance(want, have))
                paddings.append(distance(have, again))
            else:
                decisions += 1
                flips += not np.array_equal(want, have)
                paddings.append(np.zeros(1) if np.array_equal(have, again) else np.full(1, np.inf))
    found = np.concatenate(errors) if errors else np.zeros(1)
    parity = Parity(
        texts=len(texts),
        max_abs=figure(float(found.max())),
        mean_abs=figure(float(found.mean())),
        decisions=decisions,
        flips=flips,
        padding_abs=figure(float(max(each.max() for each in paddings))),
    )
    return compared(front, parity, scaffold)


def compared(road: str, parity: Parity, scaffold: Scaffold) -> Comparison:
    """A comparison with the bounds of the engine's precision."""
    precision = precision_named(scaffold.exported.made["precision"])
    return Comparison(road, parity, precision.tolerance, precision.agreement)


def reference_steps(scaffold: Scaffold, front: str, reference: Run) -> list[Any]:
    """The steps that `front` runs, from its own folders, with PyTorch in the engine's place."""
    repository = scaffold.repository
    engine = ReferenceEngine(scaffold.exported, reference)
    if front.endswith(("_bls", "_single")):
        return [engine if step is None else step for step in steps_but_engine(repository / front / "1")]
    config = (repository / front / "config.pbtxt").read_text(encoding="utf-8")
    before, after = (part for part in ensemble_parts(config) if part != scaffold.engine)
    return [*steps_but_engine(repository / before / "1"), engine, *steps_but_engine(repository / after / "1")]


def ensemble_parts(config: str) -> list[str]:
    """The models of an ensemble, in order."""
    return [step.model_name for step in config_from_text(config).ensemble_scheduling.step]


def steps_but_engine(folder: Path) -> Iterator[Any]:
    """The steps of a version folder, None for the BLS call."""
    for row in listing(folder)["steps"]:
        engine = row["class"] in ENGINE_STEPS
        yield None if engine else step_from_file(folder / row["file"], row["class"])(folder, **row["settings"])


class ReferenceEngine:
    """PyTorch as a step, with the engine's tensors."""

    def __init__(self, exported: Exported, reference: Run) -> None:
        self.inputs: dict[str, Any] = {name: ("", []) for name in exported.inputs}
        self.outputs: dict[str, Any] = {name: ("", []) for name in exported.outputs}
        self.reference = reference

    def __call__(self, **tensors: np.ndarray) -> Tensors:
        return self.reference(tensors)


def answerable(texts: Sequence[str], exported: Exported) -> Sequence[str]:
    """The texts, for fill-mask with a mask in front, where it is read however long the text."""
    if exported.task != "fill-mask":
        return texts
    mask = tokenizer_from_file(exported.tokenizer).id_to_token(exported.special["mask"])
    return [f"{mask} {text}" for text in texts]


def items_of(inputs: Mapping[str, Any], texts: Iterable[str]) -> Tensors:
    """The front model's inputs for texts: a second input, or a list of texts, gets the text's first half too."""
    columns: dict[str, list[list[str]]] = {name: [] for name in inputs}
    for text in texts:
        for number, (name, (_, dims)) in enumerate(inputs.items()):
            whole = text[: SHORT.get(name)]
            half = whole[: len(whole) // 2 + 1]
            columns[name].append([half, whole] if list(dims) == [-1] else [half if number or name in SHORT else whole])
    return {name: np.array(rows, dtype=object) for name, rows in columns.items()}


def encoded(tensors: Tensors) -> Tensors:
    """Arrays of str as arrays of UTF-8 bytes."""
    return {name: bytes_from_text(array) for name, array in tensors.items()}


def decoded(answer: Mapping[str, np.ndarray], outputs: Mapping[str, Any]) -> Tensors:
    """A server's answer with its text as str."""
    text = {name for name, (data_type, _) in outputs.items() if data_type == "TYPE_STRING"}
    return {name: text_from_bytes(name, answer[name]) if name in text else answer[name] for name in outputs}


def first_item(array: np.ndarray, like: np.ndarray) -> np.ndarray:
    """The first item of two, cut to the shape that it has alone: answers of unequal number are filled up."""
    return array[(slice(0, 1), *(slice(0, size) for size in like.shape[1:]))]


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Absolute differences as a flat array, never empty; infinite where the shapes differ or there is a NaN."""
    if a.shape != b.shape:
        return np.full(1, np.inf)
    difference = np.nan_to_num(np.abs(a.astype(np.float64) - b).ravel(), nan=np.inf)
    return difference if difference.size else np.zeros(1)
