import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from tbgen.backends.sparse_embedding import SparseEmbedding
from tests.backends.conftest import Pair
from tests.backends.served import Served, column, rows
from tests.texts import HARD_TEXTS, SENTENCES

TEXTS = HARD_TEXTS + SENTENCES
LOGITS = np.array([[[-1, 3, 0, 1], [1, 2, -5, 0], [9, 9, 9, 9]]], dtype=np.float32)
MASK = np.array([[1, 1, 0]])


def test_tokens_are_named_heaviest_first(word_tokenizer: Path) -> None:
    answer = SparseEmbedding(word_tokenizer, size=4)(LOGITS, MASK)
    assert answer["token_count"].tolist() == [[3]]
    assert answer["token_ids"].tolist() == [[1, 0, 3]]
    assert answer["tokens"].tolist() == [["[UNK]", "[PAD]", "[SEP]"]]
    np.testing.assert_allclose(answer["token_weights"], [np.log1p([3, 1, 1])], rtol=1e-6)


def test_a_request_may_keep_the_heaviest_alone(word_tokenizer: Path) -> None:
    answer = SparseEmbedding(word_tokenizer, size=4)(LOGITS, MASK, top_k=1)
    assert (answer["token_ids"].tolist(), answer["token_count"].tolist()) == ([[1]], [[1]])
    assert "json" not in answer
    said = SparseEmbedding(word_tokenizer, size=4)(LOGITS, MASK, top_k=1, json=True)["json"][0, 0]
    assert json.loads(said) == [{"token": "[UNK]", "id": 1, "weight": pytest.approx(np.log1p(3))}]


def test_nothing_may_be_left(word_tokenizer: Path) -> None:
    answer = SparseEmbedding(word_tokenizer, size=4)(-np.abs(LOGITS), MASK)
    assert (answer["token_count"].tolist(), answer["tokens"].shape) == ([[0]], (1, 0))


def vectors(pair: Pair, pooling: str) -> np.ndarray:
    """The rule of SPLADE in PyTorch, each text alone."""
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(pair.folder).eval(), pair.tokenizer
    with torch.no_grad():
        logits = [model(**tokenizer(text, truncation=True, return_tensors="pt")).logits[0] for text in TEXTS]
    weights = [values.relu().log1p() for values in logits]
    return np.stack([(w.amax(dim=0) if pooling == "max" else w.sum(dim=0)).numpy() for w in weights])


@pytest.mark.parametrize("pooling", ["max", "sum"])
@pytest.mark.parametrize("graph", ["ensemble", "bls"])
def test_equals_pytorch(exports: Callable[..., Pair], tmp_path: Path, graph: str, pooling: str) -> None:
    pair = exports("bert", "AutoModelForMaskedLM", "sparse-embedding")
    served = Served(tmp_path, "sparse-embedding", pair.exported, {"pooling": pooling})
    answer = served.ask(graph, {"input_text": column(*TEXTS)})
    for item, weights in enumerate(vectors(pair, pooling)):
        found = rows(answer, item, "token_count", "token_ids", "token_weights", "tokens")
        np.testing.assert_allclose([weight for _, weight, _ in found], weights[[i for i, _, _ in found]], atol=1e-4)
        assert len(found) == (weights > 0).sum()
        assert [name for _, _, name in found] == pair.tokenizer.convert_ids_to_tokens([i for i, _, _ in found])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("pooling", "activation"), [("max", "relu"), ("sum", "relu"), ("max", "log1p_relu")])
def test_equals_the_sparse_encoder(exports: Callable[..., Pair], tmp_path: Path, pooling: str, activation: str) -> None:
    import sentence_transformers as package
    from sentence_transformers.sparse_encoder.modules import SpladePooling, Transformer

    pair = exports("bert", "AutoModelForMaskedLM", "sparse-embedding")
    modules = [Transformer(str(pair.folder), transformer_task="fill-mask"), SpladePooling(pooling, activation)]
    expected = package.SparseEncoder(modules=modules).encode(TEXTS, convert_to_tensor=True).to_dense().numpy()
    options = {"pooling": pooling, "activation": activation}
    answer = Served(tmp_path, "sparse-embedding", pair.exported, options).ask("bls", {"input_text": column(*TEXTS)})
    for item, weights in enumerate(expected):
        found = rows(answer, item, "token_count", "token_ids", "token_weights")
        np.testing.assert_allclose([weight for _, weight in found], weights[[i for i, _ in found]], atol=1e-4)
        assert len(found) == (weights > 0).sum()
