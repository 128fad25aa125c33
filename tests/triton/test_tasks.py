"""Every task on a real Triton: what the steps answer alone, through ensemble and BLS; parameters; bad input."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

from tbgen.export.tasks.table import TASKS
from tbgen.generator.engines.table import ENGINES
from tbgen.generator.models.graph import graphs_of_task, models_of
from tbgen.generator.models.write import write_models
from tbgen.generator.steps.chain import chain_parameters
from tbgen.generator.steps.load import step_from_file
from tbgen.server.embedded.server import EmbeddedServer
from tests.backends.conftest import Pair, exports  # noqa: F401 - a fixture
from tests.backends.served import Served, column, rows
from tests.serving import serving
from tests.texts import HARD_TEXTS, SENTENCES
from tests.waiting import wait_until

TEXTS = HARD_TEXTS + SENTENCES
CLASSIFIER = "AutoModelForSequenceClassification"
MANY = np.array([TEXTS[:6]] * 2, dtype=object)


@dataclass(frozen=True)
class Case:
    """A task as it is served here: its checkpoint, its options, a request and the parameters of another."""

    auto: str
    tensors: dict[str, np.ndarray]
    labels: tuple[str, ...] = ()
    problem: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)


QUERIES = {"query": column("금리가 오르나요?", "🔥"), "texts": MANY}
CASES = {
    "text-classification": Case(
        CLASSIFIER,
        {"input_text": column(*TEXTS)},
        ("politics", "경제", "sports"),
        "multi_label_classification",
        {"json": True},
        {"threshold": 0.3, "top_k": 2},
    ),
    "token-classification": Case(
        "AutoModelForTokenClassification",
        {"input_text": column(*TEXTS)},
        ("O", "B-PER", "I-PER"),
        parameters={"aggregation": "first"},
    ),
    "embedding": Case(
        "AutoModel",
        {"input_text": column(*TEXTS)},
        options={"precision": "fp16", "prompts": {"query": "질문: "}},
        parameters={"prompt_name": "query"},
    ),
    "fill-mask": Case(
        "AutoModelForMaskedLM", {"input_text": column("[MASK] 상한가 [MASK]", "The [MASK]")}, parameters={"top_k": 2}
    ),
    "sparse-embedding": Case("AutoModelForMaskedLM", {"input_text": column(*TEXTS[:8])}, parameters={"top_k": 3}),
    "question-answering": Case(
        "AutoModelForQuestionAnswering",
        {"question": column("금리는?", "What?"), "context": column(" ".join(SENTENCES), SENTENCES[1])},
        ("start", "end"),
        parameters={"top_k": 3, "no_answer": True},
    ),
    "rerank": Case(CLASSIFIER, QUERIES, ("score",), parameters={"sigmoid": False}),
    "similarity": Case("AutoModel", QUERIES),
    "zero-shot-classification": Case(
        CLASSIFIER,
        {"input_text": column(*TEXTS[:2]), "candidate_labels": np.array([["금리", "sports"]] * 2, dtype=object)},
        ("contradiction", "entailment"),
        parameters={"multi_label": True, "hypothesis_template": "It is {}."},
    ),
}
ROADS = [(task, graph) for task in CASES for graph in graphs_of_task(TASKS[task])]


def pair_of(make: Callable[..., Pair], task: str) -> Pair:
    return make("bert", CASES[task].auto, task, CASES[task].labels, CASES[task].problem)


@pytest.fixture(scope="module")
def server(exports: Callable[..., Pair], tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:  # noqa: F811
    """One Triton with all tasks, each under its own name."""
    folder = tmp_path_factory.mktemp("tasks")
    for task, case in CASES.items():
        row = TASKS[task]
        settings: dict[str, Any] = {"task": row, "engine": ENGINES["onnx"], "graphs": graphs_of_task(row)}
        models = models_of(task, pair_of(exports, task).exported, options=case.options, **settings)
        write_models(models, folder / "repository", {})
    with serving(folder / "repository", log=folder / "log") as running:
        yield running


def ask(server: EmbeddedServer, model: str, tensors: dict[str, np.ndarray], protocol: str, **parameters: Any) -> Any:
    module, url = (grpc, server.grpc_url) if protocol == "grpc" else (http, server.http_url)
    inputs = []
    for name, texts in tensors.items():
        inputs.append(module.InferInput(name, list(texts.shape), "BYTES"))
        raw = [text if isinstance(text, bytes) else text.encode() for text in texts.ravel()]
        inputs[-1].set_data_from_numpy(np.array(raw, dtype=object).reshape(texts.shape))
    with module.InferenceServerClient(url) as client:
        return client.infer(model, inputs, parameters=parameters or None)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize(("task", "graph"), ROADS)
def test_the_server_answers_what_the_steps_answer(
    server: EmbeddedServer,
    exports: Callable[..., Pair],  # noqa: F811
    tmp_path: Path,
    task: str,
    graph: str,
    protocol: str,
) -> None:
    case = CASES[task]
    served = Served(tmp_path, task, pair_of(exports, task).exported, case.options)
    for parameters in ({}, case.parameters):
        answer = ask(server, f"{task}_onnx_{graph}", case.tensors, protocol, **parameters)
        for name, expected in served.ask(graph, case.tensors, **parameters).items():
            found = answer.as_numpy(name)
            assert found.shape == expected.shape, name
            if expected.dtype == object:
                texts = [text.decode() for text in found.ravel()]
                assert texts == expected.ravel().tolist() or name == "json", name
            else:
                np.testing.assert_allclose(found, expected, atol=2e-3 if found.dtype == np.float16 else 1e-4)


NONSENSE = [
    ("text-classification", {"topk": 3}, "no parameter 'topk'. Parameters: json, logits, threshold, top_k, truncation"),
    ("text-classification", {"top_k": 0}, "parameter top_k takes values from 1 to 1000000, not 0"),
    ("text-classification", {"threshold": "high"}, "parameter threshold takes a value of type number, not 'high'"),
    ("text-classification", {"logits": "yes"}, "parameter logits takes a value of type boolean, not 'yes'"),
    ("token-classification", {"aggregation": "mean"}, "parameter aggregation takes one of none, simple, first"),
    (
        "text-classification",
        {"truncation": "only_second"},
        "parameter truncation takes one of longest_first, do_not_trun",
    ),
    ("text-classification", {"truncation": "do_not_truncate"}, "input_text of item 14: "),
]


@pytest.mark.parametrize("graph", ["ensemble", "bls"])
@pytest.mark.parametrize(("task", "parameters", "sentence"), NONSENSE)
def test_nonsense_in_parameters_is_a_400(
    server: EmbeddedServer, task: str, graph: str, parameters: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InferenceServerException) as error:
        ask(server, f"{task}_onnx_{graph}", CASES[task].tensors, "http", **parameters)
    assert (error.value.status(), sentence in error.value.message()) == ("400", True), error.value.message()


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize(("task", "graph"), ROADS)
def test_logits_and_json_are_given_to_requests_that_ask_for_them(
    server: EmbeddedServer,
    exports: Callable[..., Pair],  # noqa: F811
    tmp_path: Path,
    task: str,
    graph: str,
    protocol: str,
) -> None:
    case = CASES[task]
    served = Served(tmp_path, task, pair_of(exports, task).exported, case.options)
    steps = [step for part in served.parts.values() for step in part]
    asked = [name for name in ("logits", "json") if name in chain_parameters(steps)]
    assert asked == ["logits", "json"][task != "text-classification" :]
    plain = ask(server, f"{task}_onnx_{graph}", case.tensors, protocol)
    assert [name for name in ("logits", "json") if plain.as_numpy(name) is not None] == list(
        case.options.keys() & asked
    )
    for name in asked:
        expected = served.ask(graph, case.tensors, **{name: True})[name]
        found = ask(server, f"{task}_onnx_{graph}", case.tensors, protocol, **{name: True}).as_numpy(name)
        if name == "logits":
            np.testing.assert_allclose(found, expected, atol=1e-4)
            continue
        for got, wanted in zip(found[:, 0], expected[:, 0], strict=True):
            assert json.loads(got) == rounded(json.loads(wanted))


def rounded(value: Any) -> Any:
    """A JSON value, whose fractions may be a little off: scores differ in the last digits between batches."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return pytest.approx(value, abs=2e-3) if isinstance(value, float) else value


def many(*texts: str) -> np.ndarray:
    return np.array([texts], dtype=object).reshape(1, len(texts))


BAD: list[tuple[str, dict[str, np.ndarray], str]] = [
    ("fill-mask", {"input_text": column("[MASK]", "no mask")}, "input_text of item 1 has no [MASK]"),
    ("question-answering", {"question": column("q"), "context": column(" ")}, "context of item 0 is empty"),
    ("question-answering", {"question": column(""), "context": column("a")}, "question of item 0 is empty"),
    (
        "question-answering",
        {"question": column("오늘 " * 50), "context": column("a " * 60)},
        "question of item 0 has 100 tokens",
    ),
    ("question-answering", {"question": column("q")}, "expected 2 inputs but got 1"),
    ("rerank", {"query": column("q"), "texts": many()}, "texts has 0 entries for item 0; it takes 1 to 1000"),
    ("similarity", {"query": column("q"), "texts": many(*["a"] * 1001)}, "texts has 1001 entries for item 0"),
    (
        "zero-shot-classification",
        {"input_text": column("글"), "candidate_labels": many(*["a"] * 10_000)},
        "candidate_labels has 10000 entries for item 0; it takes 1 to 100",
    ),
    (
        "zero-shot-classification",
        {"input_text": column("글"), "candidate_labels": many("a", "")},
        "candidate_labels of item 0 has an empty entry, number 1",
    ),
    (
        "zero-shot-classification",
        {"input_text": column("글"), "candidate_labels": many()},
        "candidate_labels has 0 entries for item 0; it takes 1 to 100",
    ),
    ("zero-shot-classification", {"input_text": column("글")}, "missing required input(s) ['candidate_labels']"),
    ("rerank", {"query": column("q")}, "missing required input(s) ['texts']"),
    ("rerank", {"query": column("q"), "texts": many(*["a"] * 1001)}, "texts has 1001 entries for item 0"),
    ("similarity", {"query": column("q"), "texts": many()}, "texts has 0 entries for item 0; it takes 1 to 1000"),
    ("similarity", {"texts": many("a")}, "missing required input(s) ['query']"),
    ("fill-mask", {"input_text": column("")}, "input_text of item 0 has no [MASK]"),
    (
        "fill-mask",
        {"input_text": column("가 " * 400 + "[MASK]")},
        "input_text of item 0 has no [MASK] in the tokens that",
    ),
    (
        "question-answering",
        {"question": column("q", "q"), "context": column("a", "a " * 100_000)},
        "context of item 1 has 100000 tokens; at most 4096 can be read",
    ),
    *(
        (task, {"input_text": many("a", "b")}, "unexpected shape for input 'input_text'")
        for task in ("text-classification", "token-classification", "embedding", "fill-mask", "sparse-embedding")
    ),
    *(
        (task, {"input_text": column("a"), "text_pair": column("b")}, "expected 1 inputs but got 2")
        for task in ("text-classification", "token-classification", "embedding", "fill-mask", "sparse-embedding")
    ),
]


@pytest.mark.parametrize(("task", "tensors", "sentence"), BAD)
def test_bad_input_is_a_400_that_names_tensor_and_item(
    server: EmbeddedServer, task: str, tensors: dict[str, np.ndarray], sentence: str
) -> None:
    for protocol, status in (("http", "400"), ("grpc", "StatusCode.INVALID_ARGUMENT")):
        with pytest.raises(InferenceServerException) as error:
            ask(server, f"{task}_onnx_bls", tensors, protocol)
        assert (error.value.status(), sentence in error.value.message()) == (status, True), error.value.message()
    ask(server, f"{task}_onnx_bls", CASES[task].tensors, "grpc")


@pytest.mark.parametrize(("task", "graph"), ROADS)
def test_the_neighbours_of_a_bad_request_are_answered(server: EmbeddedServer, task: str, graph: str) -> None:
    """Good and bad requests at once, of one shape: the bad are told tensor and item, the good are answered."""
    (name, first), *others = ((name, array[:2]) for name, array in CASES[task].tensors.items())
    bad = np.array([text.encode() for text in first.ravel()], dtype=object).reshape(first.shape)
    bad[1, 0] = b"\xff"
    answers: list[tuple[int, Any]] = []
    with grpc.InferenceServerClient(server.grpc_url) as client:
        for number in range(8):
            tensors = []
            for tensor, array in ((name, bad if number % 2 else first), *others):
                raw = [text if isinstance(text, bytes) else text.encode() for text in array.ravel()]
                tensors.append(grpc.InferInput(tensor, list(array.shape), "BYTES"))
                tensors[-1].set_data_from_numpy(np.array(raw, dtype=object).reshape(array.shape))
            keep = lambda result, error, number=number: answers.append((number, error or result))  # noqa: E731
            client.async_infer(f"{task}_onnx_{graph}", tensors, keep)
        wait_until(lambda: len(answers) == 8)
    for number, answer in answers:
        if number % 2:
            assert f"{name} is not valid UTF-8: invalid start byte at byte 0 of item 1" in str(answer)
        else:
            assert not isinstance(answer, InferenceServerException), answer


@pytest.mark.parametrize("graph", ["ensemble", "bls"])
def test_requests_of_several_parameters_sent_at_once_each_get_their_own(server: EmbeddedServer, graph: str) -> None:
    """More requests at once than one execution can take; some fail, their neighbours are answered."""
    answers: list[tuple[int, Any]] = []
    with grpc.InferenceServerClient(server.grpc_url) as client:
        for number in range(60):
            tensor = grpc.InferInput("input_text", [1, 1], "BYTES")
            tensor.set_data_from_numpy(np.array([[SENTENCES[number % 8].encode()]], dtype=object))
            keep = lambda result, error, number=number: answers.append((number, error or result))  # noqa: E731
            parameters = {"top_k": number % 4, "threshold": 0.0}  # 0 is refused
            client.async_infer(f"text-classification_onnx_{graph}", [tensor], keep, parameters=parameters)
        wait_until(lambda: len(answers) == 60)
    for number, answer in answers:
        if number % 4 == 0:
            assert "parameter top_k takes values from 1" in str(answer)
        else:
            assert answer.as_numpy("top_labels").shape == (1, number % 4)


def test_the_example_client_leaves_padding_out(
    server: EmbeddedServer,
    exports: Callable[..., Pair],  # noqa: F811
    tmp_path: Path,
) -> None:
    file = Path(__file__).parents[2] / "examples" / "read_answers.py"
    step_from_file(file, "ask")
    client = sys.modules["tbgen_step_read_answers"]
    served = Served(tmp_path, "token-classification", pair_of(exports, "token-classification").exported)
    expected = served.ask("bls", {"input_text": column(*SENTENCES)}, aggregation="none")
    with grpc.InferenceServerClient(server.grpc_url) as connection:
        found = client.ask(connection, "token-classification_onnx_bls", SENTENCES, aggregation="none")
    for item, row in enumerate(found):
        assert row["entities_count"] == expected["entities_count"][item, 0]
        words = [word for (word,) in rows(expected, item, "entities_count", "entities_word")]
        assert row["entities_word"] == words
    assert sorted({len(row["entities_word"]) for row in found})[0] < len(found[-1]["entities_word"])


def test_an_empty_answer_has_width_zero(server: EmbeddedServer) -> None:
    for graph, protocol in itertools.product(["ensemble", "bls"], ["grpc", "http"]):
        tensors = {"input_text": column(SENTENCES[0])}
        answer = ask(server, f"text-classification_onnx_{graph}", tensors, protocol, threshold=1.0)
        assert answer.as_numpy("top_count").tolist() == [[0]]
        assert answer.as_numpy("top_labels").shape == (1, 0)
