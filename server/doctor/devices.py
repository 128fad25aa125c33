"""NVIDIA's driver and GPUs, and the libraries above them: CUDA's, cuDNN, TensorRT."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tbgen.server.doctor.packages import EXTRAS
from tbgen.server.doctor.part import BROKEN, MISSING, WORKS, MachinePart
from tbgen.server.doctor.questions import ask

CUDA_PACKAGES = "pip install 'onnxruntime-gpu[cuda,cudnn]'"  # of NVIDIA's, of the versions that this build takes
_KERNEL = Path("/proc/driver/nvidia/version")
_NO_GPU = "CUDA error 100"  # CUDA_ERROR_NO_DEVICE


@dataclass(frozen=True)
class _Libraries:
    """Shared libraries that come together: their names by version, the newest first, and what they are for."""

    name: str
    versions: dict[str, tuple[str, ...]]
    enables: str
    mend: str


_ALL = (
    _Libraries(
        "CUDA libraries",
        {
            "13": ("libcudart.so.13", "libcublas.so.13", "libcublasLt.so.13"),
            "12": ("libcudart.so.12", "libcublas.so.12", "libcublasLt.so.12"),
            "11": ("libcudart.so.11.0", "libcublas.so.11", "libcublasLt.so.11"),
        },
        "the CUDA provider of ONNX Runtime, which takes those of the version that it was built for",
        f"{CUDA_PACKAGES}, or NVIDIA's CUDA toolkit",
    ),
    _Libraries(
        "cuDNN",
        {"9": ("libcudnn.so.9",), "8": ("libcudnn.so.8",)},
        "the CUDA provider of ONNX Runtime (9 since 1.19)",
        CUDA_PACKAGES,
    ),
    _Libraries(
        "TensorRT libraries",
        {"11": ("libnvinfer.so.11",), "10": ("libnvinfer.so.10",), "8": ("libnvinfer.so.8",)},
        "the TensorRT provider of ONNX Runtime; plans are run by those of the version that built them",
        "pip install tensorrt, of the version in the container that serves",
    ),
)
_MODULES = {
    "TensorRT": (
        "tensorrt",
        EXTRAS["tensorrt"],
        "pip install --force-reinstall tensorrt",
    ),
    "TensorRT-RTX": (
        "tensorrt_rtx_bindings",
        EXTRAS["rtx"],
        "pip install --upgrade 'tbgen[rtx]'",
    ),
}


def driver_part() -> MachinePart:
    """NVIDIA's driver and the GPUs that it shows to this process."""
    answer, enables = ask("driver"), "engines on a GPU: --device gpu, plans, the CUDA provider"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    seen = "" if hidden is None else f"; CUDA_VISIBLE_DEVICES={hidden!r} chooses among its GPUs"
    if answer.value:
        gpus = "; ".join(answer.value["gpus"]) or "no GPU"
        return MachinePart("driver", WORKS, f"runs CUDA {answer.value['cuda']}: {gpus}{seen}", enables)
    mend = "install NVIDIA's driver; in a container, start it with --gpus all"
    if "libcuda.so.1" in answer.failure and not _KERNEL.exists():
        return MachinePart("driver", MISSING, "there is no libcuda.so.1", enables, mend)
    if _NO_GPU in answer.failure:
        return MachinePart("driver", MISSING, f"it shows no GPU to this process{seen}", enables, mend)
    mend = "the libcuda.so.1 that is loaded must be that of the kernel's module: restart the machine after an update"
    return MachinePart("driver", BROKEN, f"{answer.failure}{seen}", enables, mend)


def library_parts() -> Iterator[MachinePart]:
    """CUDA's libraries, cuDNN and TensorRT, found by the loader or in Python's packages, and their Python modules."""
    beside = _beside_python()
    for each in _ALL:
        by_loader = ask("libraries", *(name for names in each.versions.values() for name in names)).value or []
        found = [f"{version} by the loader" for version, names in each.versions.items() if {*names} <= {*by_loader}]
        found += [
            f"{version} in {beside[names[0]]}, where ONNX Runtime is told to look"
            for version, names in each.versions.items()
            if not {*names} <= {*by_loader} and {*names} <= beside.keys()
        ]
        state, mend = (WORKS, "") if found else (MISSING, each.mend)
        yield MachinePart(each.name, state, ", ".join(found) or "not found", each.enables, mend)
    for name, (module, enables, mend) in _MODULES.items():
        answer = ask("module", module)
        if answer.value is not None:
            yield MachinePart(name, WORKS, answer.value, enables)
        elif f"No module named '{module}'" not in answer.failure:  # that it is not there is said of its extra
            yield MachinePart(name, BROKEN, answer.failure, enables, mend)


def _beside_python() -> dict[str, Path]:
    """The shared libraries that NVIDIA's packages for Python have put beside it: name -> folder."""
    folders = (Path(entry) for entry in sys.path if entry)
    patterns = ("nvidia/**/lib*.so.*", "tensorrt_libs/lib*.so.*")
    return {file.name: file.parent for folder in folders for pattern in patterns for file in folder.glob(pattern)}
