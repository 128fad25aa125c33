"""Models whose answers Triton keeps: equal requests are answered from the cache, and never with another's answer."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

from tbgen.generator.check.check import check_repository
from tbgen.generator.models.config import config_from_text
from tbgen.generator.scaffold import Request, scaffold
from tbgen.generator.update import requests_from_records
from tbgen.server.client.connection import Connection
from tbgen.server.embedded.cache import cache_arguments, models_that_ask
from tbgen.server.embedded.server import EmbeddedServer
from tests.serving import serving
from tests.texts import HARD_TEXTS
from tests.waiting import wait_until

FRONTS = ("kcbert_onnx_ensemble", "kcbert_onnx_bls_ensemble", "alone_onnx_single_ensemble")


@pytest.fixture(scope="module")
def repository(sample_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache") / "models"
    scaffold(Request("kcbert", sample_export, cache=True), folder)
    scaffold(Request("alone", sample_export, cache=True, graph="single"), folder)
    return folder


@pytest.fixture(scope="module")
def caching(repository: Path) -> Iterator[EmbeddedServer]:
    with serving(repository, extra_arguments=cache_arguments(repository)) as server:
        yield server


def tensors(*texts: str) -> dict[str, np.ndarray]:
    return {"input_text": np.array([[text.encode("utf-8")] for text in texts], dtype=object)}


def cache_counts(server: EmbeddedServer, model: str) -> tuple[int, int]:
    """Hits and misses of a model, by Triton's metrics."""
    with urllib.request.urlopen(server.metrics_url) as page:
        lines = page.read().decode("utf-8").splitlines()
    of_model = {line.partition("{")[0]: line for line in lines if f'model="{model}"' in line}
    hits, misses = (int(of_model[f"nv_cache_num_{what}_per_model"].rpartition(" ")[2]) for what in ("hits", "misses"))
    return hits, misses


def counted(server: EmbeddedServer, model: str, hits_and_misses: tuple[int, int]) -> None:
    """Wait until so many are counted: Triton does it behind the answer."""
    wait_until(lambda: sum(cache_counts(server, model)) >= sum(hits_and_misses))
    assert cache_counts(server, model) == hits_and_misses


def test_the_front_models_ask_for_it_and_triton_takes_it(repository: Path) -> None:
    configs = {file.parent.name: file.read_text(encoding="utf-8") for file in repository.glob("*/config.pbtxt")}
    assert {name for name, text in configs.items() if config_from_text(text).response_cache.enable} == set(FRONTS)
    assert models_that_ask(repository) == sorted(FRONTS)
    assert check_repository(repository) == []


def test_check_advises_against_it_on_a_bls_model(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path / "models")
    with (tmp_path / "models" / "kcbert_onnx_bls" / "config.pbtxt").open("a", encoding="utf-8") as config:
        config.write("response_cache { enable: true }\n")
    (finding,) = check_repository(tmp_path / "models")
    assert (finding.model, finding.severity) == ("kcbert_onnx_bls", "warning")
    assert "a request equal to one that failed is answered with no outputs" in finding.says


@pytest.mark.parametrize("model", FRONTS)
def test_the_second_request_is_answered_from_the_cache(caching: EmbeddedServer, model: str) -> None:
    with Connection(caching.grpc_url) as connection:
        for text in (*HARD_TEXTS, "두 번 묻는 글"):
            before = cache_counts(caching, model)
            first = connection.infer(model, tensors(text, "다른 글"))
            counted(caching, model, (before[0], before[1] + 1))
            second = connection.infer(model, tensors(text, "다른 글"))
            counted(caching, model, (before[0] + 1, before[1] + 1))
            assert first.keys() == second.keys()
            for name, array in first.items():
                np.testing.assert_array_equal(second[name], array)


def test_a_hit_runs_neither_tokenizer_nor_engine(repository: Path) -> None:
    """On a server of its own: what it ran for others may be counted late."""
    with (
        serving(repository, extra_arguments=cache_arguments(repository)) as server,
        grpc.InferenceServerClient(server.grpc_url) as client,
        Connection(server.grpc_url) as connection,
    ):

        def ran() -> list[int]:
            parts = ("kcbert_tokenizer", "kcbert_onnx", "kcbert_postprocess")
            return [client.get_inference_statistics(part).model_stats[0].execution_count for part in parts]

        for hits in (0, 1):
            connection.infer("kcbert_onnx_ensemble", tensors("새 글"))
            wait_until(lambda: ran() == [1, 1, 1])
            counted(server, "kcbert_onnx_ensemble", (hits, 1))
        assert ran() == [1, 1, 1]


def first_text(model: str) -> grpc.InferInput:
    """A text that the model has not been asked yet."""
    text = grpc.InferInput("input_text", [1, 1], "BYTES")
    text.set_data_from_numpy(tensors(f"{model}에 먼저 온 글")["input_text"])
    return text


@pytest.mark.parametrize("model", FRONTS)
def test_parameters_are_refused_since_the_cache_cannot_tell_them_apart(caching: EmbeddedServer, model: str) -> None:
    client, text = grpc.InferenceServerClient(caching.grpc_url), first_text(model)
    with pytest.raises(InferenceServerException, match="cached by their inputs alone: it takes no parameters"):
        client.infer(model, [text], parameters={"top_k": 1})
    assert client.infer(model, [text]).as_numpy("top_scores").shape == (1, 3)


@pytest.mark.parametrize("model", FRONTS)
def test_errors_are_not_kept(caching: EmbeddedServer, model: str) -> None:
    client, text = grpc.InferenceServerClient(caching.grpc_url), grpc.InferInput("input_text", [1, 1], "BYTES")
    text.set_data_from_numpy(np.array([[b"\xff"]], dtype=object))
    for _ in range(2):
        with pytest.raises(InferenceServerException, match="input_text is not valid UTF-8"):
            client.infer(model, [text])


@pytest.mark.parametrize("model", FRONTS)
def test_an_ensemble_keeps_what_was_asked_for_first(caching: EmbeddedServer, model: str) -> None:
    """Triton's doing, and out of a model's sight: docs/explanation/performance.md and `tbgen scaffold` say so."""
    client, text = grpc.InferenceServerClient(caching.grpc_url), first_text(f"하나만 {model}")
    for outputs in ([grpc.InferRequestedOutput("label")], None):
        answer = client.infer(model, [text], outputs=outputs)
        assert [output.name for output in answer.get_response().outputs] == ["label"]


def test_without_a_cache_the_server_serves_the_same_models(repository: Path) -> None:
    with (
        serving(repository, extra_arguments=cache_arguments(repository, 0)) as server,
        Connection(server.grpc_url) as connection,
    ):
        first, second = (connection.infer(FRONTS[1], tensors("같은 글")) for _ in range(2))
    assert first["label"].tolist() == second["label"].tolist()


def test_it_is_off_unless_asked_for_and_known_to_an_update(repository: Path, sample_repository: Path) -> None:
    assert cache_arguments(sample_repository) == ()
    assert cache_arguments(sample_repository, 1 << 20) == ("--cache-config=local,size=1048576",)
    assert [request.cache for request, _ in requests_from_records(repository, "kcbert", None)] == [True]
    assert [request.cache for request, _ in requests_from_records(sample_repository, "kcbert", None)] == [False]
    steps = json.loads((sample_repository / "kcbert_onnx_bls/1/steps.json").read_text(encoding="utf-8"))
    assert "cached" not in steps
