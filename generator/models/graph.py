"""Ensemble and BLS graphs from the same steps: which models there are, and what each is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tbgen.backends.request_parameters import check_parameter
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported, TensorSpec
from tbgen.export.layout import LENGTHS
from tbgen.export.tasks.task import Step as Step
from tbgen.export.tasks.task import Task
from tbgen.export.tensorrt import plan_runner
from tbgen.generator.data_types import FROM_NUMPY
from tbgen.generator.engines import EACH_GRAPH, PACKED_TOKENS, PADDING_COST_AT, PADDING_COSTS, EngineKind
from tbgen.generator.models.build_script import script_of
from tbgen.generator.models.plans import (
    accelerator_of,
    check_kind,
    engine_shapes,
    most_rows,
    only_length,
    plan_buckets,
    profile_names,
    uneven_shapes,
)
from tbgen.generator.role import ENGINE, FRONT, POSTPROCESS, TOKENIZER, Role

ROW_GRAPHS = ("bls", "single")  # of those in EACH_GRAPH
ENGINE_BATCH = 32
BLS_BATCH = 128
PAD_TO_MULTIPLE_OF = 8
# The steps that run the engine themselves -> the packages that they import.
LOCAL_ENGINES = {"LocalEngine": ["onnxruntime"], "PlanEngine": ["tensorrt"]}
ENGINE_STEPS = ("Engine", *LOCAL_ENGINES)
PLAN_RUNNER = Path(plan_runner.__file__)  # stands alone, so models can bring it along

Tensors = dict[str, tuple[str, list[int]]]


@dataclass(frozen=True)
class PythonModel:
    """A Triton model that runs steps; its tensors follow from them. Its backend has the code, or it brings a copy.

    cached: Triton keeps the answers of the ensemble that it is a part of.
    warmed: Triton sends it an item when it loads it.
    """

    role: Role
    steps: tuple[Step, ...]
    max_batch_size: int
    instances: int = 1
    backend: str = "python"
    cached: bool = False
    warmed: bool = False

    @property
    def name(self) -> str:
        """The model's."""
        return self.role.model

    @property
    def on_gpu(self) -> bool:
        """Whether it runs a plan itself."""
        return any(step.name == "PlanEngine" for step in self.steps)

    @property
    def is_bls(self) -> bool:
        """Whether it calls the engine, which may not be there yet when it is loaded."""
        return any(step.name == "Engine" for step in self.steps)


@dataclass(frozen=True)
class EngineModel:
    """A Triton model that is one engine file."""

    role: Role
    kind: EngineKind
    file: Path
    inputs: Tensors
    outputs: Tensors
    max_batch_size: int
    profiles: tuple[str, ...] = ()
    shapes: Sequence[Sequence[int]] = ()
    accelerator: Mapping[str, str] = field(default_factory=dict)
    build_script: str = ""
    weights: Path | None = None  # where they lie apart from the file, which names theirs
    packed: bool = False  # its inputs are ragged: texts of any lengths share a run
    calls: Mapping[str, Any] = field(default_factory=dict)  # settings of the BLS call
    warmup: Sequence[tuple[int, int]] = ()  # rows and tokens of what Triton sends it when it loads it
    one_length: bool = False  # its clients can send no other

    @property
    def name(self) -> str:
        """The model's."""
        return self.role.model


@dataclass(frozen=True)
class EnsembleModel:
    """A Triton ensemble: the names of its models, in order."""

    role: Role
    parts: tuple[str, ...]
    max_batch_size: int
    cached: bool = False

    @property
    def name(self) -> str:
        """The model's."""
        return self.role.model


Model = PythonModel | EngineModel | EnsembleModel


def models_of(
    name: str,
    exported: Exported,
    *,
    task: Task,
    engine: str,
    kind: EngineKind,
    graphs: Sequence[str],
    pre: Sequence[Step] = (),
    post: Sequence[Step] = (),
    options: Mapping[str, Any] | None = None,
) -> list[Model]:
    """The models that serve `exported` under `name`, in the order in which they can be loaded. Raises UserError."""
    check_kind(exported, engine, kind)
    settings = options or {}
    check_options(task, settings)
    model = engine_model(Role(name, ENGINE, engine), exported, kind)
    before, pre = separated(name, pre, task.max_items)
    behind, post = separated(name, post[::-1], task.max_items)
    behind, post = behind[::-1], post[::-1]
    front = (*pre, *task.rows(exported, settings), tokenizer_step(exported, task, settings))
    chain = Chain(model, front, (*task.head(exported, settings), *post), task.max_items, before, behind)
    asked = graphs_for(task, graphs)
    models = [
        *((model,) if set(asked) - {"single"} else ()),
        *before,
        *behind,
        *(part for graph in asked for part in GRAPH_MODELS[graph](name, chain)),
    ]
    names = [each.name for each in models]
    if twice := [each for each in names if names.count(each) > 1]:
        raise UserError(f"two models would have the name {twice[0]!r}; rename the class of the separate step")
    return models


def check_options(task: Task, options: Mapping[str, Any]) -> None:
    """Hold options against the task's rules. Raises UserError."""
    unknown = sorted(options.keys() - task.options.keys())
    if unknown:
        raise UserError(f"no option {unknown[0]!r} for this task. Options: {', '.join(task.options) or 'none'}")
    for name, value in options.items():
        try:
            check_parameter(name, value, task.options[name])
        except ValueError as error:
            raise UserError(str(error).replace("parameter", "option", 1)) from error


def graphs_of(task: Task) -> tuple[str, ...]:
    """The graphs that can serve a task: an ensemble cannot join rows to items."""
    return ROW_GRAPHS if task.several_rows else EACH_GRAPH


def graphs_for(task: Task, asked: Sequence[str]) -> tuple[str, ...]:
    """Those of the asked graphs that can serve a task. Raises UserError when none can."""
    graphs = tuple(graph for graph in asked if graph in graphs_of(task))
    if not graphs:
        raise UserError(
            f"this reads several rows for an item, which an ensemble cannot; use --graph {' or '.join(ROW_GRAPHS)}"
        )
    return graphs


def with_cache(models: Sequence[Model]) -> list[Model]:
    """The same models, the ensembles' answers kept by Triton, and for a BLS model an ensemble of it alone.

    Triton 2.51 keeps errors too of a model that is no ensemble, and answers equal requests with no outputs.
    """
    cached = [model if isinstance(model, EngineModel) else replace(model, cached=True) for model in models]
    around = [
        EnsembleModel(
            replace(model.role, graph=f"{model.role.graph}_ensemble"), (model.name,), model.max_batch_size, cached=True
        )
        for model in models
        if isinstance(model, PythonModel) and model.is_bls
    ]
    return [*cached, *around]


@dataclass(frozen=True)
class Chain:
    """An engine with the steps before and behind it, the most items that one execution joins, and separate steps."""

    engine: EngineModel
    front: tuple[Step, ...]
    back: tuple[Step, ...]
    max_items: int
    before: Sequence[PythonModel] = ()
    behind: Sequence[PythonModel] = ()


def separated(name: str, steps: Sequence[Step], max_items: int) -> tuple[list[PythonModel], Sequence[Step]]:
    """The leading steps that are to be models of their own, and those that are not. Raises UserError."""
    count = next((index for index, step in enumerate(steps) if not step.separate), len(steps))
    if late := [step.name for step in steps[count:] if step.separate]:
        raise UserError(
            f"{late[0]} is separate: it goes before the other --pre steps, or behind the other --post steps"
        )
    most = min(BLS_BATCH, max_items)
    return [PythonModel(Role(name, step.name.lower()), (step,), most) for step in steps[:count]], steps[count:]


def ensemble_models(name: str, chain: Chain) -> Iterator[Model]:
    """Tokenizer and postprocess models around the engine, wired by an ensemble."""
    most = min(chain.engine.max_batch_size, chain.max_items)
    # What runs on TensorRT has types and lengths of its own; all other ONNX files share one tokenizer.
    engine = chain.engine.role.engine
    owner = engine if chain.engine.kind.plan or chain.engine.kind.accelerator else None
    tokenizer = PythonModel(Role(name, TOKENIZER, owner), chain.front, most)
    postprocess = PythonModel(Role(name, POSTPROCESS), chain.back, most)
    yield tokenizer
    yield postprocess
    parts: tuple[PythonModel | EngineModel, ...] = (*chain.before, tokenizer, chain.engine, postprocess, *chain.behind)
    yield EnsembleModel(front_role(chain, "ensemble"), tuple(part.name for part in parts), most)


def front_role(chain: Chain, graph: str) -> Role:
    """The role of the model that clients ask."""
    return replace(chain.engine.role, part=FRONT, graph=graph)


def bls_models(_: str, chain: Chain) -> Iterator[Model]:
    """One Python model that runs all steps and calls the engine between them."""
    inner = (*chain.front, engine_step(chain.engine, chain.front[-1].settings), *chain.back)
    steps = (*map(remote_step, chain.before), *inner, *map(remote_step, chain.behind))
    yield PythonModel(front_role(chain, "bls"), steps, min(BLS_BATCH, chain.max_items))


def single_models(_: str, chain: Chain) -> Iterator[Model]:
    """One Python model that runs all steps and the engine's file between them. Raises UserError."""
    inner = (*chain.front, local_engine_step(chain.engine, chain.front[-1].settings), *chain.back)
    steps = (*map(remote_step, chain.before), *inner, *map(remote_step, chain.behind))
    yield PythonModel(front_role(chain, "single"), steps, min(BLS_BATCH, chain.max_items))


GRAPH_MODELS = {"ensemble": ensemble_models, "bls": bls_models, "single": single_models}


def engine_model(role: Role, exported: Exported, kind: EngineKind) -> EngineModel:
    """The engine as a Triton model, its tensors as the engine file has them."""
    rows, length = most_rows(exported, ENGINE_BATCH), only_length(exported)
    inputs = triton_tensors(exported.inputs)
    if length and not kind.plan:  # a file that takes any: its config lets in what the tokenizer gives
        inputs = {tensor: (data_type, [length]) for tensor, (data_type, _) in inputs.items()}
    return EngineModel(
        role,
        kind,
        exported.model,
        inputs,
        triton_tensors(exported.outputs),
        rows,
        profile_names(exported),
        engine_shapes(exported),
        accelerator_of(kind, role.model, exported, rows),
        script_of(role.model, exported, kind),
        exported.weights,
        exported.packed,
        calls_of(exported, kind),
        one_length=length is not None,
    )


def calls_of(exported: Exported, kind: EngineKind) -> dict[str, Any]:
    """Settings of the BLS call: what padding costs the engine, and what its kind asks for."""
    if not exported.packed:
        return dict(kind.calls)
    scale = PADDING_COST_AT / (exported.made.hidden or PADDING_COST_AT)
    cost = min(1.0, round(PADDING_COSTS[kind.precision] * scale, 2))
    return {"padding_cost": cost, "max_tokens": PACKED_TOKENS, **kind.calls}


def tokenizer_step(exported: Exported, task: Task, options: Mapping[str, Any]) -> Step:
    """The task's tokenizer with the engine's tensors, type and lengths."""
    settings = {
        "max_length": exported.max_length,
        "tensors": list(exported.inputs),
        "data_type": FROM_NUMPY[next(iter(exported.inputs.values())).dtype],
        "pad_id": exported.pad_id,
        "buckets": [] if exported.packed else length_buckets(exported),
        **exported.reading,
        **({"shapes": shapes} if task.tokenizer[1] == "Tokenizer" and (shapes := uneven_shapes(exported)) else {}),
    }
    return Step(*task.tokenizer, {**settings, **task.reading(exported, options)}, (exported.tokenizer,))


def remote_step(model: PythonModel) -> Step:
    """The BLS call of a separate step; its tensors are known when it is written."""
    return Step("remote.py", "Remote", {"callee": model.name})


def engine_step(engine: EngineModel, tokenizer: Mapping[str, Any]) -> Step:
    """The BLS call of an engine, at the lengths that the tokenizer pads to."""
    settings = {
        "model": engine.name,
        "inputs": engine.inputs,
        "outputs": engine.outputs,
        "max_batch_size": engine.max_batch_size,
        "buckets": tokenizer["buckets"],
        **engine.calls,
        **({"shapes": engine.shapes} if engine.shapes else {}),
    }
    return Step("engine.py", "Engine", settings)


def local_engine_step(engine: EngineModel, tokenizer: Mapping[str, Any]) -> Step:
    """The file of an engine, run where its texts are tokenised. Raises UserError for an engine that is not built."""
    if engine.kind.accelerator or engine.build_script:
        raise UserError(
            f"--graph single runs a ready file in the Python model's own process, and the plan of {engine.name} is "
            "built later, where Triton runs; use --graph bls or --graph ensemble"
        )
    settings = {key: value for key, value in engine_step(engine, tokenizer).settings.items() if key != "model"}
    if engine.kind.plan:
        return Step("plan_engine.py", "PlanEngine", {"plan": engine.file.name, **settings}, (engine.file, PLAN_RUNNER))
    settings = {"file": engine.file.name, **settings} | ({"lengths": LENGTHS} if engine.packed else {})
    return Step(
        "local_engine.py", "LocalEngine", settings, (engine.file, *([engine.weights] if engine.weights else ()))
    )


def length_buckets(exported: Exported) -> list[int]:
    """The lengths that texts are padded to: multiples of 8 that end at the model's maximum, or its one fixed length."""
    if exported.fixed_length:
        return [exported.fixed_length]
    if buckets := plan_buckets(exported):
        return buckets
    multiples = range(PAD_TO_MULTIPLE_OF, exported.max_length + PAD_TO_MULTIPLE_OF, PAD_TO_MULTIPLE_OF)
    return [min(length, exported.max_length) for length in multiples]


def triton_tensors(tensors: Mapping[str, TensorSpec]) -> Tensors:
    """Data types and dims as a Triton config says them: without the batch axis, -1 for an open axis."""
    return {
        name: (FROM_NUMPY[spec.dtype], [size if isinstance(size, int) else -1 for size in spec.shape[1:]])
        for name, spec in tensors.items()
    }
