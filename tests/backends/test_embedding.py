from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel

from tbgen.backends.embedding import Embedding
from tbgen.backends.prompt import Prompt
from tests.backends.conftest import Pair
from tests.backends.served import Served, column
from tests.texts import HARD_TEXTS, SENTENCES

TEXTS = HARD_TEXTS + SENTENCES
MODES = ["cls", "mean", "max", "lasttoken"]
STATES = np.array([[[3.0, 4.0], [1.0, 0.0], [9.0, 9.0]]], dtype=np.float32)
MASK = np.array([[1, 1, 0]])


@pytest.mark.parametrize(
    ("pooling", "vector"), [("cls", [3, 4]), ("mean", [2, 2]), ("max", [3, 4]), ("lasttoken", [1, 0])]
)
def test_padding_is_never_pooled(pooling: str, vector: list[float]) -> None:
    answer = Embedding(Path(), size=2, pooling=pooling, normalize=False)(STATES, MASK)
    assert answer["embedding"].tolist() == [vector]


def test_several_ways_of_pooling_are_joined() -> None:
    step = Embedding(Path(), size=2, pooling=["cls", "weightedmean", "mean_sqrt_len_tokens"], normalize=False)
    assert step.outputs == {"embedding": ("TYPE_FP32", [6])}
    expected = [3, 4, 5 / 3, 4 / 3, 4 / 2**0.5, 4 / 2**0.5]
    np.testing.assert_allclose(step(STATES, MASK)["embedding"], [expected], rtol=1e-6)


@pytest.mark.parametrize(("pooling", "vector"), [("cls", [1, 0]), ("mean", [1, 0]), ("weightedmean", [1, 0])])
def test_a_prompts_tokens_may_stay_out(pooling: str, vector: list[float]) -> None:
    step = Embedding(Path(), size=2, pooling=pooling, normalize=False, skip_prompt=True)
    assert step.inputs["prompt_length"] == ("TYPE_INT32", [1])
    assert step(STATES, MASK, np.array([[1]], dtype=np.int32))["embedding"].tolist() == [vector]


def test_a_vector_may_be_cut_after_it_is_scaled() -> None:
    step = Embedding(Path(), size=2, pooling="cls", truncate_dim=1)
    np.testing.assert_allclose(step(STATES, MASK)["embedding"], [[0.6]], rtol=1e-6)


def test_vectors_have_length_one() -> None:
    np.testing.assert_allclose(Embedding(Path(), size=2, pooling="cls")(STATES, MASK)["embedding"], [[0.6, 0.8]])


def test_json_is_the_vector_to_those_who_ask() -> None:
    settings = {"size": 2, "pooling": "cls", "normalize": False}
    assert Embedding(Path(), **settings, with_json=False)(STATES, MASK).keys() == {"embedding"}
    asked = Embedding(Path(), **settings, with_json=False)(STATES, MASK, json=True)
    always = Embedding(Path(), **settings, with_json=True)(STATES, MASK)
    assert asked["json"].tolist() == always["json"].tolist() == [["[3.0, 4.0]"]]


def test_a_vector_is_cut_before_it_is_scaled_and_may_be_half_as_precise() -> None:
    step = Embedding(Path(), size=2, pooling="cls", dims=1, output_type="TYPE_FP16")
    answer = step(STATES, MASK)["embedding"]
    assert (answer.tolist(), answer.dtype, step.outputs) == ([[1]], np.float16, {"embedding": ("TYPE_FP16", [1])})


def test_a_text_of_zeros_stays_zero() -> None:
    assert Embedding(Path(), size=2)(np.zeros((1, 3, 2), np.float32), MASK)["embedding"].tolist() == [[0, 0]]


def test_an_engine_may_pool_itself() -> None:
    step = Embedding(Path(), size=2, pooling="none", normalize=False)
    assert step.inputs == {"outputs": ("TYPE_FP32", [2])}
    assert step(STATES[:, 0])["embedding"].tolist() == [[3, 4]]


def test_a_prompt_goes_before_each_text() -> None:
    step = Prompt(Path(), prompts={"query": "질문: ", "passage": "문서: "}, default="query")
    assert step(input_text=column("금리", ""))["input_text"].tolist() == [["질문: 금리"], ["질문: "]]
    assert step(input_text=column("금리"), prompt_name="passage")["input_text"].tolist() == [["문서: 금리"]]
    assert Prompt(Path(), prompts={"query": "질문: "})(input_text=column("금리"))["input_text"].tolist() == [["금리"]]


def test_a_prompt_may_say_how_long_it_is() -> None:
    step = Prompt(Path(), prompts={"query": "질문: "}, lengths={"query": 4})
    assert step(input_text=column("금리", ""), prompt_name="query")["prompt_length"].tolist() == [[4], [4]]
    assert step(input_text=column("금리"))["prompt_length"].tolist() == [[0]]


def pooled(pair: Pair, texts: list[str], pooling: str) -> np.ndarray:
    """The rule in PyTorch, each text alone, so that nothing is padded."""
    model, tokenizer, rule = AutoModel.from_pretrained(pair.folder).eval(), pair.tokenizer, RULES[pooling]
    with torch.no_grad():
        states = [model(**tokenizer(text, truncation=True, return_tensors="pt")).last_hidden_state[0] for text in texts]
    return torch.nn.functional.normalize(torch.stack([rule(state) for state in states])).numpy()


RULES: dict[str, Callable[[Any], Any]] = {
    "cls": lambda states: states[0],
    "mean": lambda states: states.mean(dim=0),
    "max": lambda states: states.max(dim=0).values,
    "lasttoken": lambda states: states[-1],
}


@pytest.mark.parametrize("pooling", MODES)
@pytest.mark.parametrize("graph", ["ensemble", "bls"])
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_equals_pytorch(exports: Callable[..., Pair], tmp_path: Path, family: str, graph: str, pooling: str) -> None:
    pair = exports(family, "AutoModel", "embedding")
    served = Served(tmp_path, "embedding", pair.exported, {"pooling": pooling})
    answer = served.ask(graph, {"input_text": column(*TEXTS)})["embedding"]
    np.testing.assert_allclose(answer, pooled(pair, TEXTS, pooling), atol=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("pooling", MODES)
def test_equals_sentence_transformers(exports: Callable[..., Pair], tmp_path: Path, pooling: str) -> None:
    import sentence_transformers as package
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    pair = exports("bert", "AutoModel", "embedding")
    modules = [Transformer(str(pair.folder)), Pooling(32, pooling), Normalize()]
    model = package.SentenceTransformer(modules=modules, prompts={"query": "the report: "}, truncate_dim=16)
    options = {"pooling": pooling, "dims": 16, "prompts": {"query": "the report: "}}
    served = Served(tmp_path, "embedding", pair.exported, options)
    for name in (None, "query"):
        expected = model.encode(TEXTS, prompt_name=name, normalize_embeddings=True)
        parameters = {"prompt_name": name} if name else {}
        answer = served.ask("bls", {"input_text": column(*TEXTS)}, **parameters)["embedding"]
        np.testing.assert_allclose(answer, expected, atol=1e-4)
