"""The config.pbtxt of an engine."""

from __future__ import annotations

from tritonclient.grpc.model_config_pb2 import BatchInput, ModelConfig, ModelDynamicBatching, ModelInstanceGroup

from tbgen.export.layout import LENGTHS
from tbgen.generator.engines.engine import EngineModel
from tbgen.generator.models.config import tensors_config
from tbgen.generator.models.plans import only_length, profile_names


def engine_config(model: EngineModel) -> ModelConfig:
    """One instance on a GPU if the server has one: without a group Triton makes two on CPUs.

    Ragged inputs let the dynamic batcher merge requests of any lengths, and Triton adds the rows' widths; those of a
    model that takes one length merge as they are. Else no dynamic batching: requests of unequal length never merge, and
    make the batcher spin.
    """
    engine = model.engine
    config = tensors_config(model.name, model.inputs, model.outputs, max_batch_size=model.max_batch_size)
    config.backend, config.platform, config.default_model_filename = engine.backend, engine.platform, engine.file
    kind = ModelInstanceGroup.Kind.Value(engine.kind)
    config.instance_group.append(ModelInstanceGroup(count=1, kind=kind, profile=profile_names(model.exported)))
    if model.exported.packed:
        for tensor in config.input:
            tensor.allow_ragged_batch = True
        config.batch_input.add(
            kind=BatchInput.BATCH_ITEM_SHAPE_FLATTEN,
            target_name=[LENGTHS],
            data_type="TYPE_INT32",
            source_input=[config.input[0].name],
        )
    if model.exported.packed or only_length(model.exported):
        config.dynamic_batching.CopyFrom(ModelDynamicBatching())
    engine.configure(config, model)
    return config
