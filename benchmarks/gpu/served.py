"""Serve a plan by the embedded server and measure it: one client's waiting time, throughput with many texts a request.

    python -m benchmarks.gpu.served FOLDER SHAPE NAME [tokenizers=N] [bls=N] [rows=N] [clients=MOST] [seconds=N]

Runs where TensorRT is installed, on what benchmarks.gpu.plans wrote to FOLDER. Clients are processes of their own.
"""

from __future__ import annotations

import multiprocessing
import re
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.shapes import say, sentences
from tbgen.export.exported import exported_from_folder
from tbgen.export.tensorrt_profiles import profiles_of
from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.embedded import EmbeddedServer, server_on_free_ports

SECONDS = 6
CLIENTS = (1, 4, 8, 16)


def main(folder: Path, shape: str, name: str, options: dict[str, int]) -> None:
    """Scaffold, serve, measure the ensemble and the BLS."""
    exported = exported_from_folder(folder / shape / name)
    fixed_rows = {
        rows for profile in profiles_of(exported.made) for rows in range(profile.least[0], profile.most[0] + 1)
    }
    repository = folder / "repositories" / f"{shape}-{name}"
    scaffold(Request("kcbert", folder / shape / name, engine="trt_fp16", vendor=False), repository, force=True)
    set_instances(repository / "kcbert_trt_fp16_tokenizer", options.get("tokenizers", 1))
    set_instances(repository / "kcbert_trt_fp16_bls", options.get("bls", 1))
    with served(folder, repository) as server:
        check_answers(folder, shape, name, server)
        texts = sentences(512)
        for model in ("kcbert_trt_fp16_ensemble", "kcbert_trt_fp16_bls"):
            for rows in (options["rows"],) if "rows" in options else (1, 32):
                if model.endswith("ensemble") and rows not in fixed_rows:
                    continue
                for clients in (count for count in CLIENTS if count <= options.get("clients", CLIENTS[-1])):
                    found = load(server.http_url, model, texts, rows, clients, options.get("seconds", SECONDS))
                    say(folder, shape=shape, what="served", plan=name, model=model, **options | found)


@contextmanager
def served(folder: Path, repository: Path) -> Iterator[EmbeddedServer]:
    """The embedded server on a repository."""
    log = folder / f"{repository.name}.log"
    began = time.perf_counter()
    with server_on_free_ports(repository, log=log) as server:
        print(f"{repository.name}: ready after {time.perf_counter() - began:.1f} s", flush=True)
        yield server


def set_instances(model: Path, count: int) -> None:
    """Change the number of a Python model's processes in its config.pbtxt."""
    config = model / "config.pbtxt"
    text = config.read_text(encoding="utf-8")
    config.write_text(re.sub(r"(instance_group \{\s*count: )\d+", rf"\g<1>{count}", text), encoding="utf-8")


def check_answers(folder: Path, shape: str, name: str, server: EmbeddedServer) -> None:
    """Ensemble and BLS, asked by the project's own client, against PyTorch's FP32 classes."""
    from tbgen.server.client import infer

    known = np.load(folder / shape / "reference.npz")
    longest = max(profile.most[1] for profile in profiles_of(exported_from_folder(folder / shape / name).made))
    expected = softmax(known[f"fp32_{128 if longest < 300 else 300}"])
    texts = sentences(len(expected))
    rows = {"kcbert_trt_fp16_bls": 128, "kcbert_trt_fp16_ensemble": 32}
    for model in rows:
        try:
            answers = infer(model, texts, url=server.grpc_url)
        except Exception as error:  # noqa: BLE001 - the other model is measured all the same
            say(folder, shape=shape, what="answers", plan=name, model=model, error=str(error))
            continue
        got = np.array([answer["softmax"] for answer in answers])
        say(
            folder,
            shape=shape,
            what="answers",
            plan=name,
            model=model,
            texts=len(texts),
            max_abs_probability=float(np.abs(got - expected).max()),
            flips=int((got.argmax(1) != expected.argmax(1)).sum()),
        )


def softmax(logits: np.ndarray) -> np.ndarray:
    """(texts, classes) to probabilities."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def load(url: str, model: str, texts: list[str], rows: int, clients: int, seconds: float) -> dict[str, Any]:
    """Closed loop: each client sends `rows` texts a request, over and over. Texts a second, milliseconds a request."""
    context = multiprocessing.get_context("spawn")  # a fork would inherit gRPC and gevent half alive
    ready, go, results = context.Barrier(clients + 1), context.Event(), context.Queue()
    processes = [
        context.Process(
            target=client, args=(url, model, texts[first::clients], rows, seconds, ready, go, results), daemon=True
        )
        for first in range(clients)
    ]
    for process in processes:
        process.start()
    ready.wait(timeout=60)
    before = statistics_of(url, model)
    go.set()
    waits = [wait for _ in processes for wait in results.get(timeout=seconds + 60)]
    for process in processes:
        process.join()
    parts = split(before, statistics_of(url, model))
    waits.sort()
    return {
        "rows": rows,
        "clients": clients,
        "texts_per_s": round(len(waits) * rows / seconds, 1),
        "p50_ms": round(statistics.median(waits) * 1000, 3),
        "p99_ms": round(waits[int(len(waits) * 0.99)] * 1000, 3),
        "parts": parts,
    }


def client(
    url: str, model: str, texts: list[str], rows: int, seconds: float, ready: Barrier, go: Event, results: Any
) -> None:
    """One client: ready-made requests over one connection."""
    import tritonclient.http as triton

    connection = triton.InferenceServerClient(url)
    requests = []
    for start in range(0, max(len(texts) - rows, 1), rows):
        chunk = (texts[start : start + rows] * rows)[:rows]
        tensor = triton.InferInput("input_text", [rows, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([text.encode("utf-8") for text in chunk], dtype=object).reshape(rows, 1))
        requests.append([tensor])
    outputs = [triton.InferRequestedOutput("softmax")]
    for request in requests[:3]:
        connection.infer(model, request, outputs=outputs)
    ready.wait(timeout=60)
    go.wait()
    waits, end, turn = [], time.perf_counter() + seconds, 0
    while (began := time.perf_counter()) < end:
        connection.infer(model, requests[turn % len(requests)], outputs=outputs)
        waits.append(time.perf_counter() - began)
        turn += 1
    results.put(waits)


def statistics_of(url: str, model: str) -> dict[str, dict[str, int]]:  # noqa: ARG001
    """Triton's counters of all models: executions, and nanoseconds in queue, input, infer, output."""
    import tritonclient.http as triton

    rows = triton.InferenceServerClient(url).get_inference_statistics()["model_stats"]
    return {
        row["name"]: {
            "requests": row["inference_count"],
            "executions": row["execution_count"],
            **{
                key: row["inference_stats"][key]["ns"]
                for key in ("queue", "compute_input", "compute_infer", "compute_output")
            },
            "count": row["inference_stats"]["success"]["count"],
        }
        for row in rows
    }


def split(before: dict[str, dict[str, int]], after: dict[str, dict[str, int]]) -> dict[str, dict[str, float]]:
    """What each model did between two readings: items an execution, milliseconds a request in each part."""
    parts = {}
    for model, now in after.items():
        used = {key: now[key] - before[model][key] for key in now}
        if used["count"]:
            parts[model] = {
                "items_per_execution": round(used["requests"] / max(used["executions"], 1), 2),
                **{
                    f"{key}_ms": round(used[key] / used["count"] / 1e6, 3)
                    for key in ("queue", "compute_input", "compute_infer", "compute_output")
                },
            }
    return parts


if __name__ == "__main__":
    where, which, plan, *rest = sys.argv[1:]
    main(Path(where), which, plan, {key: int(value) for key, value in (option.split("=") for option in rest)})
