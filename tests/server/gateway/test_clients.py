"""The clients that people have, unchanged: openai, cohere, huggingface_hub."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import cohere
import httpx
import huggingface_hub
import numpy as np
import openai
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from tbgen.server.client.connection import Connection
from tbgen.server.embedded.server import EmbeddedServer
from tests.server.gateway.running import Asked
from tests.texts import HARD_TEXTS, SENTENCES

TEXTS = HARD_TEXTS + SENTENCES


@pytest.fixture
def client(gateway: Asked) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture(autouse=True)
def hugging_faces_session() -> Iterator[None]:
    """What InferenceClient keeps open for the next one."""
    yield
    huggingface_hub.close_session()


def vectors_of(server: EmbeddedServer, texts: list[str]) -> np.ndarray:
    encoded = np.array([[text.encode()] for text in texts], dtype=object)
    with Connection(f"grpc://{server.grpc_url}") as connection:
        return connection.infer("vectors_onnx_bls", {"input_text": encoded})["embedding"]


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_openai_embeds_what_triton_answers(client: openai.OpenAI, every_task: EmbeddedServer, encoding: str) -> None:
    answer = client.embeddings.create(model="vectors", input=TEXTS, encoding_format=encoding)
    found = [each.embedding for each in answer.data]
    if encoding == "base64":
        found = [np.frombuffer(base64.b64decode(each), np.float32) for each in found]
    np.testing.assert_allclose(found, vectors_of(every_task, TEXTS), atol=1e-6)
    assert [each.index for each in answer.data] == list(range(len(TEXTS)))
    assert answer.model == "vectors"


def test_openai_asks_for_fewer_numbers(client: openai.OpenAI, every_task: EmbeddedServer) -> None:
    (short,) = client.embeddings.create(model="vectors", input="금리", dimensions=8).data
    whole = vectors_of(every_task, ["금리"])[0, :8]
    np.testing.assert_allclose(short.embedding, whole / np.linalg.norm(whole), atol=1e-6)
    with pytest.raises(openai.BadRequestError, match="the model's vectors have 32 numbers, 33 are asked for"):
        client.embeddings.create(model="vectors", input="금리", dimensions=33)


def test_openai_is_told_the_models(client: openai.OpenAI) -> None:
    assert {"vectors", "mood", "ranks"} <= {each.id for each in client.models.list()}
    assert client.models.retrieve("vectors").owned_by == "tbgen"
    assert client.models.retrieve("vectors_onnx_single").id == "vectors_onnx_single"


def test_openai_raises_its_own_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=r"no ready model 'nope'. Ready models: "):
        client.embeddings.create(model="nope", input="a")
    with pytest.raises(openai.BadRequestError, match="model 'mood' does text-classification"):
        client.embeddings.create(model="mood", input="a")
    with pytest.raises(openai.BadRequestError, match=r"no field 'speed'. Fields: model, input"):
        client.embeddings.create(model="vectors", input="a", extra_body={"speed": 3})
    with pytest.raises(openai.BadRequestError, match="send texts"):
        client.embeddings.create(model="vectors", input=[[1, 2], [3]])


@pytest.mark.parametrize("made", [cohere.Client, cohere.ClientV2])
def test_cohere_ranks_documents(gateway: Asked, made: type[cohere.Client]) -> None:
    documents = ["금리가 올랐다", "비가 온다", "🔥"]
    direct = gateway.post("/rerank", {"query": "금리", "documents": documents, "model": "ranks"}).body
    with httpx.Client() as session:
        client = made(api_key="any", base_url=gateway.url, httpx_client=session)
        answer = client.rerank(model="ranks", query="금리", documents=documents, top_n=2)
        with pytest.raises(cohere.NotFoundError, match="no ready model 'nope'"):
            client.rerank(model="nope", query="a", documents=["b"])
    assert [(each.index, pytest.approx(each.relevance_score)) for each in answer.results] == [
        (each["index"], each["relevance_score"]) for each in direct["results"][:2]
    ]


def test_hugging_faces_client_asks_every_pipeline(gateway: Asked) -> None:
    at = lambda name: InferenceClient(f"{gateway.url}/models/{name}")  # noqa: E731
    labels = at("mood").text_classification("오늘도 상한가 갔다")
    assert {each.label for each in labels} == {"부정", "중립", "긍정"}
    assert sum(each.score for each in labels) == pytest.approx(1, abs=1e-5)
    assert len(at("topics").text_classification("오늘도", top_k=2)) == 2
    entities = at("names").token_classification("오늘도 상한가", aggregation_strategy="simple")
    assert all(each.entity_group == "PER" for each in entities)
    answer = at("answers").question_answering(question="언제?", context="주주총회는 20일에 열린다.")
    assert answer.answer in "주주총회는 20일에 열린다."
    filled = at("masks").fill_mask("[MASK] 상한가", top_k=3)
    assert len(filled) == 3
    assert all("상한가" in each.sequence for each in filled)
    found = at("any_label").zero_shot_classification("금리가 올랐다", ["금리", "날씨"], multi_label=True)
    assert {each.label for each in found} == {"금리", "날씨"}
    assert len(at("near").sentence_similarity("금리", ["금리가 올랐다", "비"])) == 2
    assert at("vectors").sentence_similarity("금리", ["금리"]) == [pytest.approx(1, abs=1e-5)]


def test_hugging_faces_client_embeds(gateway: Asked, every_task: EmbeddedServer) -> None:
    for place in ("/models/vectors", "/embed"):
        found = InferenceClient(f"{gateway.url}{place}").feature_extraction("금리", normalize=True)
        np.testing.assert_allclose(found, vectors_of(every_task, ["금리"]), atol=1e-6)


def test_hugging_faces_client_is_told_what_is_wrong(gateway: Asked) -> None:
    with pytest.raises(HfHubHTTPError, match="no parameter 'stride'"):
        InferenceClient(f"{gateway.url}/models/names").token_classification("a", stride=2)
