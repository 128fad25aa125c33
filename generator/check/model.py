"""A model repository as the rules see it: each model's folder, its config as Triton completes it, its files."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tbgen.generator.check.complete import complete_backend, complete_from_onnx
from tbgen.generator.check.finding import Effect, Finding, Place
from tbgen.generator.check.lines import Lines
from tbgen.generator.check.onnx_file import NotOnnx, OnnxFile, read_onnx
from tbgen.generator.check.python_source import Source, sources_in
from tbgen.generator.releases import Release

CONFIG = "config.pbtxt"
NOT_VERSIONS = ("warmup", "initial_state", "configs")


@dataclass
class Model:
    """One model folder.

    text: config.pbtxt as it is written; None when there is none, which Triton allows for some backends.
    parse_error: why the text is no ModelConfig; `config` then holds only what the folder tells.
    """

    folder: Path
    text: str | None = None
    parse_error: text_format.ParseError | None = None
    config: ModelConfig = field(default_factory=ModelConfig)
    lines: Lines = field(default_factory=lambda: Lines(""))

    @property
    def name(self) -> str:
        """The folder's name, by which Triton and its clients know the model."""
        return self.folder.name

    @cached_property
    def folders(self) -> tuple[str, ...]:
        """The names of the folders inside, sorted."""
        return tuple(sorted(entry.name for entry in self.folder.iterdir() if entry.is_dir()))

    @cached_property
    def versions(self) -> tuple[int, ...]:
        """The versions that Triton loads, by the model's version policy, ascending."""
        there = {version for name in self.folders if (version := version_of(name)) is not None}
        policy = self.config.version_policy
        if policy.HasField("specific"):
            return tuple(sorted(there & set(policy.specific.versions)))
        if policy.HasField("all"):
            return tuple(sorted(there))
        newest = policy.latest.num_versions if policy.HasField("latest") else 1
        return tuple(sorted(sorted(there, reverse=True)[:newest]))

    def version_folder(self, version: int) -> Path:
        """Where Triton looks for the files of a version."""
        return self.folder / str(version)

    @property
    def is_ensemble(self) -> bool:
        """Whether the config wires other models."""
        return self.config.HasField("ensemble_scheduling")

    @cached_property
    def graphs(self) -> dict[int, OnnxFile | NotOnnx]:
        """Version -> the ONNX file's graph, or why it has none. Of ONNX models only; not of versions without a file."""
        if self.config.backend != "onnxruntime":
            return {}
        files = {version: onnx_file(self, version) for version in self.versions}
        return {version: graph_of(file) for version, file in files.items() if file.is_file()}

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """The files of each version of a Python model."""
        if self.config.backend != "python":
            return ()
        return sources_in(map(self.version_folder, self.versions), self.config.default_model_filename)

    @property
    def tensors_known(self) -> bool:
        """Whether inputs and outputs are said, by the config or by a file that can be read."""
        return not self.parse_error and bool(self.completed.input and self.completed.output)

    @cached_property
    def completed(self) -> ModelConfig:
        """The config as Triton completes it from the engine's file."""
        graph = self.graphs.get(self.versions[-1]) if self.versions else None
        return complete_from_onnx(self.config, graph) if isinstance(graph, OnnxFile) else self.config

    def at(self, path: str = "") -> Place:
        """The place of a field of the config."""
        where = Place(f"{self.name}/{CONFIG}", self.lines.at(path) if path else None)
        return where if self.text is not None else Place(self.name)

    def file(self, path: Path, line: int | None = None) -> Place:
        """A place in a file of the model."""
        return Place(f"{self.name}/{path.relative_to(self.folder)}", line)

    def finding(self, effect: Effect, place: Place | str, says: str, mend: str) -> Finding:
        """A finding on this model; a place given as text is a field of its config."""
        return Finding(effect, self.name, self.at(place) if isinstance(place, str) else place, says, mend)

    def refused(self, place: Place | str, says: str, mend: str) -> Finding:
        """Triton does not load the model."""
        return self.finding("refused", place, says, mend)

    def fails(self, place: Place | str, says: str, mend: str) -> Finding:
        """The model loads, and its requests fail or are answered wrongly."""
        return self.finding("fails", place, says, mend)

    def advice(self, place: Place | str, says: str, mend: str) -> Finding:
        """The model works, but not as it was meant to."""
        return self.finding("advice", place, says, mend)


@dataclass
class Repository:
    """The models of one folder, and the release of the Triton that is to load them, if it was said."""

    folder: Path
    release: Release | None
    models: dict[str, Model]

    @cached_property
    def parts(self) -> set[str]:
        """The models that an ensemble calls."""
        return {step.model_name for model in self.models.values() for step in model.config.ensemble_scheduling.step}

    def callers(self, name: str) -> Iterator[Model]:
        """The ensembles that call a model."""
        for model in self.models.values():
            if any(step.model_name == name for step in model.config.ensemble_scheduling.step):
                yield model


def read_repository(folder: Path, release: Release | None, names: Collection[str] | None = None) -> Repository:
    """Every folder of the repository as a model, as Triton takes it, hidden ones too; or those of `names` alone."""
    folders = [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and (names is None or entry.name in names)]
    models = [read_model(entry) for entry in folders]
    return Repository(folder, release, {model.name: model for model in models})


def read_model(folder: Path) -> Model:
    """One model folder; a config that cannot be parsed is kept as its error."""
    file = folder / CONFIG
    model = Model(folder)
    if file.is_file():
        model.text = file.read_text(encoding="utf-8", errors="backslashreplace")
        model.lines = Lines(model.text)
        try:
            text_format.Parse(model.text, model.config)
        except text_format.ParseError as error:
            model.parse_error = error
            model.config = ModelConfig()
    complete_backend(model.config, folder, model.folders)
    return model


def version_of(name: str) -> int | None:
    """The version of a folder's name as Triton reads it: the number it begins with; None when it is no version."""
    if name in NOT_VERSIONS or (len(name) > 1 and name[0] == "0"):
        return None
    found = re.match(r"\s*[+-]?\d+", name)
    return int(found[0]) if found else None


def onnx_file(model: Model, version: int) -> Path:
    """Where NVIDIA's onnxruntime backend looks: the file, or the model.onnx in a folder of that name."""
    file = model.version_folder(version) / (model.config.default_model_filename or "model.onnx")
    return file / "model.onnx" if file.is_dir() else file


def graph_of(file: Path) -> OnnxFile | NotOnnx:
    """The graph of a file, or why there is none."""
    try:
        return read_onnx(file)
    except NotOnnx as error:
        return error
