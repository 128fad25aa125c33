"""NVIDIA's driver, called through ctypes: a stream, memory, copies, recorded graphs."""

import ctypes
from ctypes import byref, c_char_p, c_float, c_int, c_size_t, c_uint, c_ulonglong, c_void_p

import numpy as np

from .plan import PlanError

LIBRARY = "libcuda.so.1"
NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: no waiting for the default stream
THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL


class CudaError(PlanError):
    """A call of the driver failed."""


def driver() -> ctypes.CDLL:
    """The CUDA driver, initialised. Raises PlanError where there is none, or no GPU."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        raise PlanError(
            f"no GPU: {LIBRARY} is not on this machine; plans are built and run on one with NVIDIA's driver"
        ) from None
    count = c_int()
    if library.cuInit(0) or library.cuDeviceGetCount(byref(count)) or not count.value:
        raise PlanError("no GPU: NVIDIA's driver finds none on this machine; plans are built and run on one")
    return library


class Stream:
    """A stream in the device's primary context (the one that TensorRT uses), and the memory used with it."""

    def __init__(self, device: int = 0) -> None:
        self.library = driver()
        handle, self.context, stream = c_int(), c_void_p(), c_void_p()
        self.call("cuDeviceGet", byref(handle), device)
        self.call("cuDevicePrimaryCtxRetain", byref(self.context), handle)
        self.enter()
        self.call("cuStreamCreate", byref(stream), NON_BLOCKING)
        self.handle = stream.value or 0
        self.pointer = stream

    def call(self, name: str, *arguments: object) -> None:
        """Call a function of the driver. Raises CudaError with the driver's own words."""
        if status := getattr(self.library, name)(*arguments):
            words = c_char_p()
            self.library.cuGetErrorString(status, byref(words))
            raise CudaError(f"{name}: {(words.value or str(status).encode()).decode('utf-8')}")

    def enter(self) -> None:
        """Make the context the calling thread's."""
        self.call("cuCtxSetCurrent", self.context)

    def device_memory(self, size: int) -> int:
        """Address of `size` bytes on the device."""
        address = c_ulonglong()
        self.call("cuMemAlloc_v2", byref(address), c_size_t(size))
        return address.value

    def pinned_memory(self, size: int) -> np.ndarray:
        """`size` bytes of page-locked memory, (size,) uint8; copies from it run beside the processor."""
        address = c_void_p()
        self.call("cuMemHostAlloc", byref(address), c_size_t(size), c_uint(0))
        return np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8)), (size,))

    def to_device(self, address: int, source: np.ndarray, size: int) -> None:
        """Begin to copy `size` bytes of pinned memory."""
        self.call(
            "cuMemcpyHtoDAsync_v2", c_ulonglong(address), c_void_p(source.ctypes.data), c_size_t(size), self.pointer
        )

    def to_host(self, target: np.ndarray, address: int, size: int) -> None:
        """Begin to copy `size` bytes into pinned memory."""
        self.call(
            "cuMemcpyDtoHAsync_v2", c_void_p(target.ctypes.data), c_ulonglong(address), c_size_t(size), self.pointer
        )

    def wait(self) -> None:
        """Return when all that was begun is done."""
        self.call("cuStreamSynchronize", self.pointer)

    def event(self) -> c_void_p:
        """A mark in the stream, for `milliseconds`."""
        mark = c_void_p()
        self.call("cuEventCreate", byref(mark), c_uint(0))
        self.call("cuEventRecord", mark, self.pointer)
        return mark

    def milliseconds(self, start: c_void_p, end: c_void_p) -> float:
        """The device's time between two marks that are done; the marks are given back."""
        between = c_float()
        self.call("cuEventElapsedTime", byref(between), start, end)
        for mark in (start, end):
            self.call("cuEventDestroy_v2", mark)
        return between.value

    def begin_capture(self) -> None:
        """Record what follows instead of running it."""
        self.call("cuStreamBeginCapture_v2", self.pointer, THREAD_LOCAL)

    def end_capture(self) -> c_void_p:
        """What was recorded, as a graph to launch."""
        graph, executable = c_void_p(), c_void_p()
        self.call("cuStreamEndCapture", self.pointer, byref(graph))
        self.call("cuGraphInstantiateWithFlags", byref(executable), graph, c_ulonglong(0))
        self.call("cuGraphDestroy", graph)
        return executable

    def launch(self, graph: c_void_p) -> None:
        """Begin to run a recorded graph."""
        self.call("cuGraphLaunch", graph, self.pointer)
