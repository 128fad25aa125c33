"""What may end a process, or leaves it changed, is asked in a process of its own: drivers, libraries, providers."""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_SECONDS = 120.0  # the first load of a GPU's libraries may take half of it
# y = x @ x, FP32 [2, 2], opset 13: runs wherever a provider does, and needs no onnx to be made.
_MODEL = (
    b'\x08\x08:@\n\x11\n\x01x\n\x01x\x12\x01y"\x06MatMul\x12\x01gZ\x13\n\x01x\x12\x0e\n\x0c\x08\x01\x12\x08\n\x02\x08'
    b"\x02\n\x02\x08\x02b\x13\n\x01y\x12\x0e\n\x0c\x08\x01\x12\x08\n\x02\x08\x02\n\x02\x08\x02B\x04\n\x00\x10\r"
)
# Settings with which a provider is loaded, and builds nothing.
_QUICK = {"TensorrtExecutionProvider": {"trt_min_subgraph_size": "1000"}}
# How ONNX Runtime words why a provider did not load, the clearest first.
_REASONS = (
    re.compile(r"with error: (.*)"),
    re.compile(r"(CUDA failure \d+: [^;]*)"),
    re.compile(r"(Failed to create \w+.*)"),
)


@dataclass(frozen=True)
class Reply:
    """What a process found, or in one line why it found nothing."""

    value: Any = None
    failure: str = ""


def ask(question: str, *arguments: str) -> Reply:
    """The answer of a function of this file."""
    command = [sys.executable, __file__, question, *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Reply(failure=f"gave no answer in {_SECONDS:.0f} s")
    if done.returncode == 0:
        return Reply(json.loads(done.stdout.splitlines()[-1]))
    if done.returncode < 0:
        return Reply(failure=f"ends its process (signal {-done.returncode})")
    return Reply(failure=_reason(done.stderr))


def _reason(said: str) -> str:
    """The line of a log that tells why."""
    for pattern in _REASONS:
        if found := pattern.search(said):
            return found[1].strip().rstrip(".")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "gave no reason"


def module(name: str) -> str:
    """The version of a module that can be imported. Raises what its import raises."""
    import importlib

    return str(getattr(importlib.import_module(name), "__version__", ""))


def libraries(*names: str) -> list[str]:
    """Those of the shared libraries that the loader finds by their names, and can load."""
    return [name for name in names if _loads(name)]


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def driver() -> dict[str, Any]:
    """NVIDIA's driver: the CUDA version that it runs, and its GPUs. Raises OSError without it, RuntimeError."""
    library = ctypes.CDLL("libcuda.so.1")
    version, count = ctypes.c_int(), ctypes.c_int()
    if status := library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(count)):
        words = ctypes.c_char_p()
        library.cuGetErrorString(status, ctypes.byref(words))
        raise RuntimeError(f"CUDA error {status}: {(words.value or b'unknown').decode()}")
    library.cuDriverGetVersion(ctypes.byref(version))
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return {"cuda": cuda, "gpus": [_gpu(library, number) for number in range(count.value)]}


def _gpu(library: ctypes.CDLL, number: int) -> str:
    """A GPU's name, memory and compute capability."""
    name, size = ctypes.create_string_buffer(256), ctypes.c_size_t()
    library.cuDeviceGetName(name, len(name), number)
    library.cuDeviceTotalMem_v2(ctypes.byref(size), number)
    major, minor = ctypes.c_int(), ctypes.c_int()
    library.cuDeviceGetAttribute(ctypes.byref(major), 75, number)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    library.cuDeviceGetAttribute(ctypes.byref(minor), 76, number)
    memory, capability = f"{size.value / 2**30:.0f} GiB", f"compute capability {major.value}.{minor.value}"
    return f"{name.value.decode()}, {memory}, {capability}"


def onnxruntime() -> dict[str, Any]:
    """ONNX Runtime's version, the CUDA version that it was built for, the providers that its build has."""
    import onnxruntime as runtime

    return {
        "version": runtime.__version__,
        "cuda": getattr(runtime, "cuda_version", ""),
        "providers": runtime.get_available_providers(),
    }


def provider(name: str) -> bool:
    """Whether a session runs by an execution provider; ONNX Runtime takes the CPU where it does not load, and says why.

    CUDA's libraries are looked for in Python's packages too, as in tbgen's sessions.
    """
    import numpy as np
    import onnxruntime as runtime

    if hasattr(runtime, "preload_dlls"):  # since 1.21
        runtime.preload_dlls()
    session = runtime.InferenceSession(_MODEL, providers=[(name, _QUICK.get(name, {}))])
    if name not in session.get_providers():
        raise SystemExit(1)
    product = session.run(None, {"x": np.full((2, 2), 2, np.float32)})[0]
    return bool(np.array_equal(product, np.full((2, 2), 8)))


_QUESTIONS: dict[str, Callable[..., Any]] = {
    each.__name__: each for each in (module, libraries, driver, onnxruntime, provider)
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(_QUESTIONS[sys.argv[1]](*sys.argv[2:])))
