"""A checkpoint as a PyTorch model: loaded whole, in float32, with eager attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tbgen.export.checkpoint.checkpoint import Checkpoint
from tbgen.export.checkpoint.tensors import WEIGHTS_AGAIN, first_names
from tbgen.export.checkpoint.weights import broken_sentence, state_dict_of, wrapper_of
from tbgen.export.errors import UserError, require
from tbgen.export.reading import library_reading
from tbgen.export.tasks.table import model_of

# Buffers that older versions saved with the weights; today's models make them themselves.
_BUFFERS = ("position_ids", "token_type_ids")
# Keys of config.json that say how a model is run, not what it answers; the export says that itself.
RUN = (
    *("return_dict", "use_return_dict", "output_attentions", "output_hidden_states", "use_cache", "torchscript"),
    "transformers_weights",
    *("attn_implementation", "_attn_implementation", "_attn_implementation_internal", "_attn_implementation_autoset"),
    *("dtype", "torch_dtype", "chunk_size_feed_forward", "gradient_checkpointing", "experts_implementation"),
    *(
        "quantization_config",
        "compression_config",
        "auto_map",
    ),  # empty here: config.py refuses others
)
# Of the numbers of a model, how many times as many as its weights hold may be described, and how many in any case.
_ROOM, _ROOM_AT_LEAST = 4, 50_000_000


def model_from_checkpoint(checkpoint: Checkpoint, tell: Callable[[str], None] = lambda _: None) -> Any:
    """The transformers model of a checkpoint's task, ready to answer; its `taken_off` is what `wrapper_of` found.

    `tell` is told of that. Raises UserError when the weights do not fill the model: transformers would fill the rest
    with random numbers.
    """
    torch = require("torch", extra="onnx")
    transformers = require("transformers", extra="onnx")
    settings = {
        "attn_implementation": "eager",
        "dtype": torch.float32,
        "output_loading_info": True,
        "ignore_mismatched_sizes": True,  # they are refused below, with a sentence
    }
    with quiet(transformers):
        config, empty = _empty_model(checkpoint)
        state = state_dict_of(checkpoint)
        _refuse_larger(checkpoint, empty, state)
        names = ", ".join(str(path) for path in checkpoint.weights())
        with library_reading(f"the weights in {names} cannot be read", WEIGHTS_AGAIN):
            if taken_off := wrapper_of(state, empty):
                tell(f"taking {taken_off!r} off the names of the weights")
            state = {name.removeprefix(taken_off): tensor for name, tensor in state.items()}
            model, loading = type(empty).from_pretrained(None, config=config, state_dict=state, **settings)
    _refuse_unknown(checkpoint, loading, empty)
    _refuse_gaps(checkpoint, loading)
    _refuse_unrunnable(model.eval())
    if checkpoint.sentence and checkpoint.pooled:
        from tbgen.export.sentence.pooling import PooledModel

        model = PooledModel(model, checkpoint.sentence.layers)
    model.taken_off = taken_off
    _refuse_broken(model)
    return model.eval()


def _empty_model(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """What transformers makes of config.json, and the model of the task's class without weights. Raises UserError."""
    torch = require("torch", extra="onnx")
    transformers = require("transformers", extra="onnx")
    auto = getattr(transformers, model_of(checkpoint.task).auto)
    passed_over = {"model_type", *RUN} - ({"output_hidden_states"} if checkpoint.pooled else set())
    settings = {key: value for key, value in checkpoint.config.items() if key not in passed_over}
    what = f"transformers {transformers.__version__} builds no model from config.json"
    with library_reading(what, "mend that value, or save the checkpoint again"), torch.device("meta"):
        config = transformers.AutoConfig.for_model(checkpoint.config["model_type"], **settings)
        return config, auto.from_config(config, attn_implementation="eager")


def _refuse_broken(model: Any) -> None:
    """Raise UserError for weights that are no numbers, as a training that diverged leaves them."""
    torch = require("torch", extra="onnx")
    floats = {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    if broken := sorted(name for name, tensor in floats.items() if not torch.isfinite(tensor).all()):
        raise UserError(
            f"{broken_sentence(broken)}, as a training that diverged leaves them; take an earlier checkpoint of it"
        )


def _refuse_unrunnable(model: Any) -> None:
    """Raise UserError for a model of sizes that do not go together: it is built, and then reads not two tokens."""
    torch = require("torch", extra="onnx")
    tokens = torch.zeros((1, 2), dtype=torch.long)
    what = "transformers cannot run the model that config.json describes"
    with library_reading(what, "mend its sizes, or save the checkpoint again"), torch.no_grad():
        model(input_ids=tokens, attention_mask=torch.ones_like(tokens))


def _refuse_larger(checkpoint: Checkpoint, model: Any, state: dict[str, Any]) -> None:
    """Raise UserError for a config.json that describes a far larger model than the weights fill, before it takes room.

    `model` is the one without weights. A little more may be missing, which is then said by name.
    """
    described = sum(each.numel() for each in (*model.parameters(), *model.buffers()))
    there = sum(each.numel() for each in state.values())
    if described > _ROOM * there + _ROOM_AT_LEAST:
        source = "the base" if checkpoint.state else "config.json"
        raise UserError(f"{source} describes a model of {described:,} numbers, the weights hold {there:,}: not its own")


def _refuse_unknown(checkpoint: Checkpoint, loading: dict[str, Any], model: Any) -> None:
    """Raise UserError when the weights hold tensors that the model has no place for.

    A folder may hold other heads; what is unknown inside the layers was part of what was trained.
    """
    unknown = sorted(name for name in loading["unexpected_keys"] if not name.endswith(_BUFFERS))
    missing = sorted(loading["missing_keys"])
    if checkpoint.state is None:
        own = f"{model.base_model_prefix}."
        parts = {name for name, _ in model.base_model.named_children()} - {"pooler"}
        unknown = [name for name in unknown if name.removeprefix(own).partition(".")[0] in parts]
    if not unknown:
        return
    ending = "; does --base name its shape?" if checkpoint.state else "; is this config.json theirs?"
    if any("lora_" in name for name in unknown):
        ending = "; it is a LoRA model: model.merge_and_unload() first, and save what that gives"
    raise UserError(
        f"the {'state dict holds' if checkpoint.state else 'weights hold'} {first_names(unknown)}, which the model has "
        "not"
        + (f"; and {'it lacks' if checkpoint.state else 'they lack'} {first_names(missing)}" if missing else "")
        + ending
    )


def _refuse_gaps(checkpoint: Checkpoint, loading: dict[str, Any]) -> None:
    """Raise UserError when a tensor of the model is not among the weights, or has another shape there."""
    mismatched = sorted(loading["mismatched_keys"])
    if mismatched:
        name, have, want = mismatched[0]
        source = "the base" if checkpoint.state else "config.json"
        ending = "they belong to two models"
        if not checkpoint.state and checkpoint.labels and want[0] == len(checkpoint.labels) and have[1:] == want[1:]:
            ending = f"its id2label must name {have[0]} labels, not {want[0]} ({', '.join(checkpoint.labels)})"
        raise UserError(f"the weights hold {name!r} as {list(have)}, {source} makes it {list(want)}; {ending}")
    # Hidden states are read before the pooler, which many checkpoints (RoBERTa with a head) come without.
    unused = "pooler." if model_of(checkpoint.task).width == "hidden" else "\0"
    missing = sorted(name for name in loading["missing_keys"] if unused not in name)
    if missing:
        saved = ", ".join(checkpoint.config.get("architectures") or [])
        raise UserError(
            f"the weights lack {first_names(missing)}, which task {checkpoint.task!r} needs"
            + (f"; the checkpoint was saved from {saved}" if saved else "")
        )


@contextmanager
def quiet(transformers: Any) -> Iterator[None]:
    """Keep transformers' progress bars and reports off the terminal: what counts in them is checked and raised."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
