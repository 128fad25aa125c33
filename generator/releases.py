"""Table of Triton's releases: what runs inside NVIDIA's container of each, and what that can read.

Sources: server version and ONNX Runtime from build.py of the server's release branches; Python from the container's
base image (Ubuntu 22.04 up to 24.10, 24.04 from 24.11 on); TensorRT from NVIDIA's release notes, only its major version
where no source gave more; opset and IR by loading models of rising numbers in each ONNX Runtime; fields from
model_config.proto of the release branches. ONNX Runtime has the attention of engine onnx_cuda from 1.16 on, which is
that of the oldest release here.
"""

from __future__ import annotations

from dataclasses import dataclass

from tbgen.export.errors import NoSuchName

# ONNX Runtime's minor version -> (highest opset of the domain ai.onnx, highest IR version) that it loads.
_ONNX_READ = {
    "1.16": (19, 9),
    "1.17": (20, 9),
    "1.18": (21, 10),
    "1.19": (21, 10),
    "1.20": (21, 10),
    "1.21": (22, 10),
    "1.22": (22, 10),
    "1.23": (23, 11),
    "1.24": (25, 13),
    "1.27": (26, 13),
}

# Fields of config.pbtxt -> the first release whose server knows them; a server before that refuses the whole config.
FIELDS_SINCE = {
    "ModelConfig.runtime": "24.01",
    "ModelInput.is_non_linear_format_io": "24.08",
    "ModelOutput.is_non_linear_format_io": "24.08",
    "ModelConfig.model_metrics": "24.11",
    "ModelEnsembling.max_inflight_requests": "25.11",
}

# The first release whose onnxruntime backend knows the accelerator "cuda" (onnxruntime_backend#256, June 2024).
CUDA_SETTINGS_SINCE = "24.07"


@dataclass(frozen=True)
class Release:
    """One monthly release: its container's name, the server in it, the stub's Python, the runtimes of its engines."""

    name: str
    server: str
    python: tuple[int, int]
    onnxruntime: str
    tensorrt: str

    @property
    def opset(self) -> int:
        """The highest opset of ai.onnx that its ONNX Runtime loads."""
        return _ONNX_READ[self.onnxruntime.rpartition(".")[0]][0]

    @property
    def ir(self) -> int:
        """The highest IR version that its ONNX Runtime loads."""
        return _ONNX_READ[self.onnxruntime.rpartition(".")[0]][1]

    def knows(self, field: str) -> bool:
        """Whether its server reads a field, named as in FIELDS_SINCE."""
        return self.name >= FIELDS_SINCE.get(field, self.name)


RELEASES = {
    release.name: release
    for release in (
        Release("23.09", "2.38.0", (3, 10), "1.16.0", "8.6"),
        Release("23.10", "2.39.0", (3, 10), "1.16.0", "8.6"),
        Release("23.11", "2.40.0", (3, 10), "1.16.3", "8.6"),
        Release("23.12", "2.41.0", (3, 10), "1.16.3", "8.6"),
        Release("24.01", "2.42.0", (3, 10), "1.16.3", "8.6"),
        Release("24.02", "2.43.0", (3, 10), "1.16.3", "8.6"),
        Release("24.03", "2.44.0", (3, 10), "1.17.2", "8.6"),
        Release("24.04", "2.45.0", (3, 10), "1.17.3", "8.6"),
        Release("24.05", "2.46.0", (3, 10), "1.18.0", "10.0"),
        Release("24.06", "2.47.0", (3, 10), "1.18.0", "10"),
        Release("24.07", "2.48.0", (3, 10), "1.18.1", "10"),
        Release("24.08", "2.49.0", (3, 10), "1.19.0", "10"),
        Release("24.09", "2.50.0", (3, 10), "1.19.2", "10"),
        Release("24.10", "2.51.0", (3, 10), "1.19.2", "10"),
        Release("24.11", "2.52.0", (3, 12), "1.19.2", "10"),
        Release("24.12", "2.53.0", (3, 12), "1.20.1", "10.7"),
        Release("25.01", "2.54.0", (3, 12), "1.20.1", "10"),
        Release("25.02", "2.55.0", (3, 12), "1.20.1", "10"),
        Release("25.03", "2.56.0", (3, 12), "1.21.0", "10"),
        Release("25.04", "2.57.0", (3, 12), "1.21.0", "10"),
        Release("25.05", "2.58.0", (3, 12), "1.22.0", "10"),
        Release("25.06", "2.59.0", (3, 12), "1.22.0", "10"),
        Release("25.07", "2.59.1", (3, 12), "1.22.0", "10"),
        Release("25.08", "2.60.0", (3, 12), "1.23.0", "10"),
        Release("25.09", "2.61.0", (3, 12), "1.23.0", "10"),
        Release("25.10", "2.62.0", (3, 12), "1.23.1", "10"),
        Release("25.11", "2.63.0", (3, 12), "1.23.2", "10"),
        Release("25.12", "2.64.0", (3, 12), "1.23.2", "10"),
        Release("26.01", "2.65.0", (3, 12), "1.23.2", "10"),
        Release("26.02", "2.66.0", (3, 12), "1.24.1", "10"),
        Release("26.03", "2.67.0", (3, 12), "1.24.2", "10"),
        Release("26.04", "2.68.0", (3, 12), "1.24.4", "10"),
        Release("26.05", "2.69.0", (3, 12), "1.24.4", "10"),
        Release("26.06", "2.70.0", (3, 12), "1.24.4", "11"),
        Release("26.07", "2.71.0", (3, 12), "1.27.0", "11"),
    )
}


def release_named(name: str) -> Release:
    """The release of a container's tag such as 24.10. Raises NoSuchName."""
    if name not in RELEASES:
        raise NoSuchName("Triton release", name, list(RELEASES))
    return RELEASES[name]
