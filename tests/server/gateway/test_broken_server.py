"""A server that answers with damage: each client says in one sentence what is wrong, and none waits for ever."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tbgen.generator.client_code import client_protocol
from tbgen.server.bench.answers import Checker, ask_alone
from tbgen.server.bench.http_load import head_from_bytes
from tbgen.server.bench.metrics import step_metrics
from tbgen.server.bench.parts import front_from_server
from tbgen.server.bench.stages import model_loads, split
from tbgen.server.bench.statistics import snapshot
from tbgen.server.bench.texts import Corpus, requests_from_corpus, text_inputs
from tbgen.server.client.address import Address
from tbgen.server.client.connection import Connection
from tbgen.server.client.replies import told_config, unfit
from tbgen.server.deploy.live_check import check_live
from tbgen.server.doctor.remote import server_parts
from tbgen.server.embedded.server import EmbeddedServer
from tbgen.server.gateway.asking import ask
from tbgen.server.gateway.models import FrontModel
from tbgen.server.gateway.no_answer import NoAnswer
from tbgen.server.gateway.settings import GatewaySettings
from tbgen.server.gateway.triton import Triton
from tests.faults import damage
from tests.faults.broken_server import JSON_SIZE, SERVICE, Answers, broken_server, damaged_http, damaged_message
from tests.faults.reader_fuzz import outcome_of
from tests.faults.readers import command
from tests.faults.wire import is_json
from tests.server.gateway.running import running_gateway
from tests.triton.test_clients import LANGUAGES, RUN, client_file
from tests.waiting import FOREVER

SEED, RATES = 1, (0.03, 0.1, 0.3, 1.0)
QUICK = 6
_SECONDS = 5.0
_MODEL = "mood_onnx_bls"
_TEXTS = ["금리", "비"]
_BODIES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/embeddings", {"model": "vectors", "input": _TEXTS, "encoding_format": "base64"}),
    ("/embed", {"inputs": _TEXTS, "normalize": True}),
    ("/embed_sparse", {"inputs": _TEXTS}),
    ("/predict", {"inputs": _TEXTS, "model": "mood"}),
    ("/rerank", {"query": "금리", "texts": _TEXTS, "return_text": True, "model": "ranks"}),
    ("/v1/rerank", {"query": "금리", "documents": _TEXTS, "return_documents": True, "model": "ranks"}),
    ("/similarity", {"inputs": {"source_sentence": "금리", "sentences": _TEXTS}}),
    ("/models/mood", {"input_text": "금리"}),
    ("/models/mood", {"input_text": "금리", "tokens": True, "stages": True}),
    ("/models/mood", {"inputs": _TEXTS, "parameters": {"top_k": 2}}),
    ("/models/names", {"input_text": "금리"}),
    ("/models/names", {"inputs": _TEXTS}),
    ("/models/answers", {"question": "누가", "context": "내가 했다"}),
    ("/models/answers", {"inputs": {"question": "누가", "context": "내가 했다"}}),
    ("/models/masks", {"input_text": "[MASK] 하나"}),
    ("/models/masks", {"inputs": "[MASK] 하나"}),
    ("/models/ranks", {"query": "금리", "texts": _TEXTS}),
    ("/models/any_label", {"inputs": "금리", "parameters": {"candidate_labels": ["가", "나"]}}),
]


# The HTTP client leaves the socket of an answer that it cannot read to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:.*socket:pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def answers(every_task: EmbeddedServer) -> Answers:
    return Answers(every_task.http_url, every_task.grpc_url, every_task.metrics_url.split("/")[2])


@pytest.fixture(scope="module")
def broken(answers: Answers) -> Iterator[dict[str, Address]]:
    """The damaged server's addresses, by protocol."""
    with broken_server(answers) as (http, grpc):
        yield {"http": Address(http, "http"), "grpc": Address(grpc, "grpc")}


Client = Callable[[Address, Path, str], object]  # the server, its repository, its metrics page

_QUESTION = ("--input", "question=누가", "--input", "context=내가 했다")
_RANKED = ("--input", "query=비", "--input", "texts=비가 온다", "--input", "texts=맑다")
_ASKED = {
    "mood": ("글",),
    "names": ("글 하나",),
    "masks": ("[MASK] 하나",),
    "vectors": ("글",),
    "answers": _QUESTION,
    "ranks": _RANKED,
}


def _command(*words: str) -> Client:
    """A command of tbgen's, with {} for the repository."""

    def ask(address: Address, repository: Path, _: str) -> None:
        command(*words, "--url", str(address))(repository)

    return ask


def _live(address: Address, repository: Path, _: str) -> None:
    with Connection(address, seconds=_SECONDS) as connection:
        check_live(repository, connection)


def _measured(address: Address, repository: Path, metrics: str) -> None:
    """What a benchmark reads: requests alone, the parts behind the model, what Triton and its steps have counted."""
    with Connection(address, seconds=_SECONDS) as connection:
        connection.metadata()
        corpus = Corpus("texts", {}, ["글", "비가 온다"])
        requests = requests_from_corpus(corpus, text_inputs(connection.config(_MODEL), 1), 4)
        ask_alone(connection, _MODEL, requests, lambda text, share: None)  # noqa: ARG005
        front = front_from_server(connection, _MODEL, repository)
        moved = snapshot(connection)
        split(front, moved, 1.0, step_metrics(metrics))
        model_loads(front, moved, 1.0)


CLIENTS: dict[str, Client] = {
    **{f"infer {name}": _command("infer", name, *asked, "--timeout", "5") for name, asked in _ASKED.items()},
    "probe": _command("probe", "mood", "ranks", "--timeout", "5"),
    "doctor": lambda address, _, metrics: [*server_parts(address, metrics)],
    "check --live": _live,
    "what bench reads": _measured,
}


def outcomes(
    name: str, protocol: str, answers: Answers, broken: dict[str, Address], repository: Path, count: int
) -> Iterator[tuple[str, str, str]]:
    """Name, what became of a try, and what was said."""
    metrics = f"http://{broken['http'].place}/metrics"
    for number in range(count):
        answers.begin(f"{SEED} {name} {protocol} {number}", RATES[number % len(RATES)] if number else 0.0)
        outcome, said = outcome_of(lambda folder: CLIENTS[name](broken[protocol], folder, metrics), repository)
        yield f"{name} {protocol} {number}", outcome, said


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("count", [QUICK, pytest.param(2_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("name", CLIENTS)
def test_clients(
    name: str, count: int, protocol: str, answers: Answers, broken: dict[str, Address], repository: Path
) -> None:
    found = [*outcomes(name, protocol, answers, broken, repository, count)]
    print(f"\n{name} {protocol}: {dict(Counter(row[1] for row in found))}")
    assert [row for row in found if row[1] not in ("taken", "refused")] == []
    assert found[0][1] == "taken", found[0]


@pytest.mark.parametrize("count", [QUICK, pytest.param(300, marks=pytest.mark.soak)])
@pytest.mark.parametrize("language", LANGUAGES)
def test_written_clients(
    language: str, count: int, answers: Answers, broken: dict[str, Address], repository: Path, tmp_path: Path
) -> None:
    """What they print is JSON of the outputs; else they end with 1 and a sentence."""
    url = broken[client_protocol(language).lower()].place
    asked = {"mood_onnx_bls": ["글", "비가 온다"], "ranks_onnx_bls": ["비", "비가 온다", "맑다"]}
    files = {}
    for model in asked:
        (tmp_path / model).mkdir()
        files[model] = client_file(repository, model, language, tmp_path / model, "--url", url)
    ended = Counter[int]()
    for number in range(count):
        model = [*asked][number % 2]
        answers.begin(f"{SEED} {language} {number}", RATES[number // 2 % 4] if number > 1 else 0.0)
        words = [*RUN[language], files[model], *asked[model]]
        done = subprocess.run(words, capture_output=True, check=False, timeout=FOREVER)
        ended[done.returncode] += 1
        said, lines = done.stderr.decode("utf-8", "replace"), done.stdout.decode().split("\n")[:-1]
        assert all(is_json(line) and line.startswith("{") for line in lines), (number, lines)
        assert done.returncode in (0, 1) and "Traceback" not in said and '", line ' not in said, (number, said)
        assert bool(said.strip()) == bool(done.returncode), (number, said)
        assert done.returncode or len(lines) == (2 if model == "mood_onnx_bls" else 1), (number, lines)
        assert number > 1 or not done.returncode, said
    print(f"\n{count} answers to the {language} client: {dict(ended)}")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("count", [100, pytest.param(20_000, marks=pytest.mark.soak)])
def test_the_load_generator(protocol: str, count: int, answers: Answers, broken: dict[str, Address]) -> None:
    """Each damaged answer is one that differs, and nothing ends the process that reads it."""
    answers.begin("", 0.0)
    answers.known.clear()
    with Connection(broken[protocol], seconds=_SECONDS) as connection:
        request = requests_from_corpus(Corpus("texts", {}, ["글"]), text_inputs(connection.config(_MODEL), 1), 1)[0]
        expected = connection.infer(_MODEL, request)
    status, headers, body = (
        next(each for (_, path, _), each in answers.known.items() if path.endswith(f"{_MODEL}/infer"))
        if protocol == "http"
        else (200, {}, next(each for (_, path, _), each in answers.known.items() if path == f"{SERVICE}ModelInfer"))
    )
    size = int(headers.get(JSON_SIZE, 0))
    checker = Checker(protocol, [expected], 1e-3)
    assert checker.difference(0, body, size) is None
    for number in range(count):
        chance, told = random.Random(f"{SEED} {protocol} {number}"), size
        if protocol == "http":
            status, headers, damaged = damaged_http((200, {JSON_SIZE: str(size)}, body), chance)
            head = "".join(f"{each}\r\n" for each in (f"HTTP/1.1 {status} OK", *map(": ".join, headers.items()), ""))
            with suppress(ValueError, IndexError):
                told = head_from_bytes(damage.byte_damage(head.encode("latin-1"), chance)).json_size
        else:
            damaged = damaged_message(f"{SERVICE}ModelInfer", body, chance)
        assert isinstance(checker.difference(0, damaged, told), str | None)


@pytest.mark.parametrize("count", [60, pytest.param(20_000, marks=pytest.mark.soak)])
def test_the_gateway(
    count: int,
    answers: Answers,
    broken: dict[str, Address],
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the server behind it says, its clients get a sentence with a status."""
    monkeypatch.setattr("tbgen.server.gateway.models._FRESH", 0.0)  # so that it looks at the models each time
    statuses, wrong = Counter[int](), []
    with running_gateway(GatewaySettings(broken["grpc"], repository=repository, seconds=_SECONDS)) as gateway:
        for number in range(count):
            path, body = _BODIES[number % len(_BODIES)]
            answers.begin(f"{SEED} gateway {number}", RATES[number // len(_BODIES) % 4] if number else 0.0)
            answer = gateway.post(path, body)
            statuses[answer.status] += 1
            if "in the gateway" in json.dumps(answer.body) or not is_json(json.dumps(answer.body)):
                wrong.append((number, path, answer.status, answer.body))
    print(f"\n{count} questions to the gateway: {dict(sorted(statuses.items()))}")
    assert wrong == []
    assert statuses[200]


def test_a_model_without_an_output_of_its_task_is_not_asked(answers: Answers) -> None:
    outputs = [{"name": name, "data_type": "TYPE_STRING", "dims": ["-1"]} for name in ("top_labels", "label_index")]
    config = {"name": "m", "max_batch_size": 4, "input": [{**outputs[0], "name": "input_text"}], "output": outputs}
    model = FrontModel("m", "m", "", config, {})
    assert model.task == "text-classification"

    async def asked() -> None:
        triton = Triton(Address(answers.grpc, "grpc"), _SECONDS)
        with pytest.raises(NoAnswer, match="m has no output 'top_scores'") as refused:
            await ask(triton, model, [{"input_text": "a"}], {}, ["top_labels", "top_scores"])
        assert refused.value.status == 502
        await triton.close()

    asyncio.run(asked())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({}, "'value' of TYPE_FP32, [2, -1]"),
        ({"value": np.zeros((2, 5), np.float32)}, ""),
        ({"value": np.zeros((1, 5), np.float32)}, "'value' of TYPE_FP32, [2, -1]"),
        ({"value": np.zeros(2, np.float32)}, "'value' of TYPE_FP32, [2, -1]"),
        ({"value": np.full((2, 5), b"", dtype=object)}, "'value' of TYPE_FP32, [2, -1]"),
    ],
)
def test_an_answer_is_held_against_its_configuration(answer: dict[str, Any], said: str) -> None:
    assert unfit(answer, {"value": ("TYPE_FP32", [-1])}, [2]) == said


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"max_batch_size": "x"},
        {"input": [{"name": "a", "data_type": "TYPE_FP32", "dims": []}]},
        {"input": [{"name": "a", "data_type": 99, "dims": [1]}]},
        {"instance_group": [{"count": 2**31 - 1}]},
        {"input": 5},
        None,
    ],
)
def test_a_configuration_that_is_none(change: Any) -> None:
    whole = {"name": "m", "input": [{"name": "a", "data_type": "TYPE_STRING", "dims": [1]}], "unknown": {"of": "later"}}
    assert told_config(whole, "m")["input"][0]["dims"] == ["1"]
    with pytest.raises(ValueError, match=r"."):
        told_config(change and whole | change, "m")
