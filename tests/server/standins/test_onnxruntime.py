"""The onnxruntime engine in the real server: answers, joined batches, errors, instances, threads, memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tbgen.server.embedded.server import EmbeddedServer
from tests.waiting import FOREVER, wait_until


@pytest.fixture(scope="module")
def client(server: EmbeddedServer) -> Iterator[grpc.InferenceServerClient]:
    with grpc.InferenceServerClient(server.grpc_url) as client:
        yield client


def tensors(arrays: dict[str, np.ndarray]) -> list[grpc.InferInput]:
    made = []
    for name, array in arrays.items():
        tensor = grpc.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array)
        made.append(tensor)
    return made


def ask(client: grpc.InferenceServerClient, model: str, **arrays: np.ndarray) -> grpc.InferResult:
    return client.infer(model, tensors(arrays))


def test_the_first_request_of_a_sequence_is_marked(client: grpc.InferenceServerClient) -> None:
    given = []
    for sequence, begins, ends in ((7, True, False), (7, False, False), (8, True, True), (7, False, True)):
        x = tensors({"x": np.array([[len(given)]], dtype=np.float32)})
        answer = client.infer("marked", x, sequence_id=sequence, sequence_start=begins, sequence_end=ends)
        given += answer.as_numpy("marked").ravel().tolist()
    assert given == [100, 1, 102, 3]


def ask_together(client: grpc.InferenceServerClient, model: str, requests: list[dict[str, np.ndarray]]) -> list[Any]:
    """Send all requests before the first is answered: what each gets, a result or an exception."""
    futures: list[Future] = [Future() for _ in requests]
    for future, arrays in zip(futures, requests, strict=True):
        client.async_infer(
            model, tensors(arrays), lambda result, error, future=future: future.set_result(error or result)
        )
    return [future.result(timeout=FOREVER) for future in futures]


def executions(client: grpc.InferenceServerClient, model: str) -> tuple[int, int]:
    """How many rows a model has served so far, and in how many executions."""
    (row,) = client.get_inference_statistics(model, as_json=True)["model_stats"]
    return int(row.get("inference_count", 0)), int(row.get("execution_count", 0))


def ids(*rows: list[int]) -> np.ndarray:
    return np.array(rows, dtype=np.int64)


def test_a_batch_gets_the_graphs_answers(client: grpc.InferenceServerClient) -> None:
    result = ask(client, "linear", ids=ids([1, 2], [3, 4]), mask=ids([1, 1], [1, 0]))
    np.testing.assert_array_equal(result.as_numpy("outputs"), [[3, 6, 9], [3, 6, 9]])
    np.testing.assert_array_equal(result.as_numpy("twice"), [[6], [6]])


def test_only_the_outputs_that_are_asked_for_come_back(client: grpc.InferenceServerClient) -> None:
    wanted = [grpc.InferRequestedOutput("twice")]
    result = client.infer("linear", tensors({"ids": ids([5]), "mask": ids([1])}), outputs=wanted)
    assert [output.name for output in result.get_response().outputs] == ["twice"]
    np.testing.assert_array_equal(result.as_numpy("twice"), [[10]])


def test_requests_of_one_length_are_joined_and_split_again(client: grpc.InferenceServerClient) -> None:
    rows_before, runs_before = executions(client, "joined")
    requests = [{"ids": np.full((n, 3), n), "mask": np.ones((n, 3), dtype=np.int64)} for n in (1, 2, 3, 4)]
    results = ask_together(client, "joined", requests)
    for n, result in zip((1, 2, 3, 4), results, strict=True):
        np.testing.assert_array_equal(result.as_numpy("outputs"), [[3 * n, 6 * n, 9 * n]] * n)
    wait_until(
        lambda: executions(client, "joined") == (rows_before + 10, runs_before + 1)
    )  # counted behind the answers


def test_a_bad_request_of_a_joined_run_fails_alone(client: grpc.InferenceServerClient) -> None:
    rows_before, runs_before = executions(client, "lookup")
    good, bad, other = ask_together(
        client, "lookup", [{"ids": ids([1, 2])}, {"ids": ids([3, 10])}, {"ids": ids([9, 0], [4, 5])}]
    )
    np.testing.assert_array_equal(good.as_numpy("found"), [[10, 20]])
    np.testing.assert_array_equal(other.as_numpy("found"), [[90, 0], [40, 50]])
    assert isinstance(bad, InferenceServerException)
    assert bad.message().startswith("onnx runtime error 2: Non-zero status code returned while running Gather node")
    wait_until(lambda: executions(client, "lookup") == (rows_before + 4, runs_before + 1))


def test_text_tensors_are_joined_too(client: grpc.InferenceServerClient) -> None:
    texts = [["오늘도 상한가 갔다", ""], ["🔥", "é"]]
    requests = [{"text": np.array([[text.encode("utf-8") for text in row]], dtype=object)} for row in texts]
    results = ask_together(client, "identity", requests)
    assert [[value.decode("utf-8") for value in result.as_numpy("same")[0]] for result in results] == texts


def test_broken_utf8_is_refused_and_its_neighbour_answered(client: grpc.InferenceServerClient) -> None:
    broken, good = ask_together(
        client, "identity", [{"text": np.array([[text]], dtype=object)} for text in (b"\xff\xfe", b"good")]
    )
    assert broken.status() == "StatusCode.INVALID_ARGUMENT"
    assert "not valid UTF-8" in broken.message()
    assert good.as_numpy("same").tolist() == [[b"good"]]


def test_a_request_larger_than_the_batch_is_refused_by_triton(client: grpc.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="inference request batch-size must be <= 16 for 'linear'"):
        ask(client, "linear", ids=np.ones((17, 2), dtype=np.int64), mask=np.ones((17, 2), dtype=np.int64))


def test_a_missing_configuration_is_completed_as_nvidias_backend_does(client: grpc.InferenceServerClient) -> None:
    config = client.get_model_config("bare", as_json=True)["config"]
    assert config["backend"] == "onnxruntime"
    assert config["platform"] == "onnxruntime_onnx"
    assert config["max_batch_size"] == 4
    assert config["dynamic_batching"]["preferred_batch_size"] == [4]
    assert [(each["kind"], each["count"]) for each in config["instance_group"]] == [("KIND_CPU", 2)]
    assert [(each["name"], each["data_type"], each["dims"]) for each in config["input"]] == [
        ("ids", "TYPE_INT64", ["-1"]),
        ("mask", "TYPE_INT64", ["-1"]),
    ]
    assert [(each["name"], each["data_type"], each["dims"]) for each in config["output"]] == [
        ("outputs", "TYPE_FP32", ["3"]),
        ("twice", "TYPE_FP32", ["1"]),
    ]


def test_inputs_may_be_narrower_and_outputs_fewer_than_the_graphs(client: grpc.InferenceServerClient) -> None:
    result = ask(client, "narrow", ids=ids([1, 2]), mask=ids([1, 1]))
    np.testing.assert_array_equal(result.as_numpy("twice"), [[6]])


def test_a_graph_with_a_fixed_batch_is_served_without_batching(client: grpc.InferenceServerClient) -> None:
    result = ask(client, "fixed", ids=ids([1, 2, 3, 4]), mask=ids([1, 1, 1, 1]))
    np.testing.assert_array_equal(result.as_numpy("outputs"), [[10, 20, 30]])


def stub_processes(server: EmbeddedServer, model: str) -> list[Path]:
    """The folders in /proc of a model's instances."""
    assert server.process is not None
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        of_server = str(server.process.pid).encode() in words
        if of_server and any(re.fullmatch(rf"{model}(_\d+)+", word.decode("utf-8", "replace")) for word in words):
            found.append(folder)
    return found


def status_number(folder: Path, key: str) -> int:
    """A number of /proc/<pid>/status."""
    lines = (folder / "status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def test_each_instance_is_a_process(server: EmbeddedServer) -> None:
    assert len(stub_processes(server, "bare")) == 2
    assert len(stub_processes(server, "linear")) == 1


def test_intra_op_thread_count_is_honoured(server: EmbeddedServer) -> None:
    one, four = (status_number(stub_processes(server, model)[0], "Threads") for model in ("linear", "fixed"))
    assert four - one == 3


def test_memory_does_not_grow_with_ever_new_shapes(client: grpc.InferenceServerClient, server: EmbeddedServer) -> None:
    (process,) = stub_processes(server, "attention")
    random = np.random.default_rng(0)
    shapes = random.permutation([(rows, length) for rows in range(1, 9) for length in range(1, 251)])
    ask(client, "attention", x=np.ones((8, 250), dtype=np.float32))  # the largest
    for rows, length in shapes[:400]:
        ask(client, "attention", x=np.ones((rows, length), dtype=np.float32))
    before = status_number(process, "VmRSS")
    for rows, length in shapes[400:]:
        ask(client, "attention", x=np.ones((rows, length), dtype=np.float32))
    assert status_number(process, "VmRSS") - before < 4 * 1024  # KiB
