"""Models that Triton warms up while it loads them: what it runs, and that the answers are the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from tritonclient.grpc import InferenceServerClient

from tbgen.export.exported import exported_from_folder
from tbgen.generator.check.check import check_repository
from tbgen.generator.models.config import config_from_text
from tbgen.generator.models.warmup import warmup_shapes
from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.client.client import infer
from tbgen.server.embedded.server import EmbeddedServer
from tests.serving import serving
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def warm_repository(sample_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("warm") / "model_repository"
    scaffold(Request("kcbert", sample_export, warmup=True), repository)
    return repository


def runs_of(server: EmbeddedServer, model: str) -> tuple[int, int]:
    """How many rows a model has run, and in how many executions."""
    with InferenceServerClient(server.grpc_url) as client:
        (found,) = client.get_inference_statistics(model).model_stats
    return found.inference_count, found.execution_count


def test_check_has_nothing_to_say(warm_repository: Path) -> None:
    assert check_repository(warm_repository) == []


def test_triton_runs_the_samples_before_it_is_ready(
    warm_repository: Path, kcbert_server: EmbeddedServer, held_out: list[str]
) -> None:
    with serving(warm_repository) as server:
        wait_until(lambda: runs_of(server, "kcbert_onnx") == (33, 2))  # counted behind the run
        wait_until(lambda: runs_of(server, "kcbert_tokenizer") == (1, 1))
        for graph in ("ensemble", "bls"):
            asked = f"kcbert_onnx_{graph}", held_out[:20]
            assert infer(*asked, url=server.grpc_url) == infer(*asked, url=kcbert_server.grpc_url)


def test_models_that_take_more_than_text_are_not_warmed_up(warm_repository: Path) -> None:
    configs = {file.parent.name: config_from_text(file.read_text()) for file in warm_repository.glob("*/config.pbtxt")}
    warm = {name for name, config in configs.items() if config.model_warmup}
    assert warm == {"kcbert_onnx", "kcbert_tokenizer"}


def test_every_length_of_a_plan_with_its_fewest_and_most_rows(
    sample_export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = exported_from_folder(sample_export)
    monkeypatch.setattr("tbgen.generator.models.warmup.engine_shapes", lambda _: [[1, 1, 1, 300], [32, 32, 1, 128]])
    monkeypatch.setattr("tbgen.generator.models.warmup.plan_buckets", lambda _: [64, 128, 300])
    assert list(warmup_shapes(exported, 32)) == [(1, 64), (1, 128), (1, 300), (32, 64), (32, 128)]
