"""Runs of a session on a GPU, recorded as CUDA graphs: one launch in place of some hundred."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .micro_batches import Tensors

TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}  # of outputs
_FILLING = {"attention_mask": 1}  # of a row of padding, which has its own place; 0 of all others
GRAPHS = 256  # most buckets that are recorded: ONNX Runtime forgets none


@dataclass(frozen=True)
class _Recorded:
    """A bucket's tensors on the GPU, their binding, and the options that name its graph."""

    inputs: dict[str, Any]
    outputs: dict[str, Any]
    binding: Any
    options: Any


class CudaGraphs:
    """Replays runs on flat tokens, filled up with rows of padding to a bucket of tokens and rows.

    Args:
        session: on a GPU, with graphs enabled; for one thread.
        lengths: its input that takes the rows' lengths.
        most: tokens of the largest bucket; beyond it launching is not the limit.
        longest: most tokens of a row.
        device: the GPU's number; place: its memory's name.
    """

    def __init__(
        self, session: Any, lengths: str, *, most: int, longest: int, device: int, place: str = "cuda"
    ) -> None:
        self.session, self.lengths = session, lengths
        self.most, self.longest, self.place = most, longest, (place, device)
        self.recorded: dict[tuple[int, int], _Recorded] = {}
        self.outputs = {each.name: (each.shape[1:], TYPES.get(each.type)) for each in session.get_outputs()}
        self.eager = _run_options(-1)
        self.fixed = all(kind and all(isinstance(size, int) for size in dims) for dims, kind in self.outputs.values())

    def record_lone_texts(self) -> None:
        """Record the runs of one text, of each length: its first request would wait for that."""
        longest = {self.bucket(tokens, 1): tokens for tokens in range(1, self.longest + 1)}
        names = [each.name for each in self.session.get_inputs() if each.name != self.lengths]
        for tokens in longest.values():
            text = {name: np.full(tokens, _FILLING.get(name, 0), np.int64) for name in names}
            self.run({**text, self.lengths: np.array([tokens], np.int32)})

    def run(self, tensors: Tensors) -> Tensors | None:
        """The outputs for (tokens,) tensors with the rows' lengths; None where no bucket holds them."""
        lengths = tensors[self.lengths]
        tokens, rows = self.bucket(int(lengths.sum()), len(lengths))
        fill = row_lengths(tokens - int(lengths.sum()), rows - len(lengths))
        recorded = self.recorded.get((tokens, rows))
        full = len(self.recorded) == GRAPHS and recorded is None
        if not self.fixed or full or tokens > self.most or fill[0] > self.longest:
            return None
        filled = {name: filled_up(array, tokens, _FILLING.get(name, 0)) for name, array in tensors.items()}
        filled[self.lengths] = np.concatenate([lengths, fill])
        recorded = recorded or self.record(filled, (tokens, rows))
        for name, array in filled.items():
            recorded.inputs[name].update_inplace(array)
        self.session.run_with_iobinding(recorded.binding, recorded.options)
        return {name: value.numpy()[: len(lengths)] for name, value in recorded.outputs.items()}

    def bucket(self, tokens: int, rows: int) -> tuple[int, int]:
        """The next 128 tokens (64 up to 256), the next 8 rows (2 for one): at least one row of padding each."""
        rows = 2 if rows == 1 else -(-(rows + 1) // 8) * 8
        least = tokens + 1 if rows == 2 else tokens + 8
        step = 64 if least <= 256 else 128
        return -(-least // step) * step, rows

    def record(self, filled: Tensors, bucket: tuple[int, int]) -> _Recorded:
        """Tensors for a bucket; its graph is recorded at its first run."""
        import onnxruntime

        value, binding = onnxruntime.OrtValue, self.session.io_binding()
        inputs = {name: value.ortvalue_from_numpy(array, *self.place) for name, array in filled.items()}
        outputs = {
            name: value.ortvalue_from_shape_and_type([bucket[1], *dims], kind, *self.place)
            for name, (dims, kind) in self.outputs.items()
        }
        for name, each in inputs.items():
            binding.bind_ortvalue_input(name, each)
        for name, each in outputs.items():
            binding.bind_ortvalue_output(name, each)
        self.recorded[bucket] = _Recorded(inputs, outputs, binding, _run_options(len(self.recorded) + 1))
        return self.recorded[bucket]


def _run_options(graph: int) -> Any:
    """What a run is told: the number of its graph, -1 for none."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph))
    return options


def row_lengths(tokens: int, rows: int) -> np.ndarray:
    """(rows,) INT32 lengths of rows that share tokens out among them, the first the longest."""
    lengths = np.full(rows, tokens // rows, np.int32)
    lengths[: tokens % rows] += 1
    return lengths


def filled_up(array: np.ndarray, tokens: int, value: int) -> np.ndarray:
    """(tokens,) an array, and this value behind it."""
    return np.concatenate([array, np.full(tokens - len(array), value, array.dtype)])
