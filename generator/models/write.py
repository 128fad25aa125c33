"""One model folder: its files, and the config that follows from them."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tbgen.backends.request_parameters import Rules
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.layout import MODEL_ONNX
from tbgen.generator.compare.example import Item, arrays_from, nearest_example, steps_example
from tbgen.generator.engines.config import engine_config
from tbgen.generator.engines.engine import BUILD, EngineModel
from tbgen.generator.engines.table import engine_steps, own_process_steps
from tbgen.generator.models.config import (
    ModelConfig,
    TensorSpecs,
    ensemble_config,
    python_config,
    text_from_config,
)
from tbgen.generator.models.graph import EnsembleModel, GraphModel, PythonModel, Step
from tbgen.generator.models.warmup import warm_engine, warm_item
from tbgen.generator.repository import CONFIG, write_record
from tbgen.generator.role import record_of_role
from tbgen.generator.steps.catalogue import STEP_FOLDER, with_neighbours
from tbgen.generator.steps.chain import chain_on_request, chain_parameters, chain_tensors, check_chain
from tbgen.generator.steps.load import STEPS_FILE, listing, steps_from_folder, text_from_listing
from tbgen.generator.steps.plugins import extra_imports
from tbgen.generator.steps.trial import construct_step
from tbgen.generator.steps.vendor import vendor_into

_VERSION_FOLDER_NOTE = "An ensemble needs a version folder; git and object stores lose empty ones.\n"


@dataclass(frozen=True)
class _Wires:
    """What a written model takes and gives, with what it gives on request alone; its request parameters; its steps.

    example: what its steps say of an item.
    """

    inputs: TensorSpecs
    outputs: TensorSpecs
    parameters: Rules = field(default_factory=dict)
    on_request: frozenset[str] = frozenset()
    steps: tuple[tuple[str, Any], ...] = ()
    example: Item = field(default_factory=dict)


Wiring = dict[str, _Wires]


def write_models(
    models: Sequence[GraphModel], folder: Path, record: dict[str, Any], *, platform: str | None = None
) -> None:
    """Write each model's folder, in order, with its config and its record; packages for `platform` come along."""
    wiring: Wiring = {}
    for model in models:
        version_folder = folder / model.name / "1"
        version_folder.mkdir(parents=True)
        config = _WRITERS[type(model)](model, version_folder, wiring)
        (folder / model.name / CONFIG).write_text(text_from_config(config), encoding="utf-8")
    for model in models:
        if isinstance(model, EnsembleModel):
            _share_parameters(model.parts, folder, wiring)
    if platform:
        vendor_into([folder / model.name / "1" for model in models], platform)
    for model in models:
        write_record(
            folder / model.name,
            record | record_of_role(model.role) | _imports_record(model) | _example_record(model, wiring),
        )


def _example_record(model: GraphModel, wiring: Wiring) -> dict[str, Any]:
    """What the steps of a model, or of an ensemble's models, say of an item, for its record: {"example": item}."""
    parts = model.parts if isinstance(model, EnsembleModel) else (model.name,)
    said = nearest_example(*(wiring[part].example for part in parts))
    return {"example": said} if said else {}


def _imports_record(model: GraphModel) -> dict[str, Any]:
    """What a model's own steps import beyond what a server has, for its record: {"imports": {file: packages}}."""
    own = [step.file for step in getattr(model, "steps", ()) if isinstance(step.file, Path)]
    imports = {file.name: extra_imports(file) for file in own}
    engines = own_process_steps()
    for step in getattr(model, "steps", ()):
        imports |= {str(step.file): list(engines[step.name].imports)} if step.name in engines else {}
    needed = {name: packages for name, packages in imports.items() if packages}
    return {"imports": needed} if needed else {}


def _share_parameters(parts: Sequence[str], folder: Path, wiring: Wiring) -> None:
    """Tell each Python part of an ensemble which parameters the others take: Triton hands all parts all of them."""
    all_taken = {name for part in parts for name in wiring[part].parameters}
    for part in parts:
        version_folder = folder / part / "1"
        elsewhere = all_taken - wiring[part].parameters.keys()
        if elsewhere and (version_folder / STEPS_FILE).exists():
            listed = listing(version_folder)
            listed["parameters_elsewhere"] = sorted({*listed.get("parameters_elsewhere", ()), *elsewhere})
            _write_steps(version_folder, listed)


def _write_steps(folder: Path, listed: dict[str, Any]) -> None:
    """A version folder's steps.json."""
    (folder / STEPS_FILE).write_text(text_from_listing(listed), encoding="utf-8")


def _write_python_model(model: PythonModel, folder: Path, wiring: Wiring) -> ModelConfig:
    """model.py, the step files, their neighbours and assets, steps.json; the tensors follow from the constructed steps.

    With the backend that has tbgen's own files, these are left out.
    """
    for file in _files_of_steps(model):
        if model.backend == "python" or file.parent != STEP_FOLDER:
            shutil.copyfile(file, folder / file.name)
    listed = [
        {
            "file": _step_file(step).name,
            "class": step.name,
            "settings": dict(step.settings) | _callee_tensors(step, wiring),
        }
        for step in model.steps
    ]
    more = {"cached": True if model.cached else None, "queue": model.queue}
    _write_steps(folder, {"steps": listed} | {key: value for key, value in more.items() if value is not None})
    for step in model.steps:
        if isinstance(step.file, Path):
            construct_step(step, folder)
    steps = steps_from_folder(folder)
    names = [step.name for step in model.steps]
    named = tuple(zip(names, steps, strict=True))
    if engine := next((name for name in names if name in engine_steps()), None):  # an ensemble's parts: together
        check_chain(named, fronts=names.index(engine))
    inputs, outputs = chain_tensors(steps)
    called = (wiring[str(step.settings["callee"])].example for step in model.steps if step.file == "remote.py")
    example = nearest_example(steps_example(steps), *called)
    arrays_from(inputs, {name: value for name, value in example.items() if name in inputs})  # they fit
    wiring[model.name] = _Wires(inputs, outputs, chain_parameters(steps), chain_on_request(steps), named, example)
    config = python_config(
        model.name,
        inputs,
        outputs,
        max_batch_size=model.max_batch_size,
        instances=model.instances,
        backend=model.backend,
        gpu=model.on_gpu,
    )
    optional = {tensor for step in steps for tensor in getattr(step, "optional", ())}
    for each in config.input:
        each.optional = each.name in optional
    if model.warmed:
        warm_item(config, folder.parent, {k: v for k, v in inputs.items() if k not in optional}, example)
    return config


def _callee_tensors(step: Step, wiring: Wiring) -> dict[str, Any]:
    """What a step that calls a separate step must know of it; nothing for any other step."""
    callee = wiring.get(str(step.settings.get("callee"))) if step.file == "remote.py" else None
    if callee is None:
        return {}
    return {
        "inputs": dict(callee.inputs),
        "outputs": dict(callee.outputs),
        "parameters": callee.parameters,
        "on_request": sorted(callee.on_request),
    }


def _write_engine_model(model: EngineModel, folder: Path, wiring: Wiring) -> ModelConfig:
    """The engine file under the name that its backend looks for, or the script that will put it there."""
    if model.script:
        write_build(model, folder)
    else:
        _copy_engine(model.exported, folder / model.engine.file)
    wiring[model.name] = _Wires(model.inputs, model.outputs)
    config = engine_config(model)
    warm_engine(config, folder.parent, model.inputs, model.warmup)
    return config


def _copy_engine(exported: Exported, target: Path) -> None:
    """An export's engine file as `target`, and beside it the weights that lie apart, which it names."""
    shutil.copyfile(exported.model, target)
    if exported.weights:
        shutil.copyfile(exported.weights, target.with_name(exported.weights.name))


def write_build(model: EngineModel, folder: Path) -> None:
    """The ONNX file and the script that builds the plan from it, beside the version folder."""
    build = (folder.parent / BUILD).parent
    build.mkdir()
    _copy_engine(model.exported, build / MODEL_ONNX)
    (folder.parent / BUILD).write_text(model.script, encoding="utf-8")
    (folder.parent / BUILD).chmod(0o755)
    (folder / "README").write_text(f"{model.engine.file} comes here: run ../{BUILD}\n", encoding="utf-8")


def _write_ensemble_model(model: EnsembleModel, folder: Path, wiring: Wiring) -> ModelConfig:
    """The wiring alone, and a file that keeps the version folder alive."""
    (folder / "README").write_text(_VERSION_FOLDER_NOTE, encoding="utf-8")
    parts = {part: wiring[part] for part in model.parts}
    steps = [row for name, part in parts.items() for row in part.steps or ((name, part),)]
    if len(model.parts) > 1:  # a BLS model alone was checked by itself
        fronts = itertools.takewhile(lambda part: wiring[part].steps, model.parts)
        check_chain(steps, fronts=sum(len(wiring[part].steps) for part in fronts))
    return ensemble_config(model.name, parts, max_batch_size=model.max_batch_size, cached=model.cached)


_WRITERS: dict[type, Callable[..., ModelConfig]] = {
    PythonModel: _write_python_model,
    EngineModel: _write_engine_model,
    EnsembleModel: _write_ensemble_model,
}


def _files_of_steps(model: PythonModel) -> list[Path]:
    """model.py, the step files, their neighbours and their assets. Raises UserError when two would have one name."""
    own = {
        "model.py": True,
        "request_queue.py": model.queue is not None,
        "packed_parameters.py": model.role.is_separate_step,  # another model's step calls it
    }
    files = {file.name: file for name in own if own[name] for file in with_neighbours(STEP_FOLDER / name)}
    for file in (path for step in model.steps for path in (*with_neighbours(_step_file(step)), *step.assets)):
        if files.setdefault(file.name, file) != file or file.name == STEPS_FILE:
            raise UserError(f"{str(file)!r} has the name of another file of the model; rename it")
    return list(files.values())


def _step_file(step: Step) -> Path:
    """Where a step's file is: in backends/, or where the user has it."""
    return STEP_FOLDER / step.file if isinstance(step.file, str) else step.file
