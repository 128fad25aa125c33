"""What `tbgen tune` may turn: rows of a table, each a setting of config.pbtxt or steps.json and the values to try."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelDynamicBatching

from tbgen.generator.engines.engine import Engine
from tbgen.generator.engines.table import engine_of_settings
from tbgen.generator.models.config import PYTHON_BACKENDS, config_from_file, text_from_config, values_from_config
from tbgen.generator.repository import CONFIG, read_record
from tbgen.generator.rules import onnxruntime
from tbgen.generator.steps.load import STEPS_FILE, listing, newest_steps, text_from_listing
from tbgen.server.bench.parts import CALL_DEFAULTS, Front

_DELAYS = (0, 200, 1000, 4000)  # microseconds
_MULTIPLES = (8, 16, 32, 64)  # tokens
_CALL_TOKENS = (256, 512, 1024, 2048)
_ENGINE_ROWS = (16, 32, 64, 128)
_BATCHES = (0, 4, 8, 12, 24)  # requests; 0: all that wait

Settings = Mapping[str, Any]  # knob -> value; a knob that is not in it stays as it is


@dataclass
class Draft:
    """The editable files of a front model and what lies behind it, as messages and plain values.

    Args:
        repository: the model repository that is read; nothing is written.
        front: the models.
        cores: of the machine that serves.
    """

    repository: Path
    front: Front
    cores: int
    configs: dict[str, ModelConfig] = field(init=False)
    steps: dict[str, dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.configs = {name: config_from_file(file) for name, file in self.files(CONFIG).items()}
        self.steps = {name: listing(file.parent) for name, file in self.files(STEPS_FILE).items()}

    @property
    def engine(self) -> Engine | None:
        record = read_record(self.repository / self.front.part.model)
        return engine_of_settings(record["settings"]) if record else None

    @property
    def models(self) -> list[str]:
        return [part.model for part in self.front.parts]

    def path(self, model: str, name: str) -> Path | None:
        """Where a model's config.pbtxt or steps.json is; None when it has none."""
        if name == STEPS_FILE:
            return newest_steps(self.repository / model)
        file = self.repository / model / name
        return file if file.exists() else None

    def files(self, name: str) -> dict[str, Path]:
        """The file of that name of each model that has one."""
        paths = {model: self.path(model, name) for model in self.models}
        return {model: path for model, path in paths.items() if path}

    def engines(self) -> list[ModelConfig]:
        return [
            self.configs[part.model]
            for part in self.front.parts
            if part.role == "engine" and part.model in self.configs
        ]

    def python_models(self) -> list[ModelConfig]:
        """The configurations of the models that run steps."""
        return [config for config in self.configs.values() if config.backend in PYTHON_BACKENDS]

    def step_settings(self, key: str) -> list[dict[str, Any]]:
        """The settings of all steps that have the setting `key`."""
        rows = (row for listed in self.steps.values() for row in listed["steps"])
        return [row["settings"] for row in rows if key in row["settings"]]

    def edits(self) -> dict[Path, str]:
        """The files that are no longer as the repository has them, relative to it, with their new text."""
        found = {}
        for model, config in self.configs.items():
            path = self.path(model, CONFIG)
            if path and config_from_file(path) != config:
                found[path.relative_to(self.repository)] = text_from_config(config)
        for model, listed in self.steps.items():
            path = self.path(model, STEPS_FILE)
            if path and listing(path.parent) != listed:
                found[path.relative_to(self.repository)] = text_from_listing(listed)
        return found


@dataclass(frozen=True)
class Knob:
    """One thing to turn: what it stands at, what to try, and how to set it.

    `now` gives None where a repository has no such thing; then the knob is left out.
    """

    about: str
    now: Callable[[Draft], Any]
    values: Callable[[Draft], Sequence[Any]]
    turn: Callable[[Draft, Any], None]


def _runs_on_cpu(config: ModelConfig) -> bool:
    """Whether an engine is ONNX Runtime on the CPU, as far as its configuration says."""
    groups = config.instance_group
    return config.backend == "onnxruntime" and len(groups) == 1 and groups[0].kind != groups[0].KIND_GPU


def _instances_and_threads(draft: Draft) -> tuple[int, int] | None:
    """Instances of the engine on CPUs, and threads of each; 0 threads: as many as there are cores."""
    for config in filter(_runs_on_cpu, draft.engines()):
        with suppress(ValueError):  # Triton does not load it
            return config.instance_group[0].count, onnxruntime.parameter(
                values_from_config(config), onnxruntime.THREADS
            )
    return None


def _turn_instances_and_threads(draft: Draft, value: tuple[int, int]) -> None:
    for config in filter(_runs_on_cpu, draft.engines()):
        config.instance_group[0].count = value[0]
        config.parameters[onnxruntime.THREADS].string_value = str(value[1])


def _local_instances_and_threads(draft: Draft) -> tuple[int, int] | None:
    """Instances of a model that runs its ONNX file on CPUs, and threads of each; 0 threads: as many as cores."""
    count, settings = _first_count(draft), [] if _runs_on_gpu(draft) else draft.step_settings("file")
    return (count, settings[0].get("threads", 0)) if count is not None and settings else None


def _turn_local_instances_and_threads(draft: Draft, value: tuple[int, int]) -> None:
    _turn_first_count(draft, value[0])
    for settings in draft.step_settings("file"):
        settings["threads"] = value[1]


def splits_of(cores: int) -> list[tuple[int, int]]:
    """Cores shared out among instances: (1, 8), (2, 4), (4, 2), (8, 1) for 8."""
    return [(count, cores // count) for count in range(1, cores + 1) if cores % count == 0]


def _first_count(draft: Draft) -> int | None:
    """Instances of the model that a request meets first: the BLS, or the tokenizer of an ensemble."""
    groups = [config.instance_group for config in draft.python_models()[:1]]
    return groups[0][0].count if groups and len(groups[0]) == 1 else None


def _turn_first_count(draft: Draft, value: int) -> None:
    draft.python_models()[0].instance_group[0].count = value


def _runs_on_gpu(draft: Draft) -> bool:
    """Whether the first model runs its engine itself, on a GPU."""
    configs = draft.python_models()[:1]
    return bool(configs) and any(group.kind == group.KIND_GPU for group in configs[0].instance_group)


def _python_instances(draft: Draft) -> int | None:
    """As `_first_count`, of a model that does not divide the cores among the threads of an engine in its process."""
    return None if draft.step_settings("file") and not _runs_on_gpu(draft) else _first_count(draft)


def _first_batcher(draft: Draft) -> ModelDynamicBatching | None:
    """The dynamic batcher of the model that a request meets first."""
    configs = draft.python_models()[:1]
    return configs[0].dynamic_batching if configs and configs[0].HasField("dynamic_batching") else None


def _queue_delay(draft: Draft) -> int | None:
    """Microseconds that the first model waits for more requests."""
    batcher = _first_batcher(draft)
    return None if batcher is None else batcher.max_queue_delay_microseconds


def _turn_queue_delay(draft: Draft, value: int) -> None:
    draft.python_models()[0].dynamic_batching.max_queue_delay_microseconds = value


def _preferred_batch(draft: Draft) -> int | None:
    """How many requests the first model takes at once when there are as many; 0: all that wait."""
    batcher = _first_batcher(draft)
    return None if batcher is None else next(iter(batcher.preferred_batch_size), 0)


def _turn_preferred_batch(draft: Draft, value: int) -> None:
    draft.python_models()[0].dynamic_batching.preferred_batch_size[:] = [value] if value else []


def _call_knob(about: str, key: str, values: Sequence[int]) -> Knob:
    """One setting of the BLS call, which may be left at its default."""

    def turn(draft: Draft, value: int) -> None:
        for settings in draft.step_settings("model"):
            settings[key] = value

    return Knob(
        about,
        lambda draft: next((settings.get(key, CALL_DEFAULTS[key]) for settings in draft.step_settings("model")), None),
        lambda _: values,
        turn,
    )


def _multiple(draft: Draft) -> int | None:
    """The multiple that lengths are rounded up to; None for a fixed length."""
    buckets = next((settings["buckets"] for settings in draft.step_settings("buckets")), None)
    return buckets[0] if buckets and len(buckets) > 1 else None


def _turn_multiple(draft: Draft, value: int) -> None:
    for settings in draft.step_settings("buckets"):
        most = settings["buckets"][-1]
        settings["buckets"] = [*range(value, most, value), most]


def _engine_rows(draft: Draft) -> int | None:
    """Most rows of one call of a BLS to its engine."""
    calls = draft.step_settings("model")
    return calls[0]["max_batch_size"] if calls else None


def _turn_engine_rows(draft: Draft, value: int) -> None:
    for settings in draft.step_settings("model"):
        settings["max_batch_size"] = value
        draft.configs[settings["model"]].max_batch_size = value


def _policy(draft: Draft) -> str | None:
    """How an ensemble pads: each request by itself, or all of a batch alike so that the engine merges them."""
    if not draft.front.steps or not draft.engines() or _multiple(draft) is None:
        return None
    common = any(settings["common_length"] for settings in draft.step_settings("common_length"))
    return "common length" if common else "own length"


def _turn_policy(draft: Draft, value: str) -> None:
    for settings in draft.step_settings("buckets"):
        settings["common_length"] = value == "common length"
    for config in draft.engines():
        config.ClearField("dynamic_batching")
        if value == "common length":
            config.dynamic_batching.CopyFrom(ModelDynamicBatching())


KNOBS = {
    "engine instances x threads": Knob(
        f"instance_group.count and {onnxruntime.THREADS} of the engine",
        _instances_and_threads,
        lambda draft: splits_of(draft.cores),
        _turn_instances_and_threads,
    ),
    "instances x threads": Knob(
        "instance_group.count of a model that runs its engine itself, and the threads of each",
        _local_instances_and_threads,
        lambda draft: splits_of(draft.cores),
        _turn_local_instances_and_threads,
    ),
    "instances": Knob(
        "instance_group.count of the model that requests meet first",
        _python_instances,
        lambda _: (1, 2, 3),
        _turn_first_count,
    ),
    "parallel calls": _call_knob("engine calls in flight of a BLS", "parallel_calls", (1, 2, 4)),
    "tokens a call": _call_knob("most tokens of a call of a BLS", "max_tokens", _CALL_TOKENS),
    "rows a call": Knob(
        "max_batch_size of the engine of a BLS", _engine_rows, lambda _: _ENGINE_ROWS, _turn_engine_rows
    ),
    "padding": Knob(
        "each request to its own length, or a batch to one length that the engine merges",
        _policy,
        lambda _: ("own length", "common length"),
        _turn_policy,
    ),
    "buckets": Knob("multiples that lengths are rounded up to", _multiple, lambda _: _MULTIPLES, _turn_multiple),
    "batch": Knob("preferred_batch_size", _preferred_batch, lambda _: _BATCHES, _turn_preferred_batch),
    "queue delay": Knob("max_queue_delay_microseconds", _queue_delay, lambda _: _DELAYS, _turn_queue_delay),
}


def values_of(name: str, draft: Draft) -> Sequence[Any]:
    """What to try of a knob: nothing where a repository has no such thing, or where its engine leaves it alone."""
    if KNOBS[name].now(draft) is None:
        return ()
    own = draft.engine.knobs if draft.engine else {}
    return own[name] if name in own else KNOBS[name].values(draft)


def turn_knobs(draft: Draft, settings: Settings) -> Draft:
    """A fresh draft of the same repository with the knobs of `settings` turned."""
    fresh = Draft(draft.repository, draft.front, draft.cores)
    for name, value in settings.items():
        KNOBS[name].turn(fresh, value)
    return fresh
