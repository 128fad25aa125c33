"""Serve a plan by the embedded server and hold it against the bare engine, both in the same run.

    python -m benchmarks.gpu.served SHAPE NAME [--front 1,2,4] [--engine 1] [--rows 1,32] [--clients 1,4,8,16]
        [--seconds 3] [--graphs]

Runs where TensorRT is installed, on what benchmarks.gpu.plans times. For every number of instances: answers against
PyTorch's, then the bare engine's loop over the same bucket before and after the served models' times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.gpu.plans import plan_times
from benchmarks.gpu.shapes import FOLDER, random_tokens, say, sentences
from benchmarks.load import load, triton_requests
from benchmarks.models import set_step
from tbgen.backends.numerics import softmax
from tbgen.cli.bench import Numbers
from tbgen.export.exported import exported_from_folder
from tbgen.export.tensorrt.profiles import Profile
from tbgen.export.tensorrt.session import PlanSession
from tbgen.generator.models.config import config_from_text, text_from_config
from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.bench.statistics import between, snapshot
from tbgen.server.bench.wire import http_request
from tbgen.server.client.address import Address
from tbgen.server.client.client import infer
from tbgen.server.client.connection import Connection
from tbgen.server.embedded.server import EmbeddedServer, server_on_free_ports

ENGINE = "kcbert_trt_fp16"
FRONTS = ENSEMBLE, BLS, SINGLE = [f"{ENGINE}_{graph}" for graph in ("ensemble", "bls", "single")]
WARMUP = 0.5  # seconds of load before a point
TEXTS = 512


@click.command()
@click.argument("shape")
@click.argument("name")
@click.option("--front", type=Numbers(int), default="1,2,4", help="Instances of the tokenizer, BLS and single model.")
@click.option("--engine", type=Numbers(int), default="1", help="Instances of the plan.")
@click.option("--rows", type=Numbers(int), default="1,32", help="Texts in a request.")
@click.option("--clients", type=Numbers(int), default="1,4,8,16", help="Of requests with several texts.")
@click.option("--seconds", default=3.0, help="Length of each point.")
@click.option("--graphs", is_flag=True, help="Record CUDA graphs.")
def main(shape: str, name: str, front: Sequence[int], engine: Sequence[int], **load_: Any) -> None:
    """Every number of engine instances, and within a server every number of front instances."""
    repository, graphs = FOLDER / "repositories" / f"{shape}-{name}", load_.pop("graphs")
    for graph in ("both", "single"):
        request = Request("kcbert", FOLDER / shape / name, engine="trt_fp16", vendor=False, graph=graph)
        scaffold(request, repository, force=True)
    set_step(repository / SINGLE, "PlanEngine", cuda_graphs=graphs)
    bare = PlanSession(FOLDER / shape / name / "model.plan", graphs=graphs)
    for engines in engine:
        change(repository / ENGINE, engines, graphs)
        arguments = ("--model-control-mode=explicit", "--load-model=*")
        with server_on_free_ports(repository, extra_arguments=arguments) as server:
            for fronts in front:
                for model in (f"{ENGINE}_tokenizer", BLS, SINGLE):
                    change(repository / model, fronts)
                    reload(server, model)
                check_answers(shape, name, server)
                setting = {"shape": shape, "plan": name, "front": fronts, "engine": engines, "graphs": graphs}
                points(setting, server, bare, **load_)


def points(
    setting: dict[str, Any],
    server: EmbeddedServer,
    bare: PlanSession,
    rows: Sequence[int],
    clients: Sequence[int],
    seconds: float,
) -> None:
    """All points of one setting, each with the bare engine's times from before and after."""
    profiles = exported_from_folder(FOLDER / setting["shape"] / setting["plan"]).made.profiles
    for texts in rows:
        bucket = bucket_of(profiles, texts)
        if bucket is None:
            continue
        before = plan_times(bare, texts, bucket)
        found: list[dict[str, Any]] = [
            {"model": model, "clients": count} | point(server, bodies(model, texts, bucket), count, seconds)
            for count in ((1,) if texts == 1 else clients)
            for model in ((ENGINE, *FRONTS) if count in (1, 4) else FRONTS)
        ]
        after = plan_times(bare, texts, bucket)
        own = {key: min(before[key], after[key]) for key in before}
        for each in found:
            each["p50_over_bare"] = round(each["p50_ms"] / own["wall_ms"], 3)
            each["of_bare_loop"] = round(each["requests_per_s"] * own["wall_ms"] / 1000, 3)
            say(what="served", **setting, bare=own, rows=texts, bucket=bucket, **each)


def bucket_of(profiles: Sequence[Profile], rows: int) -> int | None:
    """The tokens that the bundled sentences are padded to in a request of so many rows."""
    return min((profile.most[1] for profile in profiles if profile.least[0] <= rows <= profile.most[0]), default=None)


def bodies(model: str, rows: int, bucket: int) -> list[bytes]:
    """Ready-made HTTP requests: sentences for a front model, token arrays for the engine."""
    if model == ENGINE:
        return [http_request(ENGINE, random_tokens(rows, bucket), "triton", ("outputs",))]
    texts = sentences(TEXTS)
    return triton_requests(model, [texts[start : start + rows] for start in range(0, TEXTS, rows)], "softmax")


def point(server: EmbeddedServer, requests: list[bytes], clients: int, seconds: float) -> dict[str, Any]:
    """Closed loop from the compiled generator; where the time went, by Triton's statistics, in ns of all requests."""
    with Connection(Address(server.http_url, "http")) as connection:
        before = snapshot(connection)
        found = load(server.http_url, requests, clients=clients, seconds=seconds, warmup=WARMUP)
        moved = between(before, snapshot(connection))
    return {
        "requests_per_s": round(found["answered"] / found["seconds"], 2),
        **{key: round(found[key], 3) for key in ("p50_ms", "p99_ms", "cpu_seconds")},
        "parts": {model: asdict(statistics) for model, statistics in moved.items()},
    }


def reload(server: EmbeddedServer, model: str) -> None:
    """Load a model anew from its changed configuration. Raises RuntimeError."""
    status, answer = server.call("POST", f"/v2/repository/models/{model}/load")
    if status != 200:
        raise RuntimeError(f"{model} was not loaded: {answer.decode(errors='replace')}")


def change(model: Path, count: int, graphs: bool = False) -> None:
    """Instances and CUDA graphs of a model in its config.pbtxt."""
    file = model / "config.pbtxt"
    config = config_from_text(file.read_text(encoding="utf-8"))
    config.instance_group[0].count = count
    config.ClearField("optimization")
    if graphs:
        config.optimization.cuda.graphs = True
    file.write_text(text_from_config(config), encoding="utf-8")


def check_answers(shape: str, name: str, server: EmbeddedServer) -> None:
    """Each graph, asked by the project's own client, against PyTorch's FP32 classes."""
    known = np.load(FOLDER / shape / "reference.npz")
    longest = max(profile.most[1] for profile in exported_from_folder(FOLDER / shape / name).made.profiles)
    expected = softmax(known[f"fp32_{min(longest, 300)}"])
    texts = sentences(len(expected))
    for model in FRONTS:
        got = np.array([answer["softmax"] for answer in infer(model, texts, url=server.grpc_url)])
        say(
            shape=shape,
            what="answers",
            plan=name,
            model=model,
            texts=len(texts),
            max_abs_probability=float(np.abs(got - expected).max()),
            flips=int((got.argmax(1) != expected.argmax(1)).sum()),
        )


if __name__ == "__main__":
    main()
