"""More requests than a model answers: what would wait too long is refused at once, the rest is answered rightly."""

from __future__ import annotations

import http.client
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc

from benchmarks.load import load, triton_requests
from benchmarks.memory import sample
from benchmarks.models import export_of_shape
from benchmarks.texts import lines
from tbgen.export.errors import UserError
from tbgen.generator.client_code import LANGUAGES as ENDINGS
from tbgen.generator.client_code import client_code
from tbgen.generator.models.config import config_from_text
from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.bench.metrics import step_metrics
from tbgen.server.client.client import infer
from tbgen.server.embedded.server import EmbeddedServer
from tests.serving import serving
from tests.triton.held import ENGINE, Asking, Held, with_engine, write_whole
from tests.waiting import FOREVER, wait_until

GATE = """
import time
from pathlib import Path

class Gate:
    inputs = outputs = {"input_text": ("TYPE_STRING", [1])}

    def __init__(self, folder, *, place):
        self.place, self.rows = Path(place), 0

    def __call__(self, input_text):
        self.rows += len(input_text)
        (self.place / "rows.new").write_text(str(self.rows))
        (self.place / "rows.new").rename(self.place / "rows")
        while self.rows > int((self.place / "allowed").read_text()):
            time.sleep(0.01)
        return {"input_text": input_text}
"""
REFUSED = "more is asked than it answers, the wait may be over 0.001 s: ask again later"
ALL = 1_000_000
SENT = ("answered", "refused", "others", "unsent")
OVERLOAD_SECONDS = float(os.environ.get("OVERLOAD_SECONDS", "120"))


class Gate:
    """A step that lets so many rows pass, and says how many came."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.lets(ALL)

    def lets(self, rows: int) -> None:
        """Let so many pass, of all that ever came."""
        write_whole(self.place / "allowed", str(rows))

    def came(self) -> int:
        """How many came, those that stand before it too."""
        file = self.place / "rows"
        return int(file.read_text(encoding="utf-8")) if file.exists() else 0


@pytest.fixture(params=["bls", "single"])
def asking(request: pytest.FixtureRequest, packed_export: Path, tmp_path: Path) -> Iterator[tuple[Asking, Gate]]:
    """A model with a gate before its tokenizer, whose requests may hardly wait."""
    gate = Gate(tmp_path)
    (tmp_path / "gate.py").write_text(GATE, encoding="utf-8")
    pre = (f"{tmp_path / 'gate.py'}:Gate place={tmp_path}",)
    asked = Request("kcbert", packed_export, graph=request.param, pre=pre, queue="0.001")
    scaffold(asked, tmp_path / "models", comparing=False)
    with serving(tmp_path / "models") as server:
        yield Asking(server, f"kcbert_onnx_{request.param}"), gate
        gate.lets(ALL)


def crowd(asking: Asking, gate: Gate) -> list[queue.Queue[Any]]:
    """33 requests that the model is at, 32 at once: so many say that more may wait. They stand before the gate."""
    before = gate.came()
    gate.lets(before)
    first = asking.send(["상한가"])[1]
    wait_until(lambda: gate.came() == before + 1)
    others = [asking.send(["상한가"])[1] for _ in range(32)]
    wait_until(lambda: asking.pending() == 32)
    gate.lets(before + 1)
    wait_until(lambda: gate.came() == before + 33)
    return [first, *others]


def counted(asking: Asking, *names: str) -> list[float]:
    """What the model says on the metrics port that it counted so far."""
    told = step_metrics(asking.server.metrics_url).counts
    return [told.get((asking.model, name), 0) for name in names]


def label(answer: Any) -> str:
    """The label of an answer to one text."""
    return str(answer.as_numpy("label").item().decode())


def test_what_would_wait_too_long_is_refused_at_once(asking: tuple[Asking, Gate]) -> None:
    model, gate = asking
    accepted = crowd(model, gate)
    late = [model.send(["또 물렸네"])[1] for _ in range(20)]
    wait_until(lambda: sum(not answers.empty() for answers in late) == 19)  # one waits; the gate still stands
    (waits,) = [answers for answers in late if answers.empty()]
    refused = [answers.get() for answers in late if answers is not waits]
    assert {(error.status(), error.message()) for error in refused} == {
        ("StatusCode.UNAVAILABLE", f"{model.model}: {REFUSED}")
    }
    assert status_over_http(model) == 503
    gate.lets(ALL)
    assert {label(answers.get(timeout=FOREVER)) for answers in accepted} == {"긍정"}
    assert waits.get(timeout=FOREVER).message() == f"{model.model}: {REFUSED}"  # its turn came too late
    # Counted are those that were refused at once, and all that got no answer.
    wait_until(lambda: counted(model, "refused", "errors") == [len(refused) + 1, len(refused) + 2])
    wait_until(lambda: status_over_http(model) == 200)


def test_what_waits_is_answered_before_the_server_ends(asking: tuple[Asking, Gate]) -> None:
    model, gate = asking
    accepted = crowd(model, gate)
    stop = threading.Thread(target=model.server.stop)
    stop.start()
    wait_until(lambda: not model.client.is_model_ready(model.model))
    gate.lets(ALL)
    assert {label(answers.get(timeout=FOREVER)) for answers in accepted} == {"긍정"}
    stop.join()


@pytest.mark.parametrize("graph", ["bls", "single", "ensemble"])
def test_crowds_within_the_limit_are_all_answered(graph: str, packed_export: Path, tmp_path: Path) -> None:
    """Again and again: through the queue of BLS and single models, past it when little waits, and back."""
    scaffold(Request("kcbert", packed_export, graph=graph, queue="600"), tmp_path / "models", comparing=False)
    texts = {"오늘도 상한가 갔다": "긍정", "또 물렸네": "부정"}
    with serving(tmp_path / "models") as server:
        model = Asking(server, f"kcbert_onnx_{graph}")
        for _ in range(5):
            asked = [(wanted, model.send([text])[1]) for text, wanted in texts.items() for _ in range(60)]
            assert all(label(answers.get(timeout=FOREVER)) == wanted for wanted, answers in asked)


@pytest.fixture
def held(sample_export: Path, tmp_path: Path) -> Iterator[Held]:
    """An ensemble whose engine stands; one request was answered before, so that the tokenizer hears of the head."""
    scaffold(Request("kcbert", sample_export, graph="ensemble", queue="600"), tmp_path / "models", comparing=False)
    with_engine(tmp_path / "models")
    (tmp_path / "models" / ENGINE / "1" / "allowed").write_text(str(ALL), encoding="utf-8")
    with serving(tmp_path / "models") as server:
        asking = Asking(server, "kcbert_onnx_ensemble")
        asking.send(["상한가"])[1].get(timeout=FOREVER)
        held = Held(server, asking.model)
        yield held
        held.goes_on()


def test_an_ensemble_refuses_at_once_what_comes_behind_1024_items(held: Held) -> None:
    """The engine stands with the first of them; how long they would take is of no matter here."""
    sent = [held.send(["상한가"] * 32)[1] for _ in range(33)]
    wait_until(lambda: any(not answers.empty() for answers in sent))
    (late,) = [answers for answers in sent if not answers.empty()]
    others, refused = [answers for answers in sent if answers is not late], late.get()
    sentence = "more is asked than it answers, the wait may be over 600 s: ask again later"
    assert refused.status() == "StatusCode.UNAVAILABLE"
    assert sentence in refused.message()
    assert status_over_http(held) == 503
    with pytest.raises(UserError, match=f"refused the request to '{held.model}': .*{re.escape(sentence)}"):
        infer(held.model, ["상한가"], url=f"http://{held.server.http_url}")
    tokens = Asking(held.server, "kcbert_tokenizer").send(["상한가"], outputs=[grpc.InferRequestedOutput("input_ids")])
    assert tokens[1].get(timeout=FOREVER).as_numpy("input_ids").any()
    outputs = grpc.InferInput("outputs", [1, 3], "FP32")
    outputs.set_data_from_numpy(np.array([[0, 0, 9]], np.float32))
    alone = Asking(held.server, "kcbert_postprocess").send_tensors([outputs])[1]
    assert label(alone.get(timeout=FOREVER)) == "긍정"
    held.goes_on()
    assert {len(answers.get(timeout=FOREVER).as_numpy("label")) for answers in others} == {32}
    wait_until(lambda: status_over_http(held) == 200)


RUN = {"python": [sys.executable], "python-async": [sys.executable], "javascript": ["node"], "go": ["go", "run"]}


def test_clients_say_so_in_a_sentence(asking: tuple[Asking, Gate], tmp_path: Path) -> None:
    model, gate = asking
    crowd(model, gate)
    late = [model.send(["또 물렸네"])[1] for _ in range(2)]
    wait_until(lambda: any(not answers.empty() for answers in late))
    for url in (f"grpc://{model.server.grpc_url}", f"http://{model.server.http_url}"):
        with pytest.raises(UserError, match=f"refused the request to '{model.model}': .*{re.escape(REFUSED)}"):
            infer(model.model, ["상한가"], url=url)
    config = config_from_text((tmp_path / "models" / model.model / "config.pbtxt").read_text(encoding="utf-8"))
    for language, run in RUN.items():
        if shutil.which(run[0]):
            file = tmp_path / f"client{ENDINGS[language]}"
            file.write_text(client_code(config, language, url=f"http://{model.server.http_url}"), encoding="utf-8")
            asked = subprocess.run([*run, file, "상한가"], capture_output=True, text=True, check=False)
            assert asked.returncode, language
            assert REFUSED in asked.stderr
            assert "Traceback" not in asked.stderr


def status_over_http(model: Asking) -> int:
    """The status of an answer to one text."""
    data = {"name": "input_text", "datatype": "BYTES", "shape": [1, 1], "data": ["상한가"]}
    connection = http.client.HTTPConnection(model.server.http_url, timeout=FOREVER)
    connection.request("POST", f"/v2/models/{model.model}/infer", json.dumps({"inputs": [data]}))
    with closing(connection):
        return connection.getresponse().status


@pytest.mark.soak
@pytest.mark.parametrize("limit", ["4", "none"])
@pytest.mark.parametrize("graph", ["bls", "single", "ensemble"])
def test_at_three_times_what_it_answers(graph: str, limit: str, tmp_path: Path) -> None:
    scaffold(Request("small", export_of_shape("small", "packed").folder, graph=graph, queue=limit), tmp_path)
    model, memory = f"small_onnx_{graph}", list[float]()
    requests = triton_requests(model, [[text] for text in lines(400)])
    with serving(tmp_path) as server:
        closed = load(server.http_url, requests, clients=16, seconds=10, warmup=2)
        rate = 3 * closed["answered"] / closed["seconds"]
        with memory_watched(server, memory):
            found = load(server.http_url, requests, clients=2000, seconds=OVERLOAD_SECONDS, rate=rate)
        after = load(server.http_url, requests, clients=1, seconds=5)
    figures = {key: round(value, 1) for key, value in found.items()}
    figures["lost"] = round(rate * OVERLOAD_SECONDS - sum(found[key] for key in SENT))  # by Triton's HTTP server
    print(f"\n{graph}, queue {limit}, {rate:.0f} requests/s of {rate / 3:.0f} for {OVERLOAD_SECONDS:g} s: {figures}")
    print(f"then alone p50 {after['p50_ms']:.0f} ms; resident {memory[0]:.0f} MB, {max(memory):.0f} at most")
    if limit != "none":
        assert found["refused"]
        assert found["p99_ms"] < 1000 * float(limit)
        assert found["after_seconds"] < 5
        assert max(memory) < memory[0] + 1000


@contextmanager
def memory_watched(server: EmbeddedServer, memory: list[float]) -> Iterator[None]:
    """Append the server's resident MB each second of a block."""
    ended = threading.Event()

    def watch() -> None:
        memory.append(sample(server, 0).resident)
        while not ended.wait(1):
            memory.append(sample(server, 0).resident)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
