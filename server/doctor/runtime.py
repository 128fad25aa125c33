"""ONNX Runtime: which build is there, whether two are, and which of its execution providers run for real."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

from tbgen.server.doctor.devices import CUDA_PACKAGES
from tbgen.server.doctor.packages import packages_of_module
from tbgen.server.doctor.part import BROKEN, MISSING, WORKS, MachinePart
from tbgen.server.doctor.questions import Reply, ask

_NAME, _CUDA, _TENSORRT = "ONNX Runtime", "CUDAExecutionProvider", "TensorrtExecutionProvider"
_DRIVER_FIRST = "it needs NVIDIA's driver first"
_UNUSED = ("AzureExecutionProvider",)  # calls models elsewhere
_ENABLES = {
    "CPUExecutionProvider": "ONNX engines on this processor",
    _CUDA: "ONNX engines on a GPU here, in tbgen serve, run and verify",
    _TENSORRT: "what engine onnx_trt does in NVIDIA's container, here",
}
_LIBRARIES = {_CUDA: f"{CUDA_PACKAGES}, or set LD_LIBRARY_PATH to the folders that have them"}


def runtime_parts(*, gpu: bool) -> Iterator[MachinePart]:
    """ONNX Runtime and its providers; `gpu`: whether NVIDIA's driver has one here."""
    installed = packages_of_module("onnxruntime")
    found = ask("onnxruntime")
    yield _build(installed, found)
    if found.value is None:
        return
    there = [name for name in found.value["providers"] if name not in _UNUSED]
    for name in sorted({*there, _CUDA}, key=[*_ENABLES, *there].index):
        yield _provider(name, gpu=gpu, in_build=name in there)


def _build(installed: list[str], found: Reply) -> MachinePart:
    """Which package is there."""
    enables = "ONNX engines: tbgen export, scaffold, run and serve"
    named = " and ".join(f"{name} {version(name)}" for name in installed)
    if len(installed) > 1:
        says = f"{named} are installed into one module, onnxruntime: the files of one lie over the other's"
        mend = f"pip uninstall -y {' '.join(installed)}, then install one: onnxruntime-gpu has the CPU's provider too"
        return MachinePart(_NAME, BROKEN, says, enables, mend)
    if found.value is None and not installed and "ModuleNotFoundError" in found.failure:
        return MachinePart(_NAME, MISSING, "not installed", enables, "pip install 'tbgen[server]'")
    if found.value is None:
        again = " ".join(installed) or "onnxruntime"
        mend = f"pip install --force-reinstall --no-deps {again}"
        return MachinePart(_NAME, BROKEN, f"{named or 'a folder onnxruntime'}: {found.failure}", enables, mend)
    cuda = found.value["cuda"]
    build = f"built for CUDA {cuda}" if cuda else "with CUDA" if _CUDA in found.value["providers"] else "for CPUs"
    return MachinePart(_NAME, WORKS, f"{named or found.value['version']}, {build}", enables)


def _provider(name: str, *, gpu: bool, in_build: bool) -> MachinePart:
    """One execution provider, asked to multiply two matrices."""
    part = f"{name.removesuffix('ExecutionProvider')} provider"
    enables = _ENABLES.get(name, "sessions that name it")
    if not in_build:
        mend = "pip install 'tbgen[gpu]', with onnxruntime uninstalled before" if gpu else _DRIVER_FIRST
        return MachinePart(part, MISSING, "this build of ONNX Runtime has none", enables, mend)
    answer = ask("provider", name)
    if answer.value:
        return MachinePart(part, WORKS, "ran a product of matrices", enables)
    state = BROKEN if gpu and name == _CUDA else MISSING
    mend = _LIBRARIES.get(name, "install the libraries that it names") if gpu else _DRIVER_FIRST
    return MachinePart(part, state, f"does not load: {answer.failure or 'its product is wrong'}", enables, mend)
