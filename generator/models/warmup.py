"""Warm-up: requests that Triton sends a model while it loads it, so that no client pays for what the first costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelWarmup
from tritonclient.utils import serialize_byte_tensor

from tbgen.export.exported import Exported
from tbgen.generator.compare.example import Item, NoExampleError, arrays_from, item_from
from tbgen.generator.data_types import NUMPY
from tbgen.generator.engines.engine import EngineModel
from tbgen.generator.models.config import TensorSpecs
from tbgen.generator.models.graph import EnsembleModel, GraphModel
from tbgen.generator.models.plans import engine_shapes, plan_buckets

_FOLDER = "warmup"  # where Triton looks for the data of its samples
_MASK = "attention_mask"
Shape = tuple[int, int]  # rows, tokens


def with_warmup(models: Sequence[GraphModel], exported: Exported) -> list[GraphModel]:
    """The same models, the engine warmed up at the shapes that matter to it, and all models of which an item is known.

    A BLS model is not: its engine may be loaded after it. An ensemble cannot be.
    """
    return [_warmed(model, exported) for model in models]


def _warmed(model: GraphModel, exported: Exported) -> GraphModel:
    """One model with its warm-up."""
    if isinstance(model, EngineModel):
        return replace(model, warmup=tuple(warmup_shapes(exported, model.max_batch_size)))
    return model if isinstance(model, EnsembleModel) or model.is_bls else replace(model, warmed=True)


def warmup_shapes(exported: Exported, rows: int) -> Iterator[Shape]:
    """Fewest and most rows at every length of a plan's profiles; of an ONNX file at the longest, for the memory."""
    longest = exported.fixed_length or exported.max_length
    ranges = engine_shapes(exported) or [[1, rows, longest, longest]]
    lengths = plan_buckets(exported) or [longest]
    for fewest, most, least, end in ranges:
        within = [length for length in lengths if least <= length <= end]
        yield from ((count, length) for length in within for count in sorted({fewest, most}))


def warm_engine(config: ModelConfig, folder: Path, inputs: TensorSpecs, shapes: Sequence[Shape]) -> None:
    """Samples for an engine: rows of ids 0 under a mask of ones. Triton makes a sample's rows of one row's data."""
    for rows, tokens in dict.fromkeys(shapes):
        sample = config.model_warmup.add(name=f"{rows}x{tokens}", batch_size=rows)
        for name, (data_type, _) in inputs.items():
            data = {"zero_data": True} if name != _MASK else {"input_data_file": f"ones_{tokens}"}
            sample.inputs[name].CopyFrom(ModelWarmup.Input(data_type=data_type, dims=[tokens], **data))
            if name == _MASK:
                _write(folder, f"ones_{tokens}", np.ones(tokens, NUMPY[data_type]).tobytes())


def warm_item(config: ModelConfig, folder: Path, inputs: TensorSpecs, said: Item) -> None:
    """A sample of one item for a model; none for one that takes what nothing is said of, as an engine's outputs."""
    try:
        arrays = arrays_from(inputs, item_from(inputs, said))
    except NoExampleError:
        return
    sample = config.model_warmup.add(name="item", batch_size=1)
    for name, array in arrays.items():
        content = serialize_byte_tensor(array).item() if array.dtype == object else array.tobytes()
        _write(folder, name, content)
        one = ModelWarmup.Input(data_type=inputs[name][0], dims=list(array.shape), input_data_file=name)
        sample.inputs[name].CopyFrom(one)


def _write(folder: Path, name: str, content: bytes) -> None:
    """A file of a model's warm-up data."""
    (folder / _FOLDER).mkdir(exist_ok=True)
    (folder / _FOLDER / name).write_bytes(content)
