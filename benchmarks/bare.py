"""The physical limit: ONNX Runtime in a loop over ready token arrays, no server, no tokenizer.

`python -m benchmarks.bare MODEL ARRAYS THREADS SECONDS` is one worker: it loads, waits for a line on standard input,
runs, and prints the sentences and the seconds. Several workers are several sessions.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def bare_rate(model: Path, arrays: Path, *, threads: int, sessions: int, seconds: float) -> float:
    """Sentences a second of `sessions` processes of `threads` threads each, side by side."""
    command = [sys.executable, "-m", "benchmarks.bare", str(model), str(arrays), str(threads), str(seconds)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(sessions)
    ]
    for worker in workers:
        assert worker.stdout
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("\n")
        worker.stdin.flush()
    counted = [worker.communicate()[0].split() for worker in workers]
    return sum(int(sentences) / float(took) for sentences, took in counted)


def save_batches(batches: Sequence[np.ndarray], file: Path) -> None:
    """Keep token id arrays (rows, length) for the workers."""
    np.savez(file, *batches)


def main() -> None:
    """One worker."""
    import onnxruntime

    model, arrays, threads, seconds = sys.argv[1:5]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    loaded = np.load(arrays)
    names = [node.name for node in session.get_inputs()]
    feeds = []
    for key in loaded.files:
        ids = loaded[key]
        columns = {
            "input_ids": ids,
            "attention_mask": (ids != 0).astype(np.int64),
            "token_type_ids": np.zeros_like(ids),
        }
        feeds.append({name: columns[name] for name in names})
    for feed in feeds[:4]:
        session.run(None, feed)
    print("ready", flush=True)
    sys.stdin.readline()
    began, sentences, turn = time.perf_counter(), 0, 0
    while time.perf_counter() - began < float(seconds):
        feed = feeds[turn % len(feeds)]
        session.run(None, feed)
        sentences += len(feed["input_ids"])
        turn += 1
    print(sentences, time.perf_counter() - began)


if __name__ == "__main__":
    main()
