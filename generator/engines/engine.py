"""What an engine is: all that tbgen must know of one way to run a model file. Its rows are in table.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tbgen.export.layout import PACKED, PADDED
from tbgen.export.provenance import ONNX_FILE
from tbgen.generator.devices import CPU, GPU
from tbgen.generator.models.config import TensorSpecs

if TYPE_CHECKING:  # the table is read for its names, at once
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    from tbgen.export.checkpoint.checkpoint import Checkpoint
    from tbgen.export.exported import Exported
    from tbgen.export.precision.precision import Precision
    from tbgen.export.run import Run
    from tbgen.generator.check.finding import Finding
    from tbgen.generator.check.model import Model
    from tbgen.generator.releases import Release
    from tbgen.generator.role import Role

BUILD = "build/build.sh"  # in the folder of an engine model whose file is built later


@dataclass(frozen=True)
class EngineModel:
    """A Triton model that is one engine file.

    script: builds the file later; empty where it is there. warmup: rows and tokens of what Triton sends it at its load.
    """

    role: Role
    engine: Engine
    exported: Exported
    inputs: TensorSpecs
    outputs: TensorSpecs
    max_batch_size: int
    script: str = ""
    warmup: Sequence[tuple[int, int]] = ()

    @property
    def name(self) -> str:
        """The model's."""
        return self.role.model


def _files_as_exported(exported: Exported) -> tuple[tuple[Path, ...], dict[str, Any]]:
    """The export's files, and no settings for them."""
    return exported.files, {}


@dataclass(frozen=True)
class OwnProcess:
    """How `--graph single` runs an engine's file: by a step, whose `setting` names the file, and which packages.

    prepare: the files that it runs in an export's place, of the same names, and settings that they need.
    """

    file: str = "local_engine.py"
    step: str = "LocalEngine"
    setting: str = "file"
    imports: tuple[str, ...] = ("onnxruntime",)
    prepare: Callable[[Exported], tuple[tuple[Path, ...], dict[str, Any]]] = _files_as_exported


@dataclass(frozen=True)
class Builder:
    """How an engine's file is built later, where it will be served, instead of exported.

    advice: what to do where it is not there, of a {source}. onnx: precision and opset of the ONNX file that it is built
    from, as options of the export. planned: the record of that file's export as that of the engine's; raises UserError
    for one that it cannot be built from. script: the shell script that builds it, of a model's name.
    """

    advice: str
    onnx: Callable[[Engine, Release], dict[str, Any]]
    planned: Callable[[Exported, Engine, Release], Exported]
    script: Callable[[str, Exported, Engine], str]


def _expect_onnx(checkpoint: Checkpoint, folder: Path, **options: Any) -> Exported:
    """What `_export_onnx` will make."""
    from tbgen.export.onnx.export import expected_export

    return expected_export(checkpoint, folder, **options)


def _export_onnx(checkpoint: Checkpoint, folder: Path, **options: Any) -> Exported:
    """An ONNX file as every engine of ONNX Runtime runs it."""
    from tbgen.export.onnx.export import onnx_from_checkpoint

    return onnx_from_checkpoint(checkpoint, folder, **options)


def _run_onnx(exported: Exported) -> Run:
    """An ONNX file on the CPU, FP16 rounded as on a GPU."""
    from tbgen.export.parity.parity import engine_run

    return engine_run(exported)


def _anything(engine: Engine, exported: Exported) -> None:
    """No export is refused beyond what every engine refuses."""


def _as_it_is(config: ModelConfig, model: EngineModel) -> None:
    """Nothing is added to the config."""


@dataclass(frozen=True)
class Engine:
    """One way to run a model file.

    Its file:
        file, format: its name in a version folder, and what it is.
        precision, layouts: those that it has, the layout that serves best first.
        expect, export: what a checkpoint's export will be, and the export, with the options of `onnx_from_checkpoint`.
            An engine with an export of its own, which writes `file`, runs no other's.
        refuse: raises UserError for an export that it does not run.
        builder: how its file is built later.
        run: its file as a function, here.
        here: whether this machine runs it. twin: it has one that CPUs run (export/onnx/twin.py), which stands for it
            where there is no GPU.
        bounds: what it is held to against PyTorch; None: its precision's.
    In Triton:
        backend, platform, instances: as a config says them; KIND_GPU: it runs nowhere else. rows: of a batch, at most.
        device: what it is served on, by `on`.
        gpu: the fields that are others where it is served on GPUs, as measured (docs/how-to/gpu.md); None: it is not.
        configure: what more its config says.
        own_tokenizer: its tensors have types and lengths of their own; the other engines of a name share a tokenizer.
        findings: what `tbgen check` finds in the models with its file beyond its backend's rules.
    Around it:
        graph: the one that measured best (docs/explanation/performance.md), for --graph auto.
        own_process: how --graph single runs it; None: its file is not ready before Triton runs.
        calls: settings of the BLS call.
        copies: instances of the Python models of a graph, where one is not the best: tokenizer, bls, single.
        optimize: its export is fused, for the families that ONNX Runtime fuses.
        cuda: settings of ONNX Runtime's CUDA provider.
        padding_cost: of a padded token beside a real one, in the packed layout, at a width of 768.
        knobs: the values that `tbgen tune` tries, by knob, where they are not those of server/tune/knobs.py; none for
            what it must leave alone.
    """

    name: str
    backend: str
    platform: str
    file: str
    precision: str
    format: str = ONNX_FILE
    layouts: tuple[str, ...] = (PACKED, PADDED)
    expect: Callable[..., Exported] = _expect_onnx
    export: Callable[..., Exported] = _export_onnx
    refuse: Callable[[Engine, Exported], None] = _anything
    builder: Builder | None = None
    run: Callable[[Exported], Run] = _run_onnx
    here: Callable[[], bool] = lambda: True
    twin: bool = False
    bounds: Precision | None = None
    instances: str = "KIND_AUTO"
    rows: int = 32
    configure: Callable[[ModelConfig, EngineModel], None] = _as_it_is
    device: str = CPU
    gpu: Mapping[str, Any] | None = field(default_factory=dict)
    own_tokenizer: bool = False
    findings: Callable[[Model], Iterator[Finding]] = lambda _: iter(())
    graph: str = "bls"
    own_process: OwnProcess | None = OwnProcess()
    calls: Mapping[str, Any] = field(default_factory=dict)
    copies: Mapping[str, int] = field(default_factory=dict)
    optimize: bool = False
    cuda: Mapping[str, str] = field(default_factory=dict)
    padding_cost: float = 0.1
    knobs: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def on_gpu(self) -> bool:
        """Whether it runs on GPUs alone."""
        return self.instances == "KIND_GPU"

    @property
    def kind(self) -> str:
        """Of its instances, as a config says it."""
        return "KIND_GPU" if self.device == GPU else self.instances

    def on(self, device: str) -> Engine:
        """The engine as it is served on a device."""
        return replace(self, device=GPU, **(self.gpu or {})) if device == GPU else self

    @property
    def gate(self) -> Precision:
        """What its answers are held to."""
        from tbgen.export.precision.precision import precision_named

        return self.bounds or precision_named(self.precision)

    def mark(self, exported: Exported) -> Exported:
        """What its export made, said to be its alone where that is one of its own."""
        return replace(exported, made=replace(exported.made, engine=self.name)) if self.exports_itself else exported

    @property
    def exports_itself(self) -> bool:
        """Whether it runs what its own export made, and nothing else."""
        return self.export is not _export_onnx
