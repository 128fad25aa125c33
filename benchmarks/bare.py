"""The physical limit: a bare loop in fresh processes, no server; ONNX Runtime over token arrays, or a tokenizer."""

from __future__ import annotations

import itertools
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any
from unittest.mock import patch

import numpy as np

from tbgen.server.embedded.wheel import LARGE_PAGES

Loop = Callable[[], Iterator[int]]  # each step does some work and gives the texts in it
WARM = 4  # steps before the clock runs
_together: list[Barrier] = []  # of this process, where all of them begin


@dataclass(frozen=True)
class Batch:
    """What one call of an engine gets: how many texts, and its tensors."""

    texts: int
    tensors: dict[str, np.ndarray]


def bare_rate(loop: Loop, seconds: float, sessions: int = 1) -> float:
    """Texts a second of `sessions` processes side by side, each with a loop of its own, large pages as the server's."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(sessions)
    with (
        patch.dict("os.environ", LARGE_PAGES),
        ProcessPoolExecutor(sessions, context, initializer=begin_with, initargs=(barrier,)) as pool,
    ):
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


def engine_rate(model: Path, batches: Sequence[Batch], *, threads: int, sessions: int = 1, seconds: float) -> float:
    """Texts a second of an ONNX file on ready batches, over and over."""
    return bare_rate(partial(engine_loop, model, batches, threads), seconds, sessions)


def engine_loop(model: Path, batches: Sequence[Batch], threads: int) -> Iterator[int]:
    session = session_of(model, threads)
    for batch in itertools.cycle(batches):
        session.run(None, batch.tensors)
        yield batch.texts


def session_of(model: Path, threads: int) -> Any:
    """ONNX Runtime's session of a file, its settings but for the threads those that it has by itself."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def rates_in_turn(model: Path, ways: Sequence[Sequence[Batch]], *, threads: int, passes: int) -> list[float]:
    """Texts a second of several ways to batch the same texts: the fastest pass of each, in turn, in one process."""
    context = multiprocessing.get_context("spawn")
    with patch.dict("os.environ", LARGE_PAGES), ProcessPoolExecutor(1, context) as pool:
        return pool.submit(fastest_passes, model, ways, threads, passes).result()


def fastest_passes(model: Path, ways: Sequence[Sequence[Batch]], threads: int, passes: int) -> list[float]:
    session, best = session_of(model, threads), [0.0] * len(ways)
    for batch in ways[0][:WARM]:
        session.run(None, batch.tensors)
    for _ in range(passes):
        for place, batches in enumerate(ways):
            began = time.perf_counter()
            for batch in batches:
                session.run(None, batch.tensors)
            best[place] = max(best[place], sum(batch.texts for batch in batches) / (time.perf_counter() - began))
    return best


def columns_of(ids: np.ndarray) -> dict[str, np.ndarray]:
    """A BERT's tensors of token ids (rows, length), zeros behind each row."""
    return {
        "input_ids": ids,
        "attention_mask": (ids != 0).astype(ids.dtype),
        "token_type_ids": np.zeros_like(ids),
    }
