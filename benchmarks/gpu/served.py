"""Serve a plan by the embedded server and hold it against the bare engine, both in the same run.

    python -m benchmarks.gpu.served FOLDER SHAPE NAME [front=1,2,4] [engine=1] [graphs=0] [rows=1,32] [clients=1,4,8,16]
        [seconds=3] [batcher=1] [awake=0]

Runs where TensorRT is installed, on what benchmarks.gpu.plans wrote to FOLDER. For every number of instances: answers
against PyTorch's, then the bare engine's loop over the same bucket before and after the served models' times. `front`
is the instances of the tokenizer, the BLS and the single model, `engine` those of the plan, `graphs=1` records CUDA
graphs, `batcher=0` takes the dynamic batcher away from the Python models, `awake=1` keeps the processors awake.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.shapes import random_tokens, say, sentences
from benchmarks.load import load, save_requests, triton_requests
from benchmarks.models import set_step
from tbgen.export.exported import exported_from_folder
from tbgen.export.tensorrt.profiles import Profile
from tbgen.generator.models.config import config_from_text, text_from_config
from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.embedded.server import EmbeddedServer, server_on_free_ports

ENGINE = "kcbert_trt_fp16"
TOKENIZER, POSTPROCESS = f"{ENGINE}_tokenizer", "kcbert_postprocess"
ENSEMBLE, BLS, SINGLE = (f"{ENGINE}_{graph}" for graph in ("ensemble", "bls", "single"))
FRONTS = (ENSEMBLE, BLS, SINGLE)
WARMUP = 0.5  # seconds of load before a point
LOOPS = 150  # runs of the bare engine for a point
COUNTERS = ("queue", "compute_input", "compute_infer", "compute_output")
DEFAULTS = {
    "front": "1,2,4",
    "engine": "1",
    "graphs": "0",
    "rows": "1,32",
    "clients": "1,4,8,16",
    "seconds": "3",
    "batcher": "1",
    "awake": "0",
}

Options = Mapping[str, Sequence[int]]


def main(folder: Path, shape: str, name: str, options: Options) -> None:
    """Every number of engine instances, and within a server every number of front instances."""
    repository = folder / "repositories" / f"{shape}-{name}"
    for graph in ("both", "single"):
        request = Request("kcbert", folder / shape / name, engine="trt_fp16", vendor=False, graph=graph)
        scaffold(request, repository, force=True)
    for engine, graphs in itertools.product(options["engine"], options["graphs"]):
        change(repository / ENGINE, count=engine, graphs=bool(graphs))
        set_step(repository / SINGLE, "PlanEngine", cuda_graphs=bool(graphs))
        bare = bare_engine(folder / shape / f"{name}.plan", graphs=bool(graphs))
        with served(folder, repository) as server:
            for front in options["front"]:
                for model in (TOKENIZER, BLS, SINGLE, POSTPROCESS):
                    count = 1 if model == POSTPROCESS else front
                    change(repository / model, count=count, batcher=bool(options["batcher"][0]))
                    reload(server, model)
                check_answers(folder, shape, name, server)
                setting = {"front": front, "engine": engine, "graphs": graphs, "batcher": options["batcher"][0]}
                with awake(bool(options["awake"][0])):
                    points(folder, shape, name, server, bare, options, setting | {"awake": options["awake"][0]})


def points(
    folder: Path, shape: str, name: str, server: EmbeddedServer, bare: Any, options: Options, setting: dict[str, int]
) -> None:
    """All points of one setting, each with the bare engine's times from before and after."""
    profiles = exported_from_folder(folder / shape / name).made.profiles
    for rows in options["rows"]:
        bucket = bucket_of(profiles, rows)
        if bucket is None:
            continue
        before = loop(bare, rows, bucket)
        found = []
        for clients in (1,) if rows == 1 else options["clients"]:
            for model in (ENGINE, *FRONTS) if clients in (1, 4) else FRONTS:
                requests = folder / f"{model}-{rows}.requests"
                save_requests(bodies(model, rows, bucket), requests)
                found.append(
                    {"model": model, "rows": rows, "clients": clients} | point(server, requests, clients, options)
                )
        after = loop(bare, rows, bucket)
        own = {key: min(before[key], after[key]) for key in before}
        for each in found:
            each["texts_per_s"] = round(each["requests_per_s"] * rows, 1)
            each["p50_over_bare"] = round(each["p50_ms"] / own["wall_ms"], 3)
            each["of_bare_loop"] = round(each["texts_per_s"] / (rows * 1000 / own["wall_ms"]), 3)
            say(folder, shape=shape, what="served", plan=name, **setting, bare=own, bucket=bucket, **each)


def bucket_of(profiles: Sequence[Profile], rows: int) -> int | None:
    """The tokens that the bundled sentences are padded to in a request of so many rows."""
    return min((profile.most[1] for profile in profiles if profile.least[0] <= rows <= profile.most[0]), default=None)


def bare_engine(plan: Path, *, graphs: bool) -> Any:
    """The plan in this process."""
    from tbgen.export.tensorrt.session import PlanSession

    return PlanSession(plan, graphs=graphs)


def loop(session: Any, rows: int, tokens: int) -> dict[str, float]:
    """The bare engine over ready arrays, one run after the other: milliseconds, medians, as the caller and the GPU see
    it."""
    inputs = random_tokens(rows, tokens)
    for _ in range(20):
        session.run(inputs)
    wall, device = [], []
    for _ in range(LOOPS):
        began = time.perf_counter()
        session.run(inputs)
        wall.append((time.perf_counter() - began) * 1000)
    for _ in range(LOOPS):
        start = session.stream.event()
        session.begin(rows, tokens)
        end = session.stream.event()
        session.stream.wait()
        device.append(session.stream.milliseconds(start, end))
    return {"wall_ms": round(statistics.median(wall), 3), "gpu_ms": round(statistics.median(device), 3)}


def bodies(model: str, rows: int, bucket: int) -> list[bytes]:
    """Ready-made HTTP requests: sentences for a front model, token arrays for the engine."""
    if model == ENGINE:
        return [token_request(rows, bucket)]
    texts = sentences(512)
    return triton_requests(model, [texts[start : start + rows] for start in range(0, 512, rows)], "softmax")


def token_request(rows: int, tokens: int) -> bytes:
    """One request to the engine itself, in Triton's binary tensor format."""
    ids = np.random.default_rng(0).integers(10, 500, (rows, tokens), dtype=np.int32)
    arrays = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    inputs = [
        {
            "name": tensor,
            "shape": [rows, tokens],
            "datatype": "INT32",
            "parameters": {"binary_data_size": array.nbytes},
        }
        for tensor, array in arrays.items()
    ]
    head = json.dumps(
        {"inputs": inputs, "outputs": [{"name": "outputs", "parameters": {"binary_data": True}}]}
    ).encode()
    body = head + b"".join(array.tobytes() for array in arrays.values())
    return (
        f"POST /v2/models/{ENGINE}/infer HTTP/1.1\r\nHost: triton\r\nContent-Type: application/octet-stream\r\n"
        f"Inference-Header-Content-Length: {len(head)}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def point(server: EmbeddedServer, requests: Path, clients: int, options: Options) -> dict[str, Any]:
    """Closed loop from the compiled generator; where the time went, by Triton's statistics."""
    before = statistics_of(server)
    found = load(server.http_url, requests, clients=clients, seconds=float(options["seconds"][0]), warmup=WARMUP)
    after = statistics_of(server)
    return {
        "requests_per_s": round(found["answered"] / found["seconds"], 2),
        **{key: round(found[key], 3) for key in ("p50_ms", "p99_ms", "cpu_seconds")},
        "parts": split(before, after),
    }


@contextmanager
def served(folder: Path, repository: Path) -> Iterator[EmbeddedServer]:
    """The embedded server on a repository, its models loaded on request."""
    log = folder / f"{repository.name}.log"
    began = time.perf_counter()
    arguments = ("--model-control-mode=explicit", "--load-model=*")
    with server_on_free_ports(repository, log=log, extra_arguments=arguments) as server:
        print(f"{repository.name}: ready after {time.perf_counter() - began:.1f} s", flush=True)
        yield server


def reload(server: EmbeddedServer, model: str) -> None:
    """Load a model anew from its changed configuration. Raises RuntimeError."""
    status, answer = server.call("POST", f"/v2/repository/models/{model}/load")
    if status != 200:
        raise RuntimeError(f"{model} was not loaded: {answer.decode(errors='replace')}")


def change(model: Path, *, count: int, graphs: bool = False, batcher: bool = True) -> None:
    """Instances, CUDA graphs and the dynamic batcher of a model in its config.pbtxt."""
    file = model / "config.pbtxt"
    config = config_from_text(file.read_text(encoding="utf-8"))
    config.instance_group[0].count = count
    if graphs:
        config.optimization.cuda.graphs = True
    else:
        config.ClearField("optimization")
    if config.backend == "python":
        config.dynamic_batching.SetInParent() if batcher else config.ClearField("dynamic_batching")
    file.write_text(text_from_config(config), encoding="utf-8")


@contextmanager
def awake(wanted: bool) -> Iterator[None]:
    """A process of the lowest priority on every processor, so that none falls asleep: what waking up costs."""
    context = multiprocessing.get_context("fork")
    spinners = [context.Process(target=spin, daemon=True) for _ in range(os.cpu_count() or 1) if wanted]
    for spinner in spinners:
        spinner.start()
    with contextlib.ExitStack() as stack:
        for spinner in spinners:
            stack.callback(spinner.terminate)
        yield


def spin() -> None:
    """Use the processor when nobody else wants it."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while True:
        pass


def check_answers(folder: Path, shape: str, name: str, server: EmbeddedServer) -> None:
    """Each graph, asked by the project's own client, against PyTorch's FP32 classes."""
    from tbgen.server.client.client import infer

    known = np.load(folder / shape / "reference.npz")
    longest = max(profile.most[1] for profile in exported_from_folder(folder / shape / name).made.profiles)
    expected = softmax(known[f"fp32_{min(longest, 300)}"])
    texts = sentences(len(expected))
    for model in FRONTS:
        got = np.array([answer["softmax"] for answer in infer(model, texts, url=server.grpc_url)])
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


def statistics_of(server: EmbeddedServer) -> dict[str, dict[str, int]]:
    """Triton's counters of all models: executions, and nanoseconds in queue, input, infer, output."""
    return {
        row["name"]: {
            "requests": row["inference_count"],
            "executions": row["execution_count"],
            **{key: row["inference_stats"][key]["ns"] for key in COUNTERS},
            "count": row["inference_stats"]["success"]["count"],
        }
        for row in json.loads(server.call("GET", "/v2/models/stats")[1])["model_stats"]
    }


def split(before: dict[str, dict[str, int]], after: dict[str, dict[str, int]]) -> dict[str, dict[str, float]]:
    """What each model did between two readings: items an execution, milliseconds a request in each part."""
    parts = {}
    for model, now in after.items():
        used = {key: now[key] - before[model][key] for key in now}
        if used["count"]:
            parts[model] = {
                "items_per_execution": round(used["requests"] / max(used["executions"], 1), 2),
                **{f"{key}_ms": round(used[key] / used["count"] / 1e6, 3) for key in COUNTERS},
            }
    return parts


def options_from(arguments: Sequence[str]) -> dict[str, list[int]]:
    """`key=1,2` to lists of numbers, with the defaults."""
    given = DEFAULTS | dict(argument.split("=", 1) for argument in arguments)
    return {key: [int(number) for number in value.split(",")] for key, value in given.items()}


if __name__ == "__main__":
    where, which, plan, *rest = sys.argv[1:]
    main(Path(where), which, plan, options_from(rest))
