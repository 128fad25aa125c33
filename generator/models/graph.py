"""Ensemble and BLS graphs from the same steps: which models there are, and what each is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tbgen.backends.request_parameters import check_parameter
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported, TensorSpec
from tbgen.export.layout import LENGTHS
from tbgen.export.tasks.task import Step as Step
from tbgen.export.tasks.task import Task
from tbgen.export.tokenizers.tokenizer import CLEAN_UP, tokenizer_from_file
from tbgen.export.tokenizers.words import reads_words_alone
from tbgen.generator.data_types import FROM_NUMPY
from tbgen.generator.devices import GPU
from tbgen.generator.engines.engine import Engine, EngineModel
from tbgen.generator.engines.table import check_export
from tbgen.generator.graphs import EACH_GRAPH
from tbgen.generator.models.config import TensorSpecs
from tbgen.generator.models.plans import engine_shapes, most_rows, only_length, plan_buckets, uneven_shapes
from tbgen.generator.role import ENGINE, FRONT, POSTPROCESS, TOKENIZER, Role
from tbgen.generator.steps.plain import plain

_ROW_GRAPHS = ("bls", "single")  # of those in EACH_GRAPH
_BLS_BATCH = 128
_PAD_TO_MULTIPLE_OF = 8
# In the packed layout only attention is padded. What a padded token costs beside a real one grows as layers get narrow:
# it is the engine's at 768 (kcbert-base's shape), so that many times 768 over the width.
_PACKED_TOKENS = 1024  # most tokens of a call
_PADDING_COST_AT = 768


@dataclass(frozen=True)
class PythonModel:
    """A Triton model that runs steps; its tensors follow from them. Its backend has the code, or it brings a copy.

    on_gpu: it runs an engine itself that runs on GPUs alone.
    cached: Triton keeps the answers of the ensemble that it is a part of.
    warmed: Triton sends it an item when it loads it.
    queue: seconds that its requests may have to wait before others are refused; None: without a limit.
    """

    role: Role
    steps: tuple[Step, ...]
    max_batch_size: int
    instances: int = 1
    backend: str = "python"
    on_gpu: bool = False
    cached: bool = False
    warmed: bool = False
    queue: float | None = None

    @property
    def name(self) -> str:
        """The model's."""
        return self.role.model

    @property
    def is_bls(self) -> bool:
        """Whether it calls the engine, which may not be there yet when it is loaded."""
        return any(step.name == "Engine" for step in self.steps)


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


GraphModel = PythonModel | EngineModel | EnsembleModel


def models_of(
    name: str,
    exported: Exported,
    *,
    task: Task,
    engine: Engine,
    graphs: Sequence[str],
    pre: Sequence[Step] = (),
    post: Sequence[Step] = (),
    options: Mapping[str, Any] | None = None,
) -> list[GraphModel]:
    """The models that serve `exported` under `name`, in the order in which they can be loaded. Raises UserError."""
    check_export(engine, exported)
    settings = options or {}
    check_options(task, settings)
    model = _engine_model(Role(name, ENGINE, engine.name), exported, engine)
    before, pre = separate_models(name, pre, task.max_items)
    behind, post = separate_models(name, post[::-1], task.max_items)
    behind, post = behind[::-1], post[::-1]
    front = (*pre, *task.rows(exported, settings), tokenizer_step(exported, task, settings))
    chain = Chain(model, front, (*task.head(exported, settings), *post), task.max_items, before, behind)
    asked = graphs_for(task, graphs)
    models = [
        *((model,) if set(asked) - {"single"} else ()),
        *before,
        *behind,
        *(part for graph in asked for part in _GRAPH_MODELS[graph](name, chain)),
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


def graphs_of_task(task: Task) -> tuple[str, ...]:
    """The graphs that can serve a task: an ensemble cannot join rows to items."""
    return _ROW_GRAPHS if task.several_rows else EACH_GRAPH


def graphs_for(task: Task, asked: Sequence[str]) -> tuple[str, ...]:
    """Those of the asked graphs that can serve a task. Raises UserError when none can."""
    graphs = tuple(graph for graph in asked if graph in graphs_of_task(task))
    if not graphs:
        raise UserError(
            f"this reads several rows for an item, which an ensemble cannot; use --graph {' or '.join(_ROW_GRAPHS)}"
        )
    return graphs


def with_cache(models: Sequence[GraphModel]) -> list[GraphModel]:
    """The same models, the ensembles' answers kept by Triton, and for a BLS or single model an ensemble of it alone.

    Triton 2.51 keeps errors too of a model that is no ensemble, and answers equal requests with no outputs.
    """
    cached = [model if isinstance(model, EngineModel) else replace(model, cached=True) for model in models]
    around = [
        EnsembleModel(
            replace(model.role, graph=f"{model.role.graph}_ensemble"), (model.name,), model.max_batch_size, cached=True
        )
        for model in models
        if isinstance(model, PythonModel) and model.role.part == FRONT
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


def separate_models(name: str, steps: Sequence[Step], max_items: int) -> tuple[list[PythonModel], Sequence[Step]]:
    """The leading steps that are to be models of their own, and those that are not. Raises UserError."""
    count = next((index for index, step in enumerate(steps) if not step.separate), len(steps))
    if late := [step.name for step in steps[count:] if step.separate]:
        raise UserError(
            f"{late[0]} is separate: it goes before the other --pre steps, or behind the other --post steps"
        )
    most = min(_BLS_BATCH, max_items)
    return [PythonModel(Role(name, step.name.lower()), (step,), most) for step in steps[:count]], steps[count:]


def _ensemble_models(name: str, chain: Chain) -> Iterator[GraphModel]:
    """Tokenizer and postprocess models around the engine, wired by an ensemble."""
    most = min(chain.engine.max_batch_size, chain.max_items)
    owner = chain.engine.engine.name if chain.engine.engine.own_tokenizer else None
    tokenizer = PythonModel(Role(name, TOKENIZER, owner), chain.front, most, _copies(chain, TOKENIZER))
    postprocess = PythonModel(Role(name, POSTPROCESS), plain(chain.back), most)
    yield tokenizer
    yield postprocess
    parts: tuple[PythonModel | EngineModel, ...] = (*chain.before, tokenizer, chain.engine, postprocess, *chain.behind)
    yield EnsembleModel(_front_role(chain, "ensemble"), tuple(part.name for part in parts), most)


def _front_role(chain: Chain, graph: str) -> Role:
    """The role of the model that clients ask."""
    return replace(chain.engine.role, part=FRONT, graph=graph)


def _copies(chain: Chain, model: str) -> int:
    """Instances of a Python model around the engine."""
    return chain.engine.engine.copies.get(model, 1)


def _bls_models(_: str, chain: Chain) -> Iterator[GraphModel]:
    """One Python model that runs all steps and calls the engine between them."""
    inner = plain((*chain.front, _engine_step(chain.engine, chain.front[-1].settings), *chain.back))
    steps = (*map(_remote_step, chain.before), *inner, *map(_remote_step, chain.behind))
    yield PythonModel(_front_role(chain, "bls"), steps, min(_BLS_BATCH, chain.max_items), _copies(chain, "bls"))


def _single_models(_: str, chain: Chain) -> Iterator[GraphModel]:
    """One Python model that runs all steps and the engine's file between them. Raises UserError."""
    inner = plain((*chain.front, _own_process_step(chain.engine, chain.front[-1].settings), *chain.back))
    steps = (*map(_remote_step, chain.before), *inner, *map(_remote_step, chain.behind))
    most, on_gpu = min(_BLS_BATCH, chain.max_items), chain.engine.engine.kind == "KIND_GPU"
    yield PythonModel(_front_role(chain, "single"), steps, most, _copies(chain, "single"), on_gpu=on_gpu)


_GRAPH_MODELS = {"ensemble": _ensemble_models, "bls": _bls_models, "single": _single_models}


def _engine_model(role: Role, exported: Exported, engine: Engine) -> EngineModel:
    """The engine as a Triton model, its tensors as the engine file has them."""
    inputs = _triton_tensors(exported.inputs)
    length = only_length(exported)
    if length and not exported.made.profiles:  # a file that takes any: its config lets in what the tokenizer gives
        inputs = {tensor: (data_type, [length]) for tensor, (data_type, _) in inputs.items()}
    script = engine.builder.script(role.model, exported, engine) if engine.builder else ""
    rows = most_rows(exported, engine.rows)
    return EngineModel(role, engine, exported, inputs, _triton_tensors(exported.outputs), rows, script)


def _calls_of(exported: Exported, engine: Engine) -> dict[str, Any]:
    """Settings of the BLS call: what padding costs the engine, and what its row asks for."""
    if not exported.packed:
        return dict(engine.calls)
    cost = min(1.0, round(engine.padding_cost * _PADDING_COST_AT / (exported.made.hidden or _PADDING_COST_AT), 2))
    return {"padding_cost": cost, "max_tokens": _PACKED_TOKENS, **engine.calls}


def tokenizer_step(exported: Exported, task: Task, options: Mapping[str, Any]) -> Step:
    """The task's tokenizer with the engine's tensors, type and lengths. Raises UserError."""
    if "lower_case" in exported.reading:  # as tbgen did it before, special tokens too
        raise UserError(
            "this export lower-cases special tokens too, as sentence-transformers no longer does; export it again"
        )
    settings = {
        "max_length": exported.max_length,
        "tensors": list(exported.inputs),
        "data_type": FROM_NUMPY[next(iter(exported.inputs.values())).dtype],
        "pad_id": exported.pad_id,
        "buckets": [] if exported.packed else length_buckets(exported),
        **{name: on for name, on in exported.reading.items() if name != CLEAN_UP},
    }
    if task.tokenizer[1] == "Tokenizer" and (shapes := uneven_shapes(exported)):
        settings["shapes"] = shapes
    if task.tokenizer[1] == "Tokenizer" and reads_words_alone(tokenizer_from_file(exported.tokenizer)):
        settings["words_alone"] = True
    return Step(*task.tokenizer, {**settings, **task.reading(exported, options)}, (exported.tokenizer,))


def _remote_step(model: PythonModel) -> Step:
    """The BLS call of a separate step; its tensors are known when it is written."""
    return Step("remote.py", "Remote", {"callee": model.name})


def _engine_step(engine: EngineModel, tokenizer: Mapping[str, Any]) -> Step:
    """The BLS call of an engine, at the lengths that the tokenizer pads to."""
    settings = {
        "model": engine.name,
        "inputs": engine.inputs,
        "outputs": engine.outputs,
        "max_batch_size": engine.max_batch_size,
        "buckets": tokenizer["buckets"],
        **_calls_of(engine.exported, engine.engine),
        **({"shapes": shapes} if (shapes := engine_shapes(engine.exported)) else {}),
    }
    return Step("engine.py", "Engine", settings)


def _own_process_step(engine: EngineModel, tokenizer: Mapping[str, Any]) -> Step:
    """The file of an engine, run where its texts are tokenised. Raises UserError for an engine that is not built."""
    own, exported = engine.engine.own_process, engine.exported
    if own is None or engine.script:
        raise UserError(
            f"--graph single runs a ready file in the Python model's own process, and the plan of {engine.name} is "
            "built later, where Triton runs; use --graph bls or --graph ensemble"
        )
    settings = {key: value for key, value in _engine_step(engine, tokenizer).settings.items() if key != "model"}
    settings = {own.setting: exported.model.name, **settings} | ({"lengths": LENGTHS} if exported.packed else {})
    settings |= {"cuda": dict(engine.engine.cuda)} if engine.engine.device == GPU and engine.engine.cuda else {}
    files, needed = own.prepare(exported)
    return Step(own.file, own.step, settings | needed, files)


def length_buckets(exported: Exported) -> list[int]:
    """The lengths that texts are padded to: multiples of 8 that end at the model's maximum, or its one fixed length."""
    if exported.fixed_length:
        return [exported.fixed_length]
    if buckets := plan_buckets(exported):
        return buckets
    multiples = range(_PAD_TO_MULTIPLE_OF, exported.max_length + _PAD_TO_MULTIPLE_OF, _PAD_TO_MULTIPLE_OF)
    return [min(length, exported.max_length) for length in multiples]


def _triton_tensors(tensors: Mapping[str, TensorSpec]) -> TensorSpecs:
    """Data types and dims as a Triton config says them: without the batch axis, -1 for an open axis."""
    return {
        name: (FROM_NUMPY[spec.dtype], [size if isinstance(size, int) else -1 for size in spec.shape[1:]])
        for name, spec in tensors.items()
    }
