"""Two real servers behind the real HAProxy, as `tbgen deploy haproxy` configures it: shared, guarded, killed."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc as plain_grpc
import numpy as np
import pytest
import tritonclient.grpc as grpc
import tritonclient.http as http_client
from click.testing import CliRunner
from tritonclient.utils import InferenceServerException

from tbgen.cli.main import main
from tbgen.server.client.address import Address, address_from_url
from tbgen.server.doctor.part import BROKEN, MISSING
from tbgen.server.doctor.remote import server_parts
from tbgen.server.gateway.settings import GatewaySettings
from tests.faults.served import TEXTS, Clients, asked
from tests.fleet.clients import generated_clients
from tests.fleet.fleet import Fleet, fleet
from tests.haproxy import NEEDS_HAPROXY
from tests.server.gateway.running import running_gateway
from tests.waiting import FOREVER, wait_until

pytestmark = NEEDS_HAPROXY
FRONT = "kcbert_onnx_bls"
ITEM = {"name": "input_text", "datatype": "BYTES", "shape": [1, 1], "data": ["오늘도 상한가 갔다"]}
INFER = f"/v2/models/{FRONT}/infer"


@pytest.fixture(scope="module")
def two(sample_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two servers of the sample."""
    with fleet(2, sample_repository, tmp_path_factory.mktemp("fleet")) as found:
        yield found


def post(two: Fleet, path: str, body: bytes, method: str = "POST", **headers: str) -> tuple[int, str]:
    """Status and body of one request."""
    connection = http.client.HTTPConnection(two.http, timeout=FOREVER)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8")
    finally:
        connection.close()


def evenly(before: dict[str, int], after: dict[str, int]) -> bool:
    """Whether no server got a fifth more or less than the mean."""
    shares = [after[name] - before[name] for name in after]
    mean = sum(shares) / len(shares)
    return mean > 0 and all(0.8 * mean <= share <= 1.2 * mean for share in shares)


def test_requests_are_shared_whatever_their_connection(two: Fleet) -> None:
    before = two.sent("http")  # one after the other: among many at once the faster server gets more
    with contextlib.closing(http.client.HTTPConnection(two.http, timeout=FOREVER)) as connection:
        assert {asked(connection, FRONT, text).status for text in TEXTS * 10} == {200}
    assert evenly(before, two.sent("http"))
    before = two.sent("grpc")
    with grpc.InferenceServerClient(two.grpc) as client:  # one connection
        for text in TEXTS * 10:
            tensor = grpc.InferInput("input_text", [1, 1], "BYTES")
            tensor.set_data_from_numpy(np.array([[text.encode()]], dtype=object))
            assert client.infer(FRONT, [tensor]).as_numpy("label").shape == (1, 1)
    assert evenly(before, two.sent("grpc"))


@pytest.mark.parametrize(
    "path",
    [
        "/v2/repository/index",
        f"/v2/repository/models/{FRONT}/unload",
        f"/v2/repository/models/{FRONT}/load",
        "/v2/systemsharedmemory/status",
        "/v2/systemsharedmemory/region/r/register",
        "/v2/cudasharedmemory/status",
        "/v2/trace/setting",
        f"/v2/models/{FRONT}/trace/setting",
        "/v2/logging",
        "/v2/models/kcbert_postprocess/infer",
        "/v2/models/kcbert_onnx/infer",
        f"/v2/models/{FRONT}%2e/infer",
        f"//v2/models/{FRONT}/../{FRONT}/infer",
        "/",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_clients_have_no_business_with_is_refused(two: Fleet, method: str, path: str) -> None:
    status, said = post(two, path, b"{}", method)
    assert (status, json.loads(said)["error"].split(":")[0]) == (403, "not asked here")


LABEL = {"name": "label", "parameters": {"classification": 1}}
ENDS_TRITON = {
    "classification": json.dumps({"inputs": [ITEM], "outputs": [LABEL]}),
    "an escape in the key": json.dumps({"inputs": [ITEM], "outputs": [LABEL]}).replace("classif", "class\\u0069f"),
    "brackets": json.dumps({"inputs": [{**ITEM, "data": 0}]}).replace("0}", "[" * 50_000 + "]" * 50_000 + "}"),
    "a shape beyond memory": json.dumps({"inputs": [{**ITEM, "datatype": "FP32", "shape": [2**31, 3], "data": [1]}]}),
    "a shape whose product overflows": json.dumps({"inputs": [{**ITEM, "shape": [2**32, 2**32]}]}),
    "keys without end": json.dumps({"inputs": [ITEM], "parameters": {f"p{number}": 1 for number in range(1025)}}),
    "a shape in words": json.dumps({"inputs": [{**ITEM, "shape": [-1, 1e9]}]}),
}


@pytest.mark.parametrize("name", ENDS_TRITON)
def test_what_ends_triton_does_not_reach_it(two: Fleet, name: str) -> None:
    before = two.sent("http")
    status, said = post(two, INFER, ENDS_TRITON[name].encode())
    assert status == 400
    assert json.loads(said)["error"]
    assert two.sent("http") == before


def test_a_request_is_read_as_triton_reads_it(two: Fleet) -> None:
    said = json.dumps({"inputs": [ITEM], "outputs": [LABEL]}).encode()
    assert post(two, INFER, said, **{"Inference-Header-Content-Length": str(len(said))})[0] == 400
    assert post(two, INFER, said, **{"Inference-Header-Content-Length": "x"})[0] == 400
    assert post(two, INFER, said, **{"Content-Encoding": "gzip"})[0] == 415


@pytest.mark.parametrize("chunked", [False, True])
def test_a_request_that_is_too_long_is_refused_whatever_it_says_of_its_length(two: Fleet, chunked: bool) -> None:
    before = two.sent("http")
    long = json.dumps({"inputs": [{**ITEM, "data": ["가" * 400_000]}]}, ensure_ascii=False).encode()
    connection = http.client.HTTPConnection(two.http, timeout=FOREVER)
    with contextlib.suppress(ConnectionError):  # HAProxy answers, and reads no further
        connection.request("POST", INFER, iter([long]) if chunked else long, {})
        assert connection.getresponse().status == 413
    connection.close()
    assert two.sent("http") == before


@pytest.mark.parametrize(
    "text", ['"classification": 1', "[" * 100, '\\"shape\\": [9999999999]', "classification", "\\u0063\\", "", "🔥"]
)
def test_texts_may_say_anything(two: Fleet, text: str) -> None:
    for ascii_alone in (True, False):
        body = json.dumps({"inputs": [{**ITEM, "data": [text]}]}, ensure_ascii=ascii_alone)
        assert post(two, INFER, body.encode())[0] == 200
        generated = json.dumps({"input_text": text}, ensure_ascii=ascii_alone)
        assert post(two, INFER.replace("infer", "generate"), generated.encode())[0] == 200
    for module, url in ((http_client, two.http), (grpc, two.grpc)):
        tensor = module.InferInput("input_text", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[text.encode()]], dtype=object))
        with module.InferenceServerClient(url) as client:
            assert client.infer(FRONT, [tensor]).as_numpy("label").shape == (1, 1)


def test_grpc_is_guarded_too(two: Fleet) -> None:
    tensor = grpc.InferInput("input_text", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([["좋다 " * 1000]], dtype=object))
    label = grpc.InferRequestedOutput("label", class_count=1)
    refused = {
        lambda client: client.load_model(FRONT): "PERMISSION_DENIED",
        lambda client: client.get_model_repository_index(): "PERMISSION_DENIED",
        lambda client: client.register_system_shared_memory("r", "/r", 8): "PERMISSION_DENIED",
        lambda client: client.get_trace_settings(): "PERMISSION_DENIED",
        lambda client: client.get_log_settings(): "PERMISSION_DENIED",
        lambda client: client.infer("kcbert_onnx", [tensor]): "INVALID_ARGUMENT",
        lambda client: client.infer(FRONT, [tensor], outputs=[label]): "INVALID_ARGUMENT",
        lambda client: client.infer(FRONT, [tensor], compression_algorithm="gzip"): "INVALID_ARGUMENT",
    }
    with grpc.InferenceServerClient(two.grpc) as client:
        for ask, status in refused.items():
            with pytest.raises(InferenceServerException) as error:
                ask(client)
            assert error.value.status() == f"StatusCode.{status}"
        assert client.is_model_ready(FRONT)
        assert client.get_model_config(FRONT).config.name == FRONT


@pytest.mark.parametrize("megabytes", [0.505, 1, 20])
def test_a_call_that_is_too_long_is_told_so(two: Fleet, megabytes: float) -> None:
    before = two.sent("grpc")
    tensor = grpc.InferInput("input_text", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[b"a" * int(megabytes * 2**20)]], dtype=object))
    with grpc.InferenceServerClient(two.grpc) as client:
        with pytest.raises(InferenceServerException, match="longer than is read here") as error:
            client.infer(FRONT, [tensor])
        assert error.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
        assert client.is_model_ready(FRONT)
    assert two.sent("grpc")["triton1"] + two.sent("grpc")["triton2"] == sum(before.values()) + 1


@pytest.mark.parametrize(
    "message",
    [
        b"\x32\x1d\x0a\x05label\x12\x14\x0a\x8e\x00classification\x12\x02\x10\x01",  # a length of two bytes
        b"\x32\x05\x0b\x0c",  # a group
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x0a\x05",
        b"\xff" * 12,
        b"\x2a\x07\x12\x05BYTES\x3a\x06\x03\x00\x00\x00ab",  # a string of three bytes, of which two are there
    ],
)
def test_odd_messages_are_refused(two: Fleet, message: bytes) -> None:
    named = b"\x0a" + bytes([len(FRONT)]) + FRONT.encode()
    with plain_grpc.insecure_channel(two.grpc) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(plain_grpc.RpcError) as error:
            call(named + message, timeout=FOREVER)
    assert error.value.code().name == "INVALID_ARGUMENT"


def command(two: Fleet, protocol: str, *words: object) -> tuple[int, str]:
    """What a command says that is given HAProxy's address."""
    url = f"{protocol}://{two.http if protocol == 'http' else two.grpc}"
    done = CliRunner().invoke(main, [*map(str, words), "--url", url])
    assert not isinstance(done.exception, AssertionError), done.output
    return done.exit_code, done.output


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_commands_that_ask_models_ask_them_through_it(two: Fleet, protocol: str, tmp_path: Path) -> None:
    for words in (["infer", FRONT, "좋다"], ["probe", "kcbert"], ["probe", FRONT], ["probe", "-r", two.repository]):
        code, said = command(two, protocol, *words)
        assert code == 0, said
    assert said.count("answered in") == 2
    bls = command(two, protocol, "infer", "kcbert_onnx_bls", "좋다")
    assert command(two, protocol, "infer", "kcbert", "좋다") == bls
    assert bls[0] == 0
    (tmp_path / "texts.txt").write_text("오늘도 상한가 갔다\n", encoding="utf-8")
    code, said = command(two, protocol, "verify", FRONT, "-r", two.repository, "--text", tmp_path / "texts.txt")
    assert code == 0, said


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_many_long_texts_share_as_many_requests_as_it_lets_through(two: Fleet, protocol: str, tmp_path: Path) -> None:
    texts = ["상한가 " * 300] * 128  # 360 kB, a full batch
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    code, said = command(two, protocol, "infer", FRONT, "--text", tmp_path / "texts.txt")
    assert code == 0, said
    assert len(said.splitlines()) >= 128
    with running_gateway(GatewaySettings(Address(two.grpc, "grpc"), repository=two.repository)) as gateway:
        assert len(gateway.post("/predict", {"inputs": [[text] for text in texts]}).body) == 128


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize(
    "words",
    [
        "probe",
        "probe none",
        "infer none 좋다",
        f"bench {FRONT}",
        f"capacity {FRONT} --rate 9 --p99 1s",
        f"tune {FRONT} -r REPOSITORY --yes",
        "check REPOSITORY --live",
        "deploy copy REPOSITORY REPOSITORY",
    ],
)
def test_commands_that_ask_one_server_say_so(two: Fleet, protocol: str, words: str, tmp_path: Path) -> None:
    shutil.copytree(two.repository, tmp_path / "models")
    code, said = command(two, protocol, *words.replace("REPOSITORY", str(tmp_path / "models")).split())
    assert code == 1
    assert f"the proxy at {protocol}://" in said
    assert "tells nothing of its models (not asked here" in said
    assert "ask a server behind it, which --url names" in said


def test_bench_takes_no_address_of_a_proxy_beside_a_servers_own(two: Fleet) -> None:
    own, proxy = two.members[0].grpc_url, f"http://{two.http}"
    done = CliRunner().invoke(main, ["bench", FRONT, "--url", own, "--url", proxy])
    assert (done.exit_code, f"the proxy at {proxy} tells nothing of its models" in done.output) == (1, True)


def test_doctor_says_what_a_proxy_does_not_tell(two: Fleet) -> None:
    parts = {part.name: part for part in server_parts(address_from_url(f"grpc://{two.grpc}"))}
    assert parts["models"].state == MISSING
    assert "tells nothing of its models" in parts["models"].says
    assert BROKEN not in {part.state for part in parts.values()}


@pytest.mark.parametrize("known", ["repository", "model"])
def test_the_gateway_stands_before_it(two: Fleet, known: str) -> None:
    address = Address(two.grpc, "grpc")
    named = {"repository": {"repository": two.repository}, "model": {"models": ("kcbert",)}}[known]
    with running_gateway(GatewaySettings(address, **named)) as gateway:  # type: ignore[arg-type]
        assert gateway.post("/predict", {"inputs": "좋다"}).status == 200
    with running_gateway(GatewaySettings(address)) as gateway:
        answer = gateway.post("/predict", {"inputs": "좋다"})
        assert (answer.status, "start the gateway with --model NAME" in answer.body["error"]) == (503, True)


def test_a_killed_server_costs_no_client_an_answer(two: Fleet, tmp_path: Path) -> None:
    killed = two.members[0]
    with (
        Clients(two.port, [FRONT, "kcbert_onnx_ensemble"]) as plain,
        generated_clients(two, FRONT, tmp_path) as written,
    ):
        wait_until(lambda: two.in_flight(killed) > 0)
        killed.kill_triton()
        wait_until(lambda: not two.up(killed))
        wait_until(lambda: two.up(killed))
    assert written.failures == []
    assert plain.failed() == []  # HAProxy has sent again what was in flight


def test_a_server_that_comes_back_gets_requests_again(two: Fleet) -> None:
    connection = http.client.HTTPConnection(two.http)
    before = two.sent("http")
    for text in TEXTS * 5:
        assert asked(connection, FRONT, text).status == 200
    connection.close()
    assert evenly(before, two.sent("http"))
