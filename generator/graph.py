"""Ensemble and BLS graphs from the same steps: which models there are, and what each is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tbgen.export.exported import Exported, TensorSpec
from tbgen.generator.engines import DATA_TYPES, EngineKind
from tbgen.generator.tasks import Task

ENGINE_BATCH = 32
BLS_BATCH = 128
PAD_TO_MULTIPLE_OF = 8

Tensors = dict[str, tuple[str, list[int]]]


@dataclass(frozen=True)
class Step:
    """One use of a step: its file (a name in backends/, or a user's path), class, settings and the assets it reads."""

    file: str | Path
    name: str
    settings: Mapping[str, Any]
    assets: tuple[Path, ...] = ()


@dataclass(frozen=True)
class PythonModel:
    """A Triton model that runs steps; its tensors follow from them."""

    name: str
    steps: tuple[Step, ...]
    max_batch_size: int
    instances: int = 1


@dataclass(frozen=True)
class EngineModel:
    """A Triton model that is one engine file."""

    name: str
    kind: EngineKind
    file: Path
    inputs: Tensors
    outputs: Tensors
    max_batch_size: int


@dataclass(frozen=True)
class EnsembleModel:
    """A Triton ensemble: the names of its models, in order."""

    name: str
    parts: tuple[str, ...]
    max_batch_size: int


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
) -> list[Model]:
    """The models that serve `exported` under `name`, in the order in which they can be loaded."""
    model = engine_model(f"{name}_{engine}", exported, kind)
    front = (*pre, tokenizer_step(exported))
    back = (Step(task.file, task.step, task.settings(exported)), *post)
    return [model, *(graph_model for graph in graphs for graph_model in GRAPH_MODELS[graph](name, model, front, back))]


def ensemble_models(name: str, engine: EngineModel, front: tuple[Step, ...], back: tuple[Step, ...]) -> Iterator[Model]:
    """Tokenizer and postprocess models around the engine, wired by an ensemble."""
    tokenizer = PythonModel(f"{name}_tokenizer", front, ENGINE_BATCH)
    postprocess = PythonModel(f"{name}_postprocess", back, ENGINE_BATCH)
    yield tokenizer
    yield postprocess
    yield EnsembleModel(f"{engine.name}_ensemble", (tokenizer.name, engine.name, postprocess.name), ENGINE_BATCH)


def bls_models(name: str, engine: EngineModel, front: tuple[Step, ...], back: tuple[Step, ...]) -> Iterator[Model]:  # noqa: ARG001
    """One Python model that runs all steps and calls the engine between them."""
    yield PythonModel(f"{engine.name}_bls", (*front, engine_step(engine, front[-1].settings), *back), BLS_BATCH)


GRAPH_MODELS = {"ensemble": ensemble_models, "bls": bls_models}


def engine_model(name: str, exported: Exported, kind: EngineKind) -> EngineModel:
    """The engine as a Triton model, its tensors as the engine file has them."""
    return EngineModel(
        name, kind, exported.model, triton_tensors(exported.inputs), triton_tensors(exported.outputs), ENGINE_BATCH
    )


def tokenizer_step(exported: Exported) -> Step:
    """The Tokenizer with the engine's tensors, type and lengths."""
    settings = {
        "max_length": exported.max_length,
        "tensors": list(exported.inputs),
        "data_type": DATA_TYPES[next(iter(exported.inputs.values())).dtype],
        "pad_id": exported.pad_id,
        "buckets": length_buckets(exported),
    }
    return Step("tokenizer.py", "Tokenizer", settings, (exported.tokenizer,))


def engine_step(engine: EngineModel, tokenizer: Mapping[str, Any]) -> Step:
    """The BLS call of an engine, at the lengths that the tokenizer pads to."""
    settings = {
        "model": engine.name,
        "inputs": engine.inputs,
        "outputs": engine.outputs,
        "max_batch_size": engine.max_batch_size,
        "buckets": tokenizer["buckets"],
    }
    return Step("engine.py", "Engine", settings)


def length_buckets(exported: Exported) -> list[int]:
    """The lengths that texts are padded to: multiples of 8 that end at the model's maximum, or its one fixed length."""
    if exported.fixed_length:
        return [exported.fixed_length]
    multiples = range(PAD_TO_MULTIPLE_OF, exported.max_length + PAD_TO_MULTIPLE_OF, PAD_TO_MULTIPLE_OF)
    return [min(length, exported.max_length) for length in multiples]


def triton_tensors(tensors: Mapping[str, TensorSpec]) -> Tensors:
    """Data types and dims as a Triton config says them: without the batch axis, -1 for an open axis."""
    return {
        name: (DATA_TYPES[spec.dtype], [size if isinstance(size, int) else -1 for size in spec.shape[1:]])
        for name, spec in tensors.items()
    }
