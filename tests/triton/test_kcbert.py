"""The sample checkpoint on a real Triton: the answers of PyTorch, through both graphs, over both protocols."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from http.client import HTTPConnection

import numpy as np
import pytest
import tritonclient.grpc as grpc
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

from tbgen.generator.presets import SAMPLES
from tbgen.server.client.client import infer
from tbgen.server.embedded.server import EmbeddedServer
from tests.texts import HARD_TEXTS
from tests.waiting import FOREVER, wait_until

FRONTS = ["kcbert_onnx_ensemble", "kcbert_onnx_bls"]
ROADS = list(itertools.product(FRONTS, ["grpc", "http"]))


@pytest.fixture(scope="module")
def expected(held_out: list[str]) -> tuple[list[str], np.ndarray]:
    """Labels and probabilities of the held-out sentences, each alone through PyTorch."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(SAMPLES / "kcbert").eval()
    tokenizer = AutoTokenizer.from_pretrained(SAMPLES / "kcbert")
    with torch.no_grad():
        encoded = (tokenizer(text, truncation=True, max_length=300, return_tensors="pt") for text in held_out)
        rows = torch.cat([model(**inputs).logits.softmax(dim=1) for inputs in encoded]).numpy()
    return [model.config.id2label[index] for index in rows.argmax(axis=1)], rows


def url(server: EmbeddedServer, protocol: str) -> str:
    return server.grpc_url if protocol == "grpc" else server.http_url


def text_input(module: object, texts: list[bytes | str], name: str = "input_text") -> object:
    tensor = module.InferInput(name, [len(texts), 1], "BYTES")  # type: ignore[attr-defined]
    raw = [text.encode("utf-8") if isinstance(text, str) else text for text in texts]
    tensor.set_data_from_numpy(np.array(raw, dtype=object).reshape(-1, 1))
    return tensor


@pytest.mark.parametrize(("front", "protocol"), ROADS)
def test_every_held_out_sentence_gets_pytorchs_answer(
    kcbert_server: EmbeddedServer,
    held_out: list[str],
    expected: tuple[list[str], np.ndarray],
    front: str,
    protocol: str,
) -> None:
    labels, probabilities = expected
    answers = infer(front, held_out, url=f"{protocol}://{url(kcbert_server, protocol)}")
    assert [answer["label"] for answer in answers] == labels
    served = np.array([answer["softmax"] for answer in answers])
    np.testing.assert_allclose(served, probabilities, atol=1e-4)
    assert [answer["label_index"] for answer in answers] == probabilities.argmax(axis=1).tolist()


def test_ensemble_and_bls_agree_bit_for_bit(kcbert_server: EmbeddedServer, held_out: list[str]) -> None:
    ensemble, bls = (
        [infer(front, [text], url=kcbert_server.grpc_url)[0] for text in held_out[:64]] for front in FRONTS
    )
    assert ensemble == bls


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("body", [r'"data": ["\ud800"]', '"data": [1]', '"data": ["cut'])
def test_what_tritons_own_parser_refuses_keeps_its_status(kcbert_server: EmbeddedServer, front: str, body: str) -> None:
    head = '{"inputs": [{"name": "input_text", "shape": [1, 1], "datatype": "BYTES", '
    with closing(HTTPConnection(kcbert_server.http_url, timeout=FOREVER)) as connection:
        connection.request("POST", f"/v2/models/{front}/infer", head + body + "}]}")
        response = connection.getresponse()
        assert (response.status, b"error" in response.read()) == (500, True)
    assert infer(front, ["좋다"], url=f"http://{kcbert_server.http_url}")[0]["label"]


@pytest.mark.parametrize("front", FRONTS)
def test_threads_with_texts_of_unequal_length_are_all_answered_right(
    kcbert_server: EmbeddedServer, held_out: list[str], expected: tuple[list[str], np.ndarray], front: str
) -> None:
    _, probabilities = expected
    chosen = random.Random(7).sample(range(len(held_out)), 64)
    before = statistics(kcbert_server, front)

    def ask(indices: list[int]) -> list[np.ndarray]:
        with grpc.InferenceServerClient(kcbert_server.grpc_url) as client:
            tensors = [[text_input(grpc, [held_out[index]])] for index in indices]
            calls = [client.infer(front, tensor) for tensor in tensors]
        return [call.as_numpy("softmax")[0] for call in calls]

    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(ask, [chosen[start::8] for start in range(8)]))
    for start, part in enumerate(parts):
        np.testing.assert_allclose(part, probabilities[chosen[start::8]], atol=1e-4)
    # Counted behind the answers; those to other tests may be as well.
    wait_until(lambda: statistics(kcbert_server, front)[0] - before[0] >= 64)


@pytest.mark.parametrize(("front", "joining"), [(FRONTS[0], "kcbert_tokenizer"), (FRONTS[1], FRONTS[1])])
def test_64_requests_in_flight_from_8_threads_share_executions(
    kcbert_server: EmbeddedServer,
    held_out: list[str],
    expected: tuple[list[str], np.ndarray],
    front: str,
    joining: str,
) -> None:
    chosen = random.Random(7).sample(range(len(held_out)), 64)

    def ask(indices: list[int]) -> dict[int, object]:
        answers: dict[int, object] = {}
        with grpc.InferenceServerClient(kcbert_server.grpc_url) as client:
            for index in indices:
                keep = partial(answers.__setitem__, index)
                tensors = [text_input(grpc, [held_out[index]])]
                client.async_infer(front, tensors, lambda result, error, keep=keep: keep(error or result))
            wait_until(lambda: len(answers) == len(indices))
        return answers

    def ask_all() -> None:
        with ThreadPoolExecutor(8) as pool:
            parts = list(pool.map(ask, [chosen[start::8] for start in range(8)]))
        for index, answer in itertools.chain.from_iterable(part.items() for part in parts):
            np.testing.assert_allclose(answer.as_numpy("softmax")[0], expected[1][index], atol=1e-4)

    shares_executions(kcbert_server, {joining: 1, "kcbert_onnx": 1.5 if front == FRONTS[1] else 0}, ask_all)


def shares_executions(server: EmbeddedServer, averages: dict[str, float], ask: Callable[[], None]) -> None:
    """Ask until each model had so many inferences an execution: how soon depends on who is faster."""

    def shared() -> bool:
        before = {model: statistics(server, model) for model in averages}
        ask()
        return all(average_batch(before[model], statistics(server, model)) > least for model, least in averages.items())

    wait_until(shared)


def average_batch(before: tuple[int, int], after: tuple[int, int]) -> float:
    """Inferences for each execution between two readings of a model's statistics."""
    return (after[0] - before[0]) / max(after[1] - before[1], 1)


def statistics(server: EmbeddedServer, model: str) -> tuple[int, int]:
    """Inferences and executions of a model so far."""
    with grpc.InferenceServerClient(server.grpc_url) as client:
        found = client.get_inference_statistics(model, as_json=True)["model_stats"][0]
    return int(found.get("inference_count", 0)), int(found.get("execution_count", 0))


def test_executions_join_requests(kcbert_server: EmbeddedServer, held_out: list[str]) -> None:
    joined = {"kcbert_onnx_ensemble": "kcbert_tokenizer", "kcbert_onnx_bls": "kcbert_onnx_bls"}
    for front, model in joined.items():
        averages = {model: 1.2, "kcbert_onnx": 1.5 if front == FRONTS[1] else 0}
        shares_executions(kcbert_server, averages, partial(flood, kcbert_server, front, held_out[:400]))


def flood(server: EmbeddedServer, front: str, texts: list[str]) -> None:
    """Send each text as its own request, all at once, and wait for the answers."""
    answers: list[object] = []
    with grpc.InferenceServerClient(server.grpc_url) as client:
        for text in texts:
            tensors = [text_input(grpc, [text])]
            client.async_infer(front, tensors, lambda result, error: answers.append(error or result))
        wait_until(lambda: len(answers) == len(texts))
    assert not [answer for answer in answers if isinstance(answer, InferenceServerException)]


@pytest.mark.parametrize(("front", "protocol"), ROADS)
def test_hard_texts_are_answered_together(kcbert_server: EmbeddedServer, front: str, protocol: str) -> None:
    answers = infer(front, [*HARD_TEXTS, "가" * 100_000], url=f"{protocol}://{url(kcbert_server, protocol)}")
    assert len(answers) == len(HARD_TEXTS) + 1
    assert all(abs(sum(answer["softmax"]) - 1) < 1e-5 for answer in answers)


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("broken", [b"\xff\xfe", "한".encode()[:2], "\ud800".encode("utf-8", "surrogatepass")])
def test_broken_utf8_fails_alone(kcbert_server: EmbeddedServer, held_out: list[str], front: str, broken: bytes) -> None:
    answers: list[object] = []
    texts: list[bytes | str] = [*held_out[:8], broken, *held_out[8:16]]
    with grpc.InferenceServerClient(kcbert_server.grpc_url) as client:
        for text in texts:
            tensors = [text_input(grpc, [text])]
            client.async_infer(front, tensors, lambda result, error: answers.append(error or result))
        wait_until(lambda: len(answers) == len(texts))
    errors = [answer for answer in answers if isinstance(answer, InferenceServerException)]
    assert len(errors) == 1
    assert "input_text is not valid UTF-8" in errors[0].message()
    assert errors[0].status() == "StatusCode.INVALID_ARGUMENT"


@pytest.mark.parametrize("front", FRONTS)
def test_over_http_broken_utf8_is_a_400(kcbert_server: EmbeddedServer, front: str) -> None:
    with http.InferenceServerClient(kcbert_server.http_url) as client, pytest.raises(InferenceServerException) as error:
        client.infer(front, [text_input(http, ["좋다", b"\xff"])])
    assert error.value.status() == "400"
    assert "input_text is not valid UTF-8" in error.value.message()


@pytest.mark.parametrize("front", FRONTS)
def test_wrong_shape_and_type_are_refused(kcbert_server: EmbeddedServer, front: str) -> None:
    wide = http.InferInput("input_text", [1, 2], "BYTES")
    wide.set_data_from_numpy(np.array([[b"a", b"b"]], dtype=object))
    number = http.InferInput("input_text", [1, 1], "INT32")
    number.set_data_from_numpy(np.array([[1]], dtype=np.int32))
    misnamed = text_input(http, ["좋다"], name="text")
    with http.InferenceServerClient(kcbert_server.http_url) as client:
        for tensor, sentence in (
            (wide, "unexpected shape"),
            (number, "data-type"),
            (misnamed, "unexpected inference input"),
        ):
            with pytest.raises(InferenceServerException, match=sentence) as error:
                client.infer(front, [tensor])
            assert error.value.status() == "400"
        assert client.infer(front, [text_input(http, ["좋다"])]).as_numpy("label").shape == (1, 1)


def test_only_the_asked_outputs_are_sent(kcbert_server: EmbeddedServer) -> None:
    with grpc.InferenceServerClient(kcbert_server.grpc_url) as client:
        for front in FRONTS:
            wanted = [grpc.InferRequestedOutput("label")]
            answer = client.infer(front, [text_input(grpc, ["좋다"])], outputs=wanted)
            assert [output.name for output in answer.get_response().outputs] == ["label"]


def test_bls_serves_requests_larger_than_the_engines_batch(kcbert_server: EmbeddedServer, held_out: list[str]) -> None:
    with grpc.InferenceServerClient(kcbert_server.grpc_url) as client:
        answer = client.infer("kcbert_onnx_bls", [text_input(grpc, held_out[:100])])
    assert answer.as_numpy("softmax").shape == (100, 3)


def test_texts_of_all_lengths_share_the_engines_runs_and_keep_their_bits(
    kcbert_server: EmbeddedServer, held_out: list[str]
) -> None:
    texts = [text * (1 + index % 7) for index, text in enumerate(held_out[:300])]
    alone = [infer("kcbert_onnx_ensemble", [text], url=kcbert_server.grpc_url)[0] for text in texts[:40]]
    ask = partial(flood, kcbert_server, "kcbert_onnx_ensemble", texts)
    shares_executions(kcbert_server, {"kcbert_onnx": 3}, ask)
    assert infer("kcbert_onnx_ensemble", texts[:32], url=kcbert_server.grpc_url) == alone[:32]
