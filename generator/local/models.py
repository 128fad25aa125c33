"""A model repository without Triton: its very files, ensembles' wiring and BLS calls included, run in this process."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import numpy as np
from google.protobuf import json_format

from tbgen.export.errors import MissingExtra, NoSuchName, UserError, require
from tbgen.export.provenance import ONNX_FILE
from tbgen.export.run import Tensors
from tbgen.generator.calls import configs_in, refuse_circle
from tbgen.generator.engines.table import ENGINES
from tbgen.generator.graphs import EACH_GRAPH
from tbgen.generator.local import backend_utils as utils
from tbgen.generator.local.backend_requests import InferenceRequest, InferenceResponse, TritonError
from tbgen.generator.local.backend_tensors import Tensor, array_as_sent
from tbgen.generator.local.model import (
    LoadedModel,
    Refusal,
    check_request,
    load_model,
    model_config,
    reshaped,
    version_folder,
)
from tbgen.generator.local.twin import runnable_folder
from tbgen.generator.models.config import NO_TENSORS, ModelConfig
from tbgen.generator.repository import CONFIG, refuse_empty_repository
from tbgen.generator.role import front_names, written_models
from tbgen.generator.steps.failure import failure

_EXTRAS = {"onnxruntime": "onnx", "onnx": "onnx", "tensorrt": "tensorrt"}  # of what engines import


class _NotHere(UserError):
    """A model cannot be asked here, whatever its files hold."""


class LocalModels:
    """The models of a repository, each loaded when it is first asked; a context manager with a Connection's methods.

    What a model raises flies out of `infer` as it is, for a debugger to catch.
    """

    def __init__(self, repository: Path) -> None:
        refuse_empty_repository(repository)
        self.repository = repository.resolve()
        self.module = utils.module_for(self.call)
        self.configs: dict[str, ModelConfig] = {}
        self.loaded: dict[tuple[str, int], LoadedModel] = {}
        self.loading = threading.RLock()
        self.scratch = ExitStack()
        self.stood_for: list[str] = []  # models whose file's twin answers

    def __enter__(self) -> LocalModels:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for model in self.loaded.values():
            model.close()
        self.loaded.clear()
        self.scratch.close()

    def ready(self, model: str) -> bool:
        """Whether the repository has the model."""
        return (self.repository / model / CONFIG).is_file()

    def states(self) -> dict[str, str]:
        """All models of the repository: name -> "READY"."""
        return {folder.name: "READY" for folder in sorted(self.repository.iterdir()) if self.ready(folder.name)}

    def fronts(self, name: str) -> list[str]:
        """The front models that were written under a name."""
        written = written_models(self.repository).items()
        return [model for model, each in written if each.role.name == name and each.role.graph in EACH_GRAPH]

    def asked(self) -> list[str]:
        """The models that clients ask; all models where they seem to ask none."""
        return front_names(configs_in(self.repository), self.repository) or [*self.states()]

    def config(self, model: str) -> dict[str, Any]:
        """The model's configuration, as a client sees it."""
        return NO_TENSORS | _as_json(self.message(model))

    def message(self, model: str) -> ModelConfig:
        """The model's configuration with what Triton and its backend fill in. Raises NoSuchName, UserError."""
        if not self.ready(model):
            raise NoSuchName("model", model, self.asked(), self.repository)
        if model not in self.configs:
            refuse_circle(self.repository / model)
            config = model_config(self.repository / model)
            if not (config.input and config.output):
                with _standing_in(self.module):
                    config = self.model(model, config, -1).config
            self.configs[model] = config
        return self.configs[model]

    def model(self, name: str, config: ModelConfig, version: int) -> LoadedModel:
        """A model that runs here, loaded when it is first asked. Raises UserError."""
        with self.loading:
            key = (name, version)
            if key not in self.loaded:
                own = version_folder(self.repository / name, config, version)
                folder = runnable_folder(own, Path(self.scratch.enter_context(TemporaryDirectory())))
                self.stood_for += [name] if folder != own else []
                try:
                    self.loaded[key] = load_model(config, folder, self.module)
                except (KeyboardInterrupt, UserError):
                    raise
                except ModuleNotFoundError as error:
                    raise _without_module(name, error) from error
                except BaseException as error:  # a person's own code raises what it likes, Rust's is no Exception
                    said = f"model {name!r} does not load: {failure(error)}; mend its files, or write it anew"
                    raise UserError(said) from error
            return self.loaded[key]

    def check_packages(self, model: str) -> None:
        """Raise MissingExtra where the ONNX file behind a model of tbgen's cannot run: a BLS model would log it."""
        written = written_models(self.repository).get(model)
        engine = ENGINES.get((written and written.role.engine) or "")
        if engine and engine.format == ONNX_FILE:
            require("onnxruntime", extra="onnx")

    def infer(
        self, model: str, inputs: Mapping[str, np.ndarray], parameters: Mapping[str, Any] | None = None
    ) -> Tensors:
        """One request: arrays of UTF-8 bytes (dtype object) or numbers in, all outputs back. Raises UserError."""
        text = json.dumps(dict(parameters)) if parameters else "{}"
        with _standing_in(self.module):
            try:
                return self.answer(model, -1, dict(inputs), text)
            except Refusal as error:
                raise UserError(f"model {model!r} refused the request: {error}") from error

    def answer(
        self, name: str, version: int, inputs: Tensors, parameters: str, wanted: set[str] | None = None
    ) -> Tensors:
        """The outputs of any model to one request. Raises Refused, and UserError for a decoupled model."""
        if not self.ready(name):
            raise Refusal(f"Model '{name}' is not ready.")
        config = self.message(name)
        if config.model_transaction_policy.decoupled:
            raise _NotHere(
                f"model {name!r} is decoupled: it answers a request with any number of responses, and without Triton a "
                "request has one; start it with `tbgen serve`, and ask it by gRPC's streaming calls"
            )
        if config.sequence_batching.control_input:
            raise _NotHere(
                f"model {name!r} answers sequences of requests, which Triton marks; start it with `tbgen serve`, and "
                "ask it by a client of Triton's with sequence_id, sequence_start and sequence_end"
            )
        check_request(config, inputs)
        names = wanted or {tensor.name for tensor in config.output}
        taken = reshaped(config, inputs)
        if config.platform == "ensemble":
            given = self.answer_ensemble(config, taken, parameters, names)
        else:
            given = self.model(name, config, version).answer(taken, parameters, names)
        return reshaped(config, given, back=True)

    def answer_ensemble(self, config: ModelConfig, inputs: Tensors, parameters: str, names: set[str]) -> Tensors:
        """Pass tensors from step to step as the wiring says, each step as soon as it has all that it takes."""
        tensors, waiting = dict(inputs), list(config.ensemble_scheduling.step)
        while waiting:
            ready = next((step for step in waiting if tensors.keys() >= set(step.input_map.values())), None)
            if ready is None:
                missing = sorted({value for step in waiting for value in step.input_map.values()} - tensors.keys())
                raise Refusal(f"in ensemble '{config.name}', unexpected deadlock, nothing gives {', '.join(missing)}")
            waiting.remove(ready)
            taken = {own: tensors[outer] for own, outer in ready.input_map.items()}
            given = self.answer(
                ready.model_name, ready.model_version or -1, taken, parameters, set(ready.output_map.keys())
            )
            tensors |= {outer: given[own] for own, outer in ready.output_map.items() if own in given}
        return {tensor.name: tensors[tensor.name] for tensor in config.output if tensor.name in names & tensors.keys()}

    def call(self, request: InferenceRequest) -> InferenceResponse:
        """A BLS call: the answer of another model, or the error in Triton's words (2.51 loses its code)."""
        name, version = request.called
        inputs = {tensor.name(): array_as_sent(tensor.as_numpy()) for tensor in request.inputs()}
        try:
            tensors = self.answer(name, version, inputs, request.parameters(), request.requested_output_names())
        except Refusal as error:
            return InferenceResponse(error=TritonError(_bls_message(name, error)))
        except _NotHere:
            raise
        except UserError as error:  # it does not load
            return InferenceResponse(error=TritonError(_bls_message(name, Refusal(error.message))))
        return InferenceResponse([Tensor(key, array) for key, array in tensors.items()])


def _as_json(config: ModelConfig) -> dict[str, Any]:
    """A configuration as a server tells it."""
    return json_format.MessageToDict(config, preserving_proto_field_name=True)


def _without_module(model: str, error: ModuleNotFoundError) -> UserError:
    """What a model that needs a package is to be told with: the engine's come with tbgen's extras."""
    package = (error.name or "").partition(".")[0]
    if package in _EXTRAS:
        return MissingExtra(package, _EXTRAS[package])
    return UserError(f"model {model!r} does not load: {failure(error)}; install what it imports, for this Python")


def _bls_message(name: str, error: Refusal) -> str:
    """How Triton words the error of a BLS call: a called model's own error stays as it is."""
    if error.by_model:
        return str(error)
    return f"Model {name} - Error when running inference: Failed for execute the inference request. {error}"


@contextmanager
def _standing_in(module: Any) -> Iterator[None]:
    """Let models import the stand-in as `triton_python_backend_utils` for the time being."""
    before = sys.modules.get(utils.NAME)
    sys.modules[utils.NAME] = module
    try:
        yield
    finally:
        if before is None:
            sys.modules.pop(utils.NAME, None)
        else:
            sys.modules[utils.NAME] = before
