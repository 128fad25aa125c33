"""sentence-transformers folders served: raw text in, and out what version 6.2 of the library answers on the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.export.onnx.packed import can_pack
from tbgen.export.ready.onnx_file import export_from_onnx
from tbgen.export.sentence.modules import ACTIVATIONS as LAYER_ACTIVATIONS
from tests.backends.served import Served, column
from tests.export.sentence_folders import CROSS_ENCODERS, bi_encoder, change, written

pytestmark = pytest.mark.filterwarnings("ignore")  # the library's own

TEXTS = ["오늘도 상한가 갔다", "Berlin is THE Capital", "", "the shares rose at once 🔥 " * 20]
POOL = ("Pooling", {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True})
NORMALIZE: tuple[str, dict[str, Any]] = ("Normalize", {})
TANH = "torch.nn.modules.activation.Tanh"


def exported(folder: Path, task: str | None = None) -> Exported:
    """The export that scaffold would make, beside the folder."""
    read = checkpoint_from_folder(folder, task=task)
    return onnx_from_checkpoint(read, folder / "export", layout="packed" if can_pack(read) else "padded", texts=TEXTS)


def served(folder: Path, task: str | None = None, **options: Any) -> Served:
    made = exported(folder, task)
    return Served(folder / "served", made.task, made, options)


def embedded(folder: Path, **options: Any) -> np.ndarray:
    return served(folder, **options).ask("ensemble", {"input_text": column(*TEXTS)})["embedding"]


def dense(wide: int, narrow: int, **settings: Any) -> tuple[str, dict[str, Any]]:
    return "Dense", {"in_features": wide, "out_features": narrow, "activation_function": TANH, **settings}


MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
CHAINS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    **{mode: [("Pooling", {"embedding_dimension": 32, "pooling_mode": mode})] for mode in MODES},
    "several": [("Pooling", {"embedding_dimension": 32, "pooling_mode": ["max", "weightedmean", "cls"]}), NORMALIZE],
    "several switches": [
        ("Pooling", {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True})
    ],
    "no switch": [("Pooling", {"word_embedding_dimension": 32})],
    "residual": [POOL, dense(32, 32, use_residual=True), NORMALIZE],
    "narrow residual": [POOL, dense(32, 8, use_residual=True, bias=False)],
    "normalize first": [POOL, NORMALIZE, dense(32, 8)],
    "several layers": [
        ("Pooling", {"embedding_dimension": 32, "pooling_mode": MODES}),
        dense(192, 16, activation_function="torch.nn.modules.activation.GELU"),
        ("Dropout", {"dropout": 0.3}),
        ("LayerNorm", {"dimension": 16}),
        dense(16, 8, activation_function="torch.nn.modules.linear.Identity"),
        NORMALIZE,
    ],
    "tokens first": [
        dense(32, 12, module_input_name="token_embeddings", module_output_name="token_embeddings"),
        ("Normalize", {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}),
        POOL,
    ],
    "other names": [
        POOL,
        dense(32, 8, module_output_name="wide"),
        dense(8, 4, module_input_name="wide", module_output_name="sentence_embedding"),
    ],
    "every activation": [
        POOL,
        *(
            layer
            for name in LAYER_ACTIVATIONS
            for layer in (dense(32, 32, activation_function=f"torch.nn.{name}"), ("LayerNorm", {"dimension": 32}))
        ),
    ],
    "layers without hidden states": [
        ("WeightedLayerPooling", {"word_embedding_dimension": 32, "layer_start": 1, "num_hidden_layers": 2}),
        POOL,
    ],
}


@pytest.mark.parametrize("chain", CHAINS)
def test_modules_in_any_order(chain: str, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = bi_encoder(tmp_path / "made", *CHAINS[chain])
    np.testing.assert_allclose(embedded(folder), SentenceTransformer(str(folder)).encode(TEXTS), atol=1e-5)


def test_the_weighted_mean_of_all_layers(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    layers = ("WeightedLayerPooling", {"embedding_dimension": 32, "layer_start": 1, "num_hidden_layers": 2})
    folder = bi_encoder(tmp_path / "made", layers, POOL, output_hidden_states=True)
    np.testing.assert_allclose(embedded(folder), SentenceTransformer(str(folder)).encode(TEXTS), atol=1e-5)


def test_weights_of_2_x_are_pickles(tmp_path: Path) -> None:
    from safetensors.torch import load_file
    from sentence_transformers import SentenceTransformer

    folder = bi_encoder(tmp_path / "made", POOL, dense(32, 8))
    place = folder / "2_Dense"
    torch.save(load_file(place / "model.safetensors"), place / "pytorch_model.bin")
    (place / "model.safetensors").unlink()
    np.testing.assert_allclose(embedded(folder), SentenceTransformer(str(folder)).encode(TEXTS), atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"do_lower_case": True},
        {"max_seq_length": 8},
        {"max_seq_length": None},
        {"processing_kwargs": {"text": {"max_length": 7, "padding": True}}, "max_seq_length": 9},
        {"processor_kwargs": {"model_max_length": 6}, "max_seq_length": 9},
        {"tokenizer_args": {"model_max_length": 6}},
    ],
    ids=str,
)
def test_how_texts_are_read(settings: dict[str, Any], tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = bi_encoder(tmp_path / "made", POOL)
    change(folder / "sentence_bert_config.json", settings)
    np.testing.assert_allclose(embedded(folder), SentenceTransformer(str(folder)).encode(TEXTS), atol=1e-5)


@pytest.mark.parametrize("names", [[], ["Lowercase"], ["NFC"], ["NFC", "Lowercase"]], ids=str)
def test_small_letters_are_the_library_s(names: list[str], tmp_path: Path) -> None:
    """Of words alone: a special token in a text stays one, and a sigma at a word's end is that of any place."""
    from sentence_transformers import SentenceTransformer

    folder = bi_encoder(tmp_path / "made", POOL)
    change(folder / "sentence_bert_config.json", {"do_lower_case": True})
    kinds = [{"type": name} for name in names]
    change(
        folder / "tokenizer.json",
        {"normalizer": kinds[0] if len(kinds) == 1 else {"type": "Sequence", "normalizers": kinds}},
    )
    model, ours = SentenceTransformer(str(folder)), checkpoint_from_folder(folder).tokenizer.tokenizer
    for text in ("THE [MASK] Rose [SEP]", "ΟΔΟΣ THE ΣΑΣ", "The İ ﬁ Ａ shares", "오늘도", ""):
        assert ours.encode(text).ids == model.preprocess([text])["input_ids"][0].tolist(), text
    texts = ("THE [MASK] Rose [SEP]", "the [mask] rose [sep]")
    answer = served(folder).ask("bls", {"input_text": column(*texts)})["embedding"]
    np.testing.assert_allclose(answer, model.encode(list(texts)), atol=1e-5)


PROMPTS = {"query": "the report: ", "document": None, "passage": "", "long": "better than anyone had expected " * 9}


@pytest.mark.parametrize("mode", [*MODES, ["mean", "cls"]], ids=str)
def test_prompts_are_pooled_or_left_out(mode: Any, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = bi_encoder(
        tmp_path / "made", ("Pooling", {"embedding_dimension": 32, "pooling_mode": mode, "include_prompt": False})
    )
    change(folder / "config_sentence_transformers.json", {"prompts": PROMPTS, "default_prompt_name": "query"})
    model, graphs = SentenceTransformer(str(folder)), served(folder)
    for name in (None, "passage", "document", "long"):
        expected = model.encode(TEXTS, prompt_name=name)
        asked = {"prompt_name": name} if name else {}
        for graph in ("ensemble", "bls"):
            answer = graphs.ask(graph, {"input_text": column(*TEXTS)}, **asked)["embedding"]
            np.testing.assert_allclose(answer, expected, atol=1e-5)


def test_prompts_left_out_of_a_graph_that_pools_are_refused(tmp_path: Path) -> None:
    pool = ("Pooling", {"embedding_dimension": 32, "pooling_mode": "mean", "include_prompt": False})
    folder = bi_encoder(tmp_path / "made", pool, dense(32, 8))
    with pytest.raises(UserError, match=r"leave the prompts out"):
        served(folder, prompts={"query": "the report: "})
    change(folder / "config_sentence_transformers.json", {"prompts": PROMPTS})
    with pytest.raises(
        UserError, match=r"keeps its prompts' tokens out of the pooling .* and has Pooling, Dense in the"
    ):
        checkpoint_from_folder(folder)


@pytest.mark.parametrize("modules", [[POOL], [POOL, NORMALIZE], [POOL, dense(32, 8), NORMALIZE]], ids=len)
def test_a_vector_is_cut_at_last(modules: list[Any], tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = bi_encoder(tmp_path / "made", *modules)
    change(folder / "config_sentence_transformers.json", {"truncate_dim": 5})
    answer = embedded(folder)
    assert answer.shape == (len(TEXTS), 5)
    np.testing.assert_allclose(answer, SentenceTransformer(str(folder)).encode(TEXTS), atol=1e-5)


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean", "manhattan", "maxsim"])
def test_similarity_is_the_folders_own(metric: str, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    pool = ("Pooling", {"embedding_dimension": 32, "pooling_mode": "mean", "include_prompt": metric != "dot"})
    folder = bi_encoder(tmp_path / "made", pool)
    prompts = {"query": "the report: ", "passage": "금리는 ", "default": "주가가 "}
    settings = {"similarity_fn_name": metric, "prompts": prompts, "default_prompt_name": "default", "truncate_dim": 9}
    change(folder / "config_sentence_transformers.json", settings)
    model = SentenceTransformer(str(folder))
    queries = ["금리가 오르나요?", "shares"]
    expected = model.similarity(model.encode_query(queries), model.encode_document(TEXTS))
    texts = np.array([TEXTS] * 2, dtype=object)
    answer = served(folder, "similarity").ask("bls", {"query": column(*queries), "texts": texts})
    np.testing.assert_allclose(answer["scores"], expected, atol=1e-4)


ACTIVATIONS = [
    "linear.Identity",
    *(f"activation.{name}" for name in ("Sigmoid", "Tanh", "ReLU", "Softmax", "Softplus")),
]


@pytest.mark.parametrize("activation", [*ACTIVATIONS, "activation.LogSigmoid"])
def test_scores_and_ranking_of_a_cross_encoder(activation: str, tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    folder = written(tmp_path / "made", "AutoModelForSequenceClassification")
    settings = {
        "activation_fn": f"torch.nn.modules.{activation}",
        "prompts": {"ask": "the report: ", "none": ""},
        "default_prompt_name": "ask",
    }
    change(folder / "config_sentence_transformers.json", settings)
    model, graphs = CrossEncoder(str(folder)), served(folder)
    for name in (None, "none"):
        expected = model.predict([("금리가 오르나요?", text) for text in TEXTS], prompt_name=name)
        asked = {"prompt_name": name} if name else {}
        request = {"query": column("금리가 오르나요?"), "texts": np.array([TEXTS], dtype=object)}
        answer = graphs.ask("bls", request, **asked)
        np.testing.assert_allclose(answer["scores"][0], expected, atol=1e-5)
        ranks = model.rank("금리가 오르나요?", TEXTS, prompt_name=name)
        assert answer["ranking"][0].tolist() == [row["corpus_id"] for row in ranks]


@pytest.mark.parametrize("version", CROSS_ENCODERS)
def test_cross_encoders_of_all_versions(version: str, tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    folder = written(tmp_path / "made", "AutoModelForSequenceClassification", version)
    expected = CrossEncoder(str(folder)).predict([("금리", text) for text in TEXTS])
    request = {"query": column("금리"), "texts": np.array([TEXTS], dtype=object)}
    np.testing.assert_allclose(served(folder).ask("bls", request)["scores"][0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("activation", "output"),
    [("linear.Identity", "logits"), ("activation.Sigmoid", "sigmoid"), ("activation.Softmax", "softmax")],
)
@pytest.mark.parametrize("graph", ["ensemble", "bls"])
def test_several_classes_of_a_cross_encoder(activation: str, output: str, graph: str, tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    folder = written(tmp_path / "made", "AutoModelForSequenceClassification", labels=3)
    change(folder / "config_sentence_transformers.json", {"activation_fn": f"torch.nn.modules.{activation}"})
    expected = CrossEncoder(str(folder)).predict([("금리", text) for text in TEXTS])
    answer = served(folder).ask(graph, {"input_text": column(*["금리"] * len(TEXTS)), "text_pair": column(*TEXTS)})
    np.testing.assert_allclose(answer[output], expected, atol=1e-5)


def test_classes_through_another_activation_are_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "made", "AutoModelForSequenceClassification", labels=3)
    change(folder / "config_sentence_transformers.json", {"activation_fn": TANH})
    with pytest.raises(
        UserError, match=r"gives its classes through Tanh; text-classification has softmax, sigmoid, none"
    ):
        served(folder)


@pytest.mark.parametrize("version", ["5.1.2", "6.2.0"])
def test_weights_of_words(version: str, tmp_path: Path) -> None:
    from sentence_transformers import SparseEncoder

    folder = written(tmp_path / "made", "AutoModelForMaskedLM", version)
    settings = {"prompts": {"query": "the report: "}, "default_prompt_name": "query", "max_active_dims": 7}
    change(folder / "config_sentence_transformers.json", settings)
    change(folder / "1_SpladePooling" / "config.json", {"pooling_strategy": "sum", "activation_function": "log1p_relu"})
    expected = SparseEncoder(str(folder)).encode(TEXTS, convert_to_sparse_tensor=False).numpy()
    answer = served(folder).ask("ensemble", {"input_text": column(*TEXTS)})
    found = np.zeros_like(expected)
    for row, count in enumerate(answer["token_count"][:, 0]):
        assert count == 7
        found[row, answer["token_ids"][row, :count]] = answer["token_weights"][row, :count]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("activation", "output"), [("linear.Identity", "value"), ("activation.Sigmoid", "sigmoid")])
def test_one_label_of_a_cross_encoder_as_a_classifier(activation: str, output: str, tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    folder = written(tmp_path / "made", "AutoModelForSequenceClassification")
    change(folder / "config_sentence_transformers.json", {"activation_fn": f"torch.nn.modules.{activation}"})
    expected = CrossEncoder(str(folder)).predict([("금리", text) for text in TEXTS])
    pairs = {"input_text": column(*["금리"] * len(TEXTS)), "text_pair": column(*TEXTS)}
    answer = served(folder, "text-classification").ask("bls", pairs)[output]
    np.testing.assert_allclose(answer[:, 0], expected, atol=1e-5)


def test_a_cross_encoder_of_entailment_serves_labels_too(tmp_path: Path) -> None:
    labels = {0: "contradiction", 1: "entailment"}
    folder = written(tmp_path / "made", "AutoModelForSequenceClassification", labels=2)
    change(folder / "config.json", {"id2label": labels})
    request = {"input_text": column("금리"), "candidate_labels": np.array([["shares", "금리"]], dtype=object)}
    answer = served(folder, "zero-shot-classification").ask("bls", request)
    assert sorted(answer["labels"][0]) == ["shares", "금리"]


@pytest.mark.parametrize(
    ("mode", "include_prompt", "sentence"),
    [
        ("weightedmean", True, "this pools by weightedmean; leave --long-text windows out"),
        (["mean", "cls"], True, "this pools by mean and cls; leave"),
        ("mean", False, "this pools by mean, prompts left out; leave"),
    ],
)
def test_windows_are_merged_where_that_is_the_text(
    mode: Any, include_prompt: bool, sentence: str, tmp_path: Path
) -> None:
    pool = ("Pooling", {"embedding_dimension": 32, "pooling_mode": mode, "include_prompt": include_prompt})
    folder = bi_encoder(tmp_path / "made", pool)
    change(folder / "config_sentence_transformers.json", {"prompts": PROMPTS})
    for task in ("embedding", "similarity"):
        with pytest.raises(UserError, match=sentence):
            Served(tmp_path / task, task, exported(folder, task), long_text="windows")
        (folder / "export").rename(tmp_path / f"{task} export")


def test_an_onnx_file_beside_such_a_folder_is_read_as_it_says(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = bi_encoder(tmp_path / "made", POOL, NORMALIZE)
    change(folder / "sentence_bert_config.json", {"do_lower_case": True, "max_seq_length": 12})
    change(folder / "config_sentence_transformers.json", {"truncate_dim": 5})
    model = onnx_from_checkpoint(checkpoint_from_folder(folder), tmp_path / "theirs", texts=TEXTS).model
    made = export_from_onnx(model, folder, tmp_path / "taken", texts=TEXTS)
    answer = Served(tmp_path / "served", "embedding", made).ask("bls", {"input_text": column(*TEXTS)})["embedding"]
    np.testing.assert_allclose(answer, SentenceTransformer(str(folder)).encode(TEXTS), atol=1e-5)
