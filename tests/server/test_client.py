"""The client against the real server: names, batches, values, and one sentence for each refusal."""

from __future__ import annotations

import numpy as np
import pytest

from tbgen.export.errors import NoSuchName, UserError
from tbgen.server.client.address import address_from_url
from tbgen.server.client.client import front_model, infer, request_groups
from tbgen.server.client.connection import Connection
from tbgen.server.client.items import item_from_tensors
from tbgen.server.embedded.ports import free_ports
from tbgen.server.embedded.server import EmbeddedServer


@pytest.fixture(params=["grpc", "http"])
def address(request: pytest.FixtureRequest, server: EmbeddedServer) -> dict[str, str]:
    """Both ways to the server."""
    return {"url": f"{request.param}://{server.grpc_url if request.param == 'grpc' else server.http_url}"}


def test_answers_are_plain_values_in_the_order_of_the_texts(address: dict[str, str]) -> None:
    texts = ["상한가", "", "🔥🔥", "abcdef", "a\x00b", "다섯번째"]  # one request takes four
    answers = infer("solo_onnx_bls", texts, **address)
    assert [answer["length"] for answer in answers] == [3, 0, 2, 6, 3, 4]
    assert [answer["echo"] for answer in answers] == texts
    assert answers[3] == {"length": 6, "echo": "abcdef", "halves": ["abc", "def"]}


def test_a_model_without_batching_is_asked_text_by_text(address: dict[str, str]) -> None:
    assert infer("one_by_one", ["abcd", "한"], **address) == [
        {"length": 4, "echo": "abcd", "halves": ["abc", "d"]},
        {"length": 1, "echo": "한", "halves": ["한", ""]},
    ]


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_what_is_no_number_is_no_answer(number: float) -> None:
    config = {"max_batch_size": 4, "output": [{"name": "score", "dims": [1]}]}
    assert item_from_tensors(config, {"score": np.array([[0.5]])}) == {"score": 0.5}
    with pytest.raises(UserError, match="holds NaN or infinity in 'score'"):
        item_from_tensors(config, {"score": np.array([[number]])})


def test_no_texts_no_answers(address: dict[str, str]) -> None:
    assert infer("solo_onnx_bls", [], **address) == []


def test_the_name_given_to_scaffold_finds_its_one_front_model(address: dict[str, str]) -> None:
    assert infer("solo", ["ab"], **address)[0]["length"] == 2


def test_a_longer_name_is_another_name(address: dict[str, str]) -> None:
    assert infer("solo_big", ["ab"], **address)[0]["length"] == 2
    with pytest.raises(NoSuchName):
        infer("one", ["ab"], **address)


def test_of_several_front_models_the_bls_model_is_meant(address: dict[str, str]) -> None:
    with Connection(address["url"]) as connection:
        assert front_model(connection, "demo") == "demo_onnx_bls"
        assert front_model(connection, "demo_onnx_ensemble") == "demo_onnx_ensemble"
    assert infer("demo", ["ab"], **address) == infer("demo_onnx_bls", ["ab"], **address)


def test_an_unknown_name_lists_the_models_that_clients_ask(address: dict[str, str]) -> None:
    with pytest.raises(NoSuchName) as error:
        infer("sol", ["ab"], **address)
    assert error.value.message == (
        "no model 'sol'. Models: demo_onnx_bls, demo_onnx_ensemble, identity, one_by_one, "
        "solo_big_onnx_bls, solo_onnx_bls. Did you mean 'solo_big_onnx_bls'?"
    )


def test_a_model_that_takes_no_text_is_refused(address: dict[str, str]) -> None:
    with pytest.raises(UserError) as error:
        infer("linear", ["ab"], **address)
    assert error.value.message == (
        "an item of model 'linear' is ids (INT64), mask (INT64), not one text: name each, in `tbgen infer` and `run` by"
        " --input NAME=VALUE, or as the columns of a .csv or JSON lines"
    )


def test_the_servers_refusal_is_passed_on(address: dict[str, str]) -> None:
    with pytest.raises(UserError) as error:
        infer("solo", ["refuse me"], **address)
    assert error.value.message == (
        f"Triton at {address['url']} refused the request to 'solo_onnx_bls': in ensemble 'solo_onnx_bls', measure: that"
        " text is refused"
    )


def test_half_a_surrogate_pair_is_no_text(address: dict[str, str]) -> None:
    with pytest.raises(
        UserError, match=r"^text '\\ud800' is not valid Unicode: surrogates not allowed at character 0$"
    ):
        infer("solo", ["\ud800"], **address)


def test_no_proxy_is_asked_for_local_calls(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert infer("solo", ["ab"], url=server.grpc_url)[0]["length"] == 2


@pytest.mark.parametrize("scheme", ["grpc://", "http://", ""])
def test_nobody_at_the_address(scheme: str) -> None:
    (port,) = free_ports(1)
    with pytest.raises(UserError) as error:
        infer("solo", ["ab"], url=f"{scheme}127.0.0.1:{port}")
    assert error.value.message.startswith(f"no Triton answers at {scheme}127.0.0.1:{port} (")
    assert error.value.message.endswith("Connection refused); `tbgen serve` starts one, --url names another")


def test_something_else_at_the_address(server: EmbeddedServer) -> None:
    metrics = server.metrics_url.removesuffix("/metrics")
    with pytest.raises(UserError, match=f"what answers at {metrics} is no Triton: "):
        infer("solo", ["ab"], url=metrics)


def test_what_shares_a_request() -> None:
    assert list(request_groups(["상", "한", "가", "🔥"], 3, len)) == [["상", "한", "가"], ["🔥"]]
    assert list(request_groups(["", "a"], 0, len)) == [[""], ["a"]]
    long = "x" * (30 << 10)
    assert [len(group) for group in request_groups([long, long, "a", long], 9, len)] == [1, 2, 1]
    odd_apart = request_groups([1, 3, 2, 5], 9, lambda _: 1, lambda one, other: one % 2 == other % 2)
    assert list(odd_apart) == [[1, 3], [2], [5]]


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://a:99999",
            "grpc://a:0",
            "70000",
            "٣",
            "grpc://localhost:٣",
            "http://[::::]:80",
            "http://[1.2.3.4]:80",
        ),
        *("http://\udcff:80", "http://a..b:80", f"http://{'x' * 64}:80", "http://a?b:80", "http://user@a:80", ""),
    ],
)
def test_what_is_no_address_is_said_before_anybody_is_asked(url: str) -> None:
    with pytest.raises(UserError, match="is no address of a server"):
        address_from_url(url)
