"""How Triton's statistics become a request's stages, on figures that can be checked by hand."""

from __future__ import annotations

import pytest

from tbgen.server.bench.metrics import StepMetrics, metrics_from_text
from tbgen.server.bench.parts import Front, Part, instances, upstream
from tbgen.server.bench.stages import model_loads, split
from tbgen.server.bench.statistics import ModelStatistics, snapshot_difference, statistics_from_json

MS = 1_000_000


def model(requests: int, queue: int, copy_in: int, infer: int, copy_out: int, executions: int = 10) -> ModelStatistics:
    """Statistics of `requests` requests; the times are milliseconds summed over them."""
    return ModelStatistics(
        rows=requests,
        executions=executions,
        requests=requests,
        request_ns=(queue + copy_in + infer + copy_out) * MS,
        queue_ns=queue * MS,
        compute_input_ns=copy_in * MS,
        compute_infer_ns=infer * MS,
        compute_output_ns=copy_out * MS,
        batch_ns=(copy_in + infer + copy_out) * MS,
        batch_infer_ns=infer * MS,
    )


def test_an_ensembles_time_is_that_of_its_parts() -> None:
    parts = [Part("t", "tokenise", 1), Part("e", "engine", 2), Part("p", "post", 1)]
    moved = {
        "front": ModelStatistics(requests=10, request_ns=100 * MS),
        "t": model(10, 5, 1, 10, 1),
        "e": model(10, 20, 2, 40, 2),
        "p": model(10, 1, 0, 6, 0),
    }
    found = split(Front(Part("front", "ensemble"), parts), moved, client_ms=12.0)
    assert found is not None
    assert found.stages == pytest.approx(
        {"queue": 2.6, "tokenise": 1.0, "engine": 4.0, "post": 0.6, "transfers": 1.8, "wire": 2.0}
    )
    assert sum(found.stages.values()) == pytest.approx(12.0)


def test_a_bls_passes_part_of_its_time_in_its_callees() -> None:
    front = Front(Part("bls", "steps", 1, parallel_calls=2), callees=[Part("e", "engine", 1)])
    moved = {"bls": model(10, 10, 1, 100, 1), "e": model(10, 10, 5, 60, 5)}
    found = split(front, moved, client_ms=11.2)
    assert found is not None
    assert found.stages == pytest.approx(
        {"queue": 2.0, "engine": 6.0, "steps": 2.0, "transfers": 1.2, "wire": 0.0}, abs=1e-9
    )
    assert not found.estimated


def test_overlapping_calls_are_an_estimate() -> None:
    front = Front(Part("bls", "steps", 1, parallel_calls=2), callees=[Part("e", "engine", 2)])
    found = split(front, {"bls": model(10, 0, 0, 100, 0), "e": model(20, 0, 0, 160, 0)}, client_ms=10.0)
    assert found is not None
    assert found.stages == pytest.approx({"engine": 8.0, "steps": 2.0, "wire": 0.0})
    assert found.estimated


def test_a_bls_that_times_its_steps_is_divided_exactly() -> None:
    front = Front(Part("bls", "steps", 1, 2, engine_step=1), callees=[Part("e", "engine", 2)])
    told = StepMetrics({("bls", 0): 0.020, ("bls", 1): 0.060, ("bls", 2): 0.005, ("other", 0): 9.0})
    found = split(front, {"bls": model(10, 10, 1, 100, 1), "e": model(20, 10, 5, 80, 5)}, 11.2, told)
    assert found is not None
    assert found.stages == pytest.approx(
        {"queue": 1.6, "tokenise": 2.0, "engine": 4.8, "post": 0.5, "steps": 1.5, "transfers": 0.8, "wire": 0.0},
        abs=1e-9,
    )
    assert not found.estimated


def test_metrics_are_read_and_subtracted() -> None:
    text = (
        "# TYPE tbgen_step_seconds counter\n"
        'tbgen_step_seconds{model="bls",number="1",step="Engine"} 0.5\n'
        'tbgen_step_count{count="tokens",model="bls",step="Engine"} 14\n'
        "nv_inference_count 3\n"
    )
    now = metrics_from_text(text)
    assert now == StepMetrics({("bls", 1): 0.5}, {("bls", "tokens"): 14.0})
    assert now - StepMetrics({("bls", 1): 0.2}) == StepMetrics({("bls", 1): 0.3}, {("bls", "tokens"): 14.0})


def test_nothing_is_said_of_a_model_that_did_not_move() -> None:
    assert split(Front(Part("m", "steps", 1)), {}, client_ms=1.0) is None


def test_use_of_a_model() -> None:
    front = Front(Part("m", "steps", 2))
    (used,) = model_loads(front, {"m": model(30, 0, 100, 800, 100, executions=10)}, seconds=1.0)
    assert (used.average_batch, used.busy) == (3.0, 0.5)


def test_statistics_over_grpc_are_strings_without_zeros() -> None:
    row = {
        "inference_count": "4",
        "execution_count": "2",
        "inference_stats": {"success": {"count": "4", "ns": "900"}, "queue": {"count": "4"}},
        "batch_stats": [{"batch_size": "2", "compute_infer": {"count": "2", "ns": "300"}}],
    }
    assert statistics_from_json(row) == ModelStatistics(
        rows=4, executions=2, requests=4, request_ns=900, batch_ns=300, batch_infer_ns=300
    )


def test_only_models_that_moved_are_left() -> None:
    before = {"a": ModelStatistics(requests=1), "b": ModelStatistics(requests=5)}
    after = {"a": ModelStatistics(requests=4), "b": ModelStatistics(requests=5), "c": ModelStatistics(requests=2)}
    assert snapshot_difference(before, after) == {"a": ModelStatistics(requests=3), "c": ModelStatistics(requests=2)}


def test_models_that_feed_the_engine_come_before_it() -> None:
    steps = [
        {"model_name": "clean", "input_map": {"x": "input_text"}, "output_map": {"y": "clean_text"}},
        {"model_name": "tokenizer", "input_map": {"x": "clean_text"}, "output_map": {"y": "ids"}},
        {"model_name": "engine", "input_map": {"x": "ids"}, "output_map": {"y": "logits"}},
        {"model_name": "post", "input_map": {"x": "logits"}, "output_map": {"y": "label"}},
    ]
    assert upstream(steps, ["engine"]) == {"clean", "tokenizer"}


def test_instances_are_counted_on_every_gpu() -> None:
    config = {"instance_group": [{"count": 2, "kind": "KIND_GPU", "gpus": [0, 1]}, {"count": 3, "kind": "KIND_CPU"}]}
    assert instances(config) == 7
