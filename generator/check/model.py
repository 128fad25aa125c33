"""A model repository as the rules see it: each model's folder, its config as Triton completes it, its files."""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from google.protobuf import json_format, text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tbgen.backends.plan import Plan
from tbgen.export.exported import specs
from tbgen.export.reading import bytes_from_file
from tbgen.export.tensorrt.profiles import profiles_of
from tbgen.generator.calls import parts_of_ensemble
from tbgen.generator.check.finding import Finding, Place
from tbgen.generator.check.lines import Lines
from tbgen.generator.check.onnx_file import NotOnnx, OnnxFile, OnnxTensor, read_onnx
from tbgen.generator.check.python_source import PythonSource, sources_in
from tbgen.generator.models.config import parse_config, values_from_config
from tbgen.generator.releases import Release
from tbgen.generator.repository import CONFIG, read_record
from tbgen.generator.role import front_names
from tbgen.generator.rules import onnxruntime, tensorrt
from tbgen.generator.rules.core.complete import complete_backend, versions_of
from tbgen.generator.rules.problem import Effect, Problem


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
        return versions_of(self.config, self.folders)

    def version_folder(self, version: int) -> Path:
        """Where Triton looks for the files of a version."""
        return self.folder / str(version)

    def engine_file(self, version: int) -> Path:
        """Where the backend looks for a version's file."""
        if self.config.backend == "onnxruntime":
            return onnxruntime.model_file(self.values, self.version_folder(version))
        return self.version_folder(version) / self.config.default_model_filename

    def engine_files(self, backend: str) -> dict[int, Path]:
        """Version -> the file, of those that are there; of models of this backend alone."""
        if self.config.backend != backend:
            return {}
        files = {version: self.engine_file(version) for version in self.versions}
        return {version: file for version, file in files.items() if file.is_file()}

    @property
    def onnx_files(self) -> list[Path]:
        """The ONNX files of the versions that Triton loads: the engine's, and those that steps run themselves."""
        beside = (file for version in self.versions for file in self.version_folder(version).glob("*.onnx"))
        return sorted({*self.engine_files("onnxruntime").values(), *(file for file in beside if file.is_file())})

    @property
    def is_ensemble(self) -> bool:
        """Whether the config wires other models."""
        return self.config.HasField("ensemble_scheduling")

    @cached_property
    def graphs(self) -> dict[int, OnnxFile | NotOnnx]:
        """Version -> the ONNX file's graph, or why it has none. Of ONNX models only; not of versions without a file."""
        return {version: onnx_or_problem(file) for version, file in self.engine_files("onnxruntime").items()}

    @cached_property
    def plan(self) -> Plan | None:
        """The TensorRT plan, by tbgen's record (a plan opens on a GPU only), as long as it is the one that it wrote."""
        sizes = {file.stat().st_size for file in self.engine_files("tensorrt").values()}
        try:
            export = (read_record(self.folder) or {})["export"]
            inputs, outputs = specs(export["inputs"]), specs(export["outputs"])
            made, same = export["made"], sizes == {export["size"]}
            return Plan(inputs, outputs, tuple(profiles_of(made)), made["tensorrt"]["version"]) if same else None
        except (KeyError, TypeError, AttributeError):
            return None

    @cached_property
    def sources(self) -> tuple[PythonSource, ...]:
        """The files of each version of a Python model."""
        if self.config.backend != "python":
            return ()
        return sources_in(map(self.version_folder, self.versions), self.config.default_model_filename)

    @property
    def tensors_known(self) -> bool:
        """Whether inputs and outputs are said, by the config or by a file that can be read."""
        return not self.parse_error and bool(self.completed.input and self.completed.output)

    @cached_property
    def values(self) -> dict[str, Any]:
        """The config in plain values, as a backend reads it."""
        return values_from_config(self.config)

    @cached_property
    def completed_values(self) -> dict[str, Any]:
        """The plain values as Triton completes them from the engine's file; unchanged where it cannot."""
        values, graph = copy.deepcopy(self.values), self.graphs.get(self.versions[-1]) if self.versions else None
        with suppress(ValueError):  # a rule says it
            if isinstance(graph, OnnxFile) and onnxruntime.lacks_tensors(values):
                onnxruntime.complete_config(values, specs_of(graph.required), specs_of(graph.outputs))
            elif self.plan and not (values["input"] and values["output"]):
                tensorrt.complete_config(values, self.plan)
        return values

    @cached_property
    def completed(self) -> ModelConfig:
        """The config as Triton completes it from the engine's file."""
        if self.completed_values == self.values:
            return self.config
        return json_format.ParseDict(self.completed_values, ModelConfig())

    def at(self, path: str = "") -> Place:
        """The place of a field of the config."""
        where = Place(f"{self.name}/{CONFIG}", self.lines.at(path) if path else None)
        return where if self.text is not None else Place(self.name)

    def file(self, path: Path, line: int | None = None) -> Place:
        """A place in a file of the model."""
        return Place(f"{self.name}/{os.path.relpath(path, self.folder)}", line)  # a name may lead out of the folder

    def found(self, problems: Iterable[Problem]) -> Iterator[Finding]:
        """What a rulebook finds, as findings on this model."""
        for problem in problems:
            yield self.finding(problem.effect, problem.where, problem.says, problem.mend)

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
    def fronts(self) -> list[str]:
        """The models that clients ask."""
        return front_names({name: model.values for name, model in self.models.items()}, self.folder)

    def callers(self, name: str) -> Iterator[Model]:
        """The ensembles that call a model."""
        for model in self.models.values():
            if name in parts_of_ensemble(model.values):
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
        model.text = bytes_from_file(file).decode("utf-8", errors="backslashreplace")
        model.lines = Lines(model.text)
        try:
            parse_config(model.text, model.config)
        except text_format.ParseError as error:
            model.parse_error = error
            model.config = ModelConfig()
    complete_backend(model.config, folder, model.folders)
    return model


def specs_of(tensors: Mapping[str, OnnxTensor]) -> onnxruntime.Specs:
    """A graph's tensors as the backend reads them."""
    return {name: (tensor.data_type, list(tensor.shape)) for name, tensor in tensors.items()}


def onnx_or_problem(file: Path) -> OnnxFile | NotOnnx:
    """The graph of a file, or why there is none."""
    try:
        return read_onnx(file)
    except NotOnnx as error:
        return error
