"""The physical limit: a bare loop in fresh processes, no server; ONNX Runtime over token arrays, or a tokenizer."""

from __future__ import annotations

import itertools
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier

import numpy as np

Loop = Callable[[], Iterator[int]]  # each step does some work and gives the texts in it
WARM = 4  # steps before the clock runs
_together: list[Barrier] = []  # of this process, where all of them begin


def bare_rate(loop: Loop, seconds: float, sessions: int = 1) -> float:
    """Texts a second of `sessions` processes side by side, each with a loop of its own."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(sessions)
    with ProcessPoolExecutor(sessions, context, initializer=begin_with, initargs=(barrier,)) as pool:
        return sum(pool.map(one_rate, [loop] * sessions, [seconds] * sessions))


def begin_with(barrier: Barrier) -> None:
    _together.append(barrier)


def one_rate(loop: Loop, seconds: float) -> float:
    """Texts a second of this process, once all are ready."""
    steps, texts = loop(), 0
    for _ in range(WARM):
        next(steps)
    _together[0].wait()
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        texts += next(steps)
    return texts / (time.perf_counter() - began)


def engine_rate(
    model: Path, batches: Sequence[np.ndarray], *, threads: int, sessions: int = 1, seconds: float
) -> float:
    """Texts a second of an ONNX file on token ids (rows, length), zeros behind each row."""
    return bare_rate(partial(engine_loop, model, batches, threads), seconds, sessions)


def engine_loop(model: Path, batches: Sequence[np.ndarray], threads: int) -> Iterator[int]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    feeds = [{name: columns_of(ids)[name] for name in names} for ids in batches]
    for feed in itertools.cycle(feeds):
        session.run(None, feed)
        yield len(feed["input_ids"])


def columns_of(ids: np.ndarray) -> dict[str, np.ndarray]:
    """A BERT's tensors of token ids (rows, length), zeros behind each row."""
    return {
        "input_ids": ids,
        "attention_mask": (ids != 0).astype(ids.dtype),
        "token_type_ids": np.zeros_like(ids),
    }
