"""An ONNX Runtime session on a GPU: its libraries found, its provider there, or one sentence that says what is not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .own_process import missing

CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class CudaProviderError(RuntimeError):
    """ONNX Runtime does not run on the GPU; one sentence for a person."""


def cuda_session(file: Path, device: int, settings: Mapping[str, str]) -> Any:
    """A session on GPU `device`, with these settings of the provider; on the CPU for -1, where there is no Triton.

    Raises ImportError without ONNX Runtime, CudaProviderError where it would run the file on the CPU, and its own
    errors for a file that it cannot run.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise missing(error) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # with ever new shapes it takes memory and gains no time
    if device < 0:
        return onnxruntime.InferenceSession(str(file), options, providers=[_CPU])
    if CUDA not in onnxruntime.get_available_providers():
        raise CudaProviderError(
            f"this model runs on a GPU, and onnxruntime {onnxruntime.__version__} as it is here on CPUs alone: pip "
            "uninstall onnxruntime onnxruntime-gpu, then pip install onnxruntime-gpu[cuda,cudnn]"
        )
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # NVIDIA's packages, which lie where no loader looks; those of the system else
    options.intra_op_num_threads = 1  # what is left to the CPU is arithmetic on lengths
    provider = (CUDA, {**settings, "device_id": str(device)})
    session = onnxruntime.InferenceSession(str(file), options, providers=[provider, _CPU])
    if session.get_providers()[0] != CUDA:
        raise CudaProviderError(
            f"onnxruntime {onnxruntime.__version__} did not get GPU {device}, and would run this model on the CPU: the "
            "log says which library is missing; pip install onnxruntime-gpu[cuda,cudnn] brings NVIDIA's"
        )
    return session
