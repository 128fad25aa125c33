"""PyTorch FP16 in milliseconds, eager and in a CUDA graph: `python -m benchmarks.gpu.torch_times large base sample`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from statistics import median

import torch
from transformers import AutoModelForSequenceClassification

from benchmarks.models import checkpoint_of_shape
from benchmarks.table import Row, row_of, show
from tbgen.generator.presets import SAMPLES

SIZES = ((1, 300), (1, 128), (32, 128), (32, 300))  # texts, tokens
WARM, REPEATS = 10, 60


def rows(name: str) -> Iterator[Row]:
    """A shape with PyTorch's fastest stock attention; in the graph with a ready additive mask."""
    checkpoint = SAMPLES / "kcbert" if name == "sample" else checkpoint_of_shape(name)
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, attn_implementation="sdpa")
    model = model.eval().half().cuda()
    for texts, tokens in SIZES:
        ids = torch.randint(10, 500, (texts, tokens), device="cuda")
        mask, types = torch.ones_like(ids), torch.zeros_like(ids)
        additive = torch.zeros((texts, 1, tokens, tokens), device="cuda", dtype=torch.float16)
        with torch.inference_mode():
            yield row_of(f"{texts}x{tokens}, eager", [median_ms(lambda: model(ids, mask, types))])  # noqa: B023
            recorded = graph_of(lambda: model(ids, additive, types))  # noqa: B023
            yield row_of(f"{texts}x{tokens}, CUDA graph", [median_ms(recorded.replay)])


def graph_of(run: Callable[[], object]) -> torch.cuda.CUDAGraph:
    """What a call does on the GPU, recorded."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        run()
    return graph


def median_ms(run: Callable[[], object]) -> float:
    """The GPU's time for one call, median of many."""
    for _ in range(WARM):
        run()
    found = []
    for _ in range(REPEATS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        found.append(start.elapsed_time(end))
    return median(found)


if __name__ == "__main__":
    for shape in sys.argv[1:]:
        show(shape, list(rows(shape)))
