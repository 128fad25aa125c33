"""Outputs that only have the names of a task's: each endpoint says 502 and a sentence, or what JSON holds of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferResult, service_pb2
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import np_to_triton_dtype, serialize_byte_tensor

from tbgen.server.client.address import Address
from tbgen.server.embedded.ports import free_ports
from tbgen.server.gateway.settings import GatewaySettings
from tests.faults.wire import is_json
from tests.server.gateway.running import Asked, running_gateway

Outputs = dict[str, np.ndarray]
FP32, INT32 = np.float32, np.int32


def texts(*values: Any) -> np.ndarray:
    return np.array(values, dtype=object)


LABELS = {
    "top_labels": texts("나", "가"),
    "top_scores": np.array([0.7, 0.3], FP32),
    "label_index": np.array([1], INT32),
}
LOGITS = LABELS | {"logits": np.array([-1, 2], FP32)}
RANKED = {"scores": np.array([0.1, 0.9], FP32), "ranking": np.array([1, 0], INT32)}
VECTOR = {"embedding": np.array([0.6, 0.8], FP32)}
VALUES = {"value": np.array([0.25, 1.5], FP32)}
ANSWERS = {
    "answer_count": np.array([1], INT32),
    "answer_text": texts("내가", ""),
    "answer_score": np.array([0.5, 0], FP32),
    "answer_start": np.array([0, 0], INT32),
    "answer_end": np.array([2, 0], INT32),
}
MASKS = {
    "mask_count": np.array([1], INT32),
    "tokens": texts(["금", "리"], ["", ""]),
    "token_ids": np.array([[7, 8], [0, 0]], INT32),
    "token_scores": np.array([[0.7, 0.2], [0, 0]], FP32),
    "filled_text": texts(["금 하나", "리 하나"], ["", ""]),
}
SPARSE = {
    "token_count": np.array([1], INT32),
    "tokens": texts("금", ""),
    "token_ids": np.array([7, 0], INT32),
    "token_weights": np.array([1.5, 0], FP32),
}
ENTITIES = {"entities_count": np.array([1], INT32), "entities_word": texts("금", ""), "entities_label": texts("A", "")}
ENTITIES |= {f"entities_{name}": np.array([1, 0], kind) for name, kind in (("score", FP32), ("start", INT32))}
ENTITIES |= {"entities_end": np.array([2, 0], INT32)}
ZERO_SHOT = {"labels": texts("가", "나"), "scores": np.array([0.75, 0.25], FP32)}

TEXT, TWO = {"input_text": "글"}, ["글", "비"]
QUESTION = {"question": "누가", "context": "내가 했다"}
RANK = {"query": "금리", "texts": TWO}
NEAR = {"inputs": {"source_sentence": "글", "sentences": TWO}}
# Path, body, outputs of one item. A path may stand twice.
RIGHT: list[tuple[str, Any, Outputs]] = [
    ("/v1/embeddings", {"input": TWO}, VECTOR),
    ("/v1/embeddings", {"input": TWO, "encoding_format": "base64", "dimensions": 1}, VECTOR),
    ("/embed", {"inputs": TWO, "dimensions": 1}, VECTOR),
    ("/embed", {"inputs": "글", "normalize": False}, {"embedding": np.array([3, 4], FP32)}),
    ("/similarity", NEAR, VECTOR),
    ("/similarity", NEAR | {"model": "m"}, RANKED),
    ("/models/m", {"inputs": TWO}, VECTOR),
    ("/models/m", TEXT, VECTOR),
    ("/embed_sparse", {"inputs": TWO}, SPARSE),
    ("/models/m", TEXT, SPARSE),
    ("/predict", {"inputs": "글"}, LABELS),
    ("/predict", {"inputs": "글", "raw_scores": True}, LOGITS),
    ("/predict", {"inputs": "글"}, VALUES),
    ("/models/m", TEXT, LABELS),
    ("/models/m", TEXT, VALUES),
    *(
        ("/models/m", {"inputs": TWO, "parameters": {"function_to_apply": function}}, outputs)
        for function in ("none", "softmax", "sigmoid")
        for outputs in (LOGITS, VALUES)
    ),
    ("/rerank", RANK | {"return_text": True}, RANKED),
    ("/v2/rerank", {"query": "금리", "documents": TWO, "return_documents": True}, RANKED),
    ("/models/m", RANK, RANKED),
    ("/models/m", {"inputs": TWO}, ENTITIES),
    ("/models/m", TEXT, ENTITIES),
    ("/models/m", {"inputs": QUESTION}, ANSWERS),
    ("/models/m", {"inputs": QUESTION, "parameters": {"top_k": 2}}, ANSWERS),
    ("/models/m", QUESTION, ANSWERS),
    ("/models/m", {"inputs": "[MASK] 하나"}, MASKS),
    ("/models/m", TEXT, MASKS),
    ("/models/m", {"inputs": TWO, "parameters": {"candidate_labels": ["가", "나"]}}, ZERO_SHOT),
    ("/models/m", TEXT | {"candidate_labels": ["가", "나"]}, ZERO_SHOT),
    ("/models/m", TEXT, {"mine": np.zeros((2, 2), FP32), "own": texts("가")}),
]


@dataclass
class Server:
    """What a server says of its one model, and in its name to whatever it is asked.

    more: outputs that nobody asked for.
    """

    outputs: Outputs = field(default_factory=dict)
    more: Outputs = field(default_factory=dict)
    inputs: tuple[str, ...] = ()

    def config(self) -> dict[str, Any]:
        given = {name: [-1] if name in ("texts", "candidate_labels") else [1] for name in self.inputs}
        told = {
            name: [1] if array.shape == (1,) and name.endswith(("count", "index")) else [-1] * array.ndim
            for name, array in self.outputs.items()
        }
        return {
            "name": "m",
            "max_batch_size": 8,
            "input": [{"name": name, "data_type": "TYPE_STRING", "dims": dims} for name, dims in given.items()],
            "output": [
                {"name": name, "data_type": data_type(self.outputs[name]), "dims": dims} for name, dims in told.items()
            ],
        }

    def answer(self, rows: int) -> InferResult:
        message = service_pb2.ModelInferResponse(model_name="m")
        for name, array in (self.outputs | self.more).items():
            batch = np.stack([array] * rows)
            message.outputs.add(name=name, datatype=np_to_triton_dtype(batch.dtype), shape=batch.shape)
            raw = serialize_byte_tensor(batch).item() if batch.size and batch.dtype == object else batch.tobytes()
            message.raw_output_contents.append(raw)
        return InferResult(message)


def data_type(array: np.ndarray) -> str:
    return f"TYPE_{np_to_triton_dtype(array.dtype)}".replace("BYTES", "STRING")


@pytest.fixture(scope="module")
def server() -> Server:
    return Server()


@pytest.fixture(scope="module")
def gateway(server: Server) -> Iterator[Asked]:
    """Before a server that says what a test puts there."""

    async def index(_: Any, **__: Any) -> Any:
        return [{"name": "m", "version": "1", "state": "READY"}]

    async def config(*_: Any, **__: Any) -> Any:
        return {"config": server.config()}

    async def infer(_: Any, __: str, inputs: list[Any], **___: Any) -> InferResult:
        return server.answer(inputs[0].shape()[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tbgen.server.gateway.models._FRESH", 0.0)  # so that it looks at the model each time
        patch.setattr(InferenceServerClient, "get_model_repository_index", index)
        patch.setattr(InferenceServerClient, "get_model_config", config)
        patch.setattr(InferenceServerClient, "infer", infer)
        with running_gateway(GatewaySettings(Address(f"127.0.0.1:{free_ports(1)[0]}", "grpc"))) as asked:
            yield asked


def asked(
    gateway: Asked, server: Server, path: str, body: Any, outputs: Outputs, more: Outputs | None = None
) -> tuple[int, Any]:
    """Status and body that come of these outputs, and of more that nobody asked for."""
    wanted = [*QUESTION] if {*QUESTION} <= {*body, *body.get("inputs", "")} else ["input_text"]
    wanted = ["query", "texts"] if "ranking" in outputs else wanted
    wanted += ["candidate_labels"] if "labels" in outputs else []
    server.outputs, server.more, server.inputs = outputs, more or {}, tuple(wanted)
    answer = gateway.post(path, body)
    return answer.status, answer.body


@pytest.mark.parametrize("case", range(len(RIGHT)))
def test_right_outputs_are_answered(gateway: Asked, server: Server, case: int) -> None:
    path, body, outputs = RIGHT[case]
    status, said = asked(gateway, server, path, body, outputs)
    assert status == 200, said
    more = {"unasked": np.zeros(1, FP32), **({"json": texts("x")} if "json" not in outputs else {})}
    again = asked(gateway, server, path, body, outputs, more)
    assert {**again[1], "id": 0} == {**said, "id": 0} if isinstance(said, dict) else again[1] == said


NUMBERS = (*(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), "float16", "float32", "float64")


def changed(array: np.ndarray) -> Iterator[np.ndarray]:
    """The output with other types, numbers and shapes."""
    yield np.full(array.shape, False)
    yield np.full(array.shape, "0", dtype=object)
    for kind in NUMBERS:
        limits: Any = np.finfo(kind) if kind.startswith("f") else np.iinfo(kind)
        for some in ([0], [2], [limits.max], [limits.min], [limits.max, limits.min]):
            yield np.resize(np.array(some, kind), array.shape)
    yield from (array[:0], array[:1], array[np.newaxis], array[..., np.newaxis], np.concatenate([array, array]))


@pytest.mark.parametrize("case", range(len(RIGHT)))
def test_whatever_one_output_is(gateway: Asked, server: Server, case: int) -> None:
    path, body, outputs = RIGHT[case]
    nulls = json.dumps(asked(gateway, server, path, body, outputs)[1]).count("null")
    statuses, wrong = Counter[int](), []
    for name, array in outputs.items():
        for other in changed(array):
            status, said = asked(gateway, server, path, body, outputs | {name: other})
            statuses[status] += 1
            fine = status in (200, 502) or (status == 400 and "dimensions" in body)  # of a shorter vector
            if not fine or not is_json(json.dumps(said)) or (status == 200 and json.dumps(said).count("null") != nulls):
                wrong.append((name, other, status, said))
    print(f"\n{path} {sorted(outputs)}: {dict(sorted(statuses.items()))}")
    assert wrong == []


ASK = {"inputs": "글"}
NONE: list[tuple[str, Any, Outputs, str]] = [  # path, body, outputs that only have the names, and of what
    ("/models/m", ASK, {name: array.ravel()[:1] for name, array in MASKS.items()}, "masks"),
    ("/models/m", {"inputs": QUESTION}, {"answer_count": np.array([1], INT32), "answers": texts("내가")}, "answers"),
    ("/models/m", {"inputs": QUESTION}, ANSWERS | {"answer_count": np.array([-1], INT32)}, "answers"),
    ("/models/m", ASK, ENTITIES | {"entities_count": np.array([3], INT32)}, "entities"),
    ("/models/m", ASK, ENTITIES | {"entities_end": texts("2", "0")}, "entities"),
    ("/rerank", RANK, RANKED | {"ranking": np.array([1, 2], INT32)}, "results"),
    ("/rerank", RANK, RANKED | {"ranking": np.array([0, -1], INT32)}, "results"),
    ("/rerank", RANK, RANKED | {"ranking": np.array([1, 1], INT32)}, "results"),
    ("/rerank", RANK, {"scores": np.zeros(3, FP32), "ranking": np.array([2, 1, 0], INT32)}, "results"),
    ("/v1/rerank", {"query": "a", "documents": ["b"], "return_documents": True}, RANKED, "results"),
    ("/similarity", NEAR | {"model": "m"}, RANKED | {"scores": np.zeros(3, FP32)}, "scores"),
    ("/similarity", NEAR, {"embedding": texts("a", "b")}, "embedding"),
    ("/embed", ASK, {"embedding": np.array([1e300, 0])}, "embedding"),
    ("/v1/embeddings", {"input": "글"}, {"embedding": np.zeros((2, 2), FP32)}, "embedding"),
    ("/embed_sparse", ASK, SPARSE | {"token_count": np.array([3], INT32)}, "tokens"),
    ("/embed_sparse", ASK, SPARSE | {"token_count": np.array([1, 1], INT32)}, "tokens"),
    ("/embed_sparse", ASK, SPARSE | {"token_ids": np.array([1], INT32)}, "tokens"),
    ("/predict", ASK, LABELS | {"top_scores": np.zeros(3, FP32)}, "labels"),
    ("/predict", ASK | {"raw_scores": True}, LOGITS | {"logits": texts("a", "b")}, "labels"),
    ("/predict", ASK, {"value": texts("a")}, "labels"),
    (
        "/models/m",
        ASK | {"parameters": {"candidate_labels": ["가", "나"]}},
        ZERO_SHOT | {"scores": np.zeros((2, 1), FP32)},
        "labels",
    ),
]


@pytest.mark.parametrize("case", range(len(NONE)))
def test_outputs_that_only_have_the_names_are_no_answer(gateway: Asked, server: Server, case: int) -> None:
    path, body, outputs, name = NONE[case]
    status, said = asked(gateway, server, path, body, outputs)
    assert status == 502
    assert f"m answers with outputs that are no {name} of " in str(said)


@pytest.mark.parametrize(
    ("body", "outputs"),
    [(RANK, RANKED | {"ranking": np.array([0, -1], INT32)}), (QUESTION, ANSWERS | {"answer_text": VALUES["value"]})],
)
def test_typed_json_has_them_as_they_are(gateway: Asked, server: Server, body: Any, outputs: Outputs) -> None:
    status, said = asked(gateway, server, "/models/m", body, outputs)
    assert (status, said["answers"][0].keys()) == (200, outputs.keys())


@pytest.mark.parametrize(
    ("function", "values", "scores"),
    [
        ("softmax", np.array([-3e38, 3e38], FP32), [1, 0]),
        ("softmax", np.array([-65504, 65504], np.float16), [1, 0]),
        ("softmax", np.array([], FP32), []),
        ("sigmoid", np.array([200, 0], np.uint8), [1, 0.5]),
        ("none", np.array([-128, 127], np.int8), [127, -128]),
        ("none", np.array([0, 200], np.uint8), [200, 0]),
    ],
)
def test_functions_of_any_numbers(
    gateway: Asked, server: Server, function: str, values: np.ndarray, scores: list[float]
) -> None:
    body = {"inputs": "글", "parameters": {"function_to_apply": function}}
    status, said = asked(gateway, server, "/models/m", body, {"value": values})
    assert (status, [each["score"] for each in said[0]]) == (200, scores)


@pytest.mark.parametrize("most", ["2", 0, 1.5, True])
def test_a_number_of_answers_that_is_none(gateway: Asked, server: Server, most: Any) -> None:
    status, said = asked(gateway, server, "/models/m", {"inputs": QUESTION, "parameters": {"top_k": most}}, ANSWERS)
    assert (status, said["error"]) == (400, "top_k takes a whole number from 1 on")


@pytest.mark.parametrize(
    ("path", "more"),
    [("/predict", {"raw_scores": True}), ("/models/m", {"parameters": {"function_to_apply": "sigmoid"}})],
)
def test_logits_of_a_model_that_has_none(gateway: Asked, server: Server, path: str, more: Any) -> None:
    status, said = asked(gateway, server, path, ASK | more, LABELS)
    sentence = "model 'm' gives no logits; leave out raw_scores, or function_to_apply"
    assert (status, said["error"]) == (400, sentence)
