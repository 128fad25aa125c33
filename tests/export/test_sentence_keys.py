"""Every key of a sentence-transformers folder: read, refused in a sentence, or known not to matter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tbgen.export.checkpoint.checkpoint import Checkpoint, checkpoint_from_folder
from tbgen.export.errors import UserError
from tbgen.export.sentence.keys import KEYS
from tbgen.export.sentence.text import TEXT_CONFIGS
from tests.export.sentence_folders import (
    BI_ENCODERS,
    CROSS_ENCODERS,
    OLD,
    SPARSE_ENCODERS,
    bi_encoder,
    chain,
    change,
    write,
    written,
)

DOCS = (Path(__file__).parents[2] / "docs" / "reference" / "checkpoint-files.md").read_text(encoding="utf-8")
POOL = ("Pooling", {"embedding_dimension": 32, "pooling_mode": "mean"})
DENSE = ("Dense", {"in_features": 32, "out_features": 8, "activation_function": "torch.nn.Tanh"})
SETTINGS, TEXT = "config_sentence_transformers.json", "sentence_bert_config.json"


@pytest.mark.parametrize(("file", "key"), [(file, key) for file, keys in KEYS.items() for key in keys])
def test_the_docs_name_every_key_and_what_becomes_of_it(file: str, key: str) -> None:
    assert re.search(
        rf"^\| `{re.escape(file)}` \| `{key}` \| (served|cannot matter|refused|as `?\w+)", DOCS, re.MULTILINE
    )


def read(folder: Path, **named: Any) -> Checkpoint:
    return checkpoint_from_folder(folder, **named)


@pytest.mark.parametrize("version", BI_ENCODERS)
def test_bi_encoders_of_all_versions(version: str, tmp_path: Path) -> None:
    found = read(written(tmp_path / "made", "AutoModel", version))
    assert (found.task, found.max_length) == ("embedding", 40 if version == "6.2.0" else 24)
    assert found.sentence is not None
    assert (found.sentence.pooling, found.sentence.normalize, found.pooled) == ("mean", True, False)


@pytest.mark.parametrize("version", CROSS_ENCODERS)
@pytest.mark.parametrize(("labels", "task"), [(1, "rerank"), (3, "text-classification")])
def test_cross_encoders_of_all_versions(version: str, labels: int, task: str, tmp_path: Path) -> None:
    found = read(written(tmp_path / "made", "AutoModelForSequenceClassification", version, labels=labels))
    assert (found.task, found.row.pair) == (task, True)
    assert found.sentence is not None
    assert found.sentence.record() == {"prompts": {}, "prompt": None, "pair": True, "activation": "Identity"}


@pytest.mark.parametrize("version", SPARSE_ENCODERS)
def test_sparse_encoders_of_all_versions(version: str, tmp_path: Path) -> None:
    found = read(written(tmp_path / "made", "AutoModelForMaskedLM", version))
    assert found.task == "sparse-embedding"
    assert found.sentence is not None
    assert (found.sentence.pooling, found.sentence.activation) == ("max", "relu")


@pytest.mark.parametrize(
    ("auto", "task", "kind"),
    [
        ("AutoModel", "embedding", "SentenceTransformer"),
        ("AutoModelForSequenceClassification", "rerank", "CrossEncoder"),
        ("AutoModelForMaskedLM", "sparse-embedding", "SparseEncoder"),
    ],
)
def test_without_modules_json_the_kind_stands_in_another_file(auto: str, task: str, kind: str, tmp_path: Path) -> None:
    folder = written(tmp_path / "made", auto)
    change(folder / SETTINGS, {"prompts": {"query": "q: "}, "default_prompt_name": "query"})
    (folder / "modules.json").unlink()
    found = read(folder)
    assert found.sentence is not None
    assert (found.task, found.sentence.kind, found.sentence.said_in) == (task, kind, SETTINGS)
    # The library reads neither prompts nor an activation then.
    assert (found.sentence.prompts, found.sentence.prompt) == ({}, None)
    assert found.sentence.activation == {"CrossEncoder": "Sigmoid", "SparseEncoder": "relu"}.get(kind)
    told_by = f"from {SETTINGS}, a {kind} of sentence-transformers without modules.json, so without prompts"
    assert told_by in found.explanation
    (folder / SETTINGS).unlink()
    found = read(folder)
    assert found.task == task
    assert (found.sentence.said_in if found.sentence else None) == (TEXT if auto != "AutoModel" else None)


@pytest.mark.parametrize("file", ["tokenizer_config.json", "chat_template.jinja"])
def test_without_modules_json_a_chat_template_makes_messages_of_texts(file: str, tmp_path: Path) -> None:
    folder = written(tmp_path / "made", "AutoModelForSequenceClassification")
    if file.endswith(".json"):
        change(folder / file, {"chat_template": "{{ messages }}"})
    else:
        (folder / file).write_text("{{ messages }}", encoding="utf-8")
    assert read(folder).task == "rerank"
    (folder / "modules.json").unlink()
    with pytest.raises(UserError, match=r"has a chat template and no modules\.json, for which sentence-transformers"):
        read(folder)


@pytest.mark.parametrize("name", TEXT_CONFIGS)
def test_the_transformers_file_had_many_names(name: str, tmp_path: Path) -> None:
    folder = bi_encoder(tmp_path / "made", POOL)
    (folder / TEXT).unlink()
    write(folder / name, {"max_seq_length": 12, "do_lower_case": True})
    found = read(folder)
    assert found.max_length == 12
    ids = found.tokenizer.tokenizer.encode
    assert ids("THE [MASK]").ids == ids("the [MASK]").ids


def test_a_longest_text_counts_beyond_the_tokenizers_own_but_not_beyond_the_models(tmp_path: Path) -> None:
    folder = bi_encoder(tmp_path / "made", POOL)
    change(folder / "tokenizer_config.json", {"model_max_length": 16})
    assert read(folder).max_length == 16
    change(folder / TEXT, {"max_seq_length": 32})
    assert read(folder).max_length == 32
    change(folder / TEXT, {"max_seq_length": 320})
    assert read(folder).max_length == 40


HARMLESS: list[tuple[str, dict[str, Any]]] = [
    (TEXT, {"model_args": {"torch_dtype": "float16", "attn_implementation": "sdpa"}, "unpad_inputs": True}),
    (
        TEXT,
        {"processor_kwargs": {"use_fast": True, "padding_side": "left"}, "config_kwargs": {"trust_remote_code": True}},
    ),
    (
        TEXT,
        {"processing_kwargs": {"text": {"padding": "max_length", "truncation": True}, "image": {}}, "cache_dir": "a"},
    ),
    (TEXT, {"query_length": None, "document_length": None, "query_expansion": None, "tokenizer_name_or_path": None}),
    (SETTINGS, {"requirements": {"transformers": ">=99"}, "keep_in_fp32_modules": ["0.model"], "of_ones_own": 1}),
    ("1_Pooling/config.json", {"word_embedding_dimension": 99}),
]


@pytest.mark.parametrize(("file", "settings"), HARMLESS, ids=str)
def test_what_cannot_matter_changes_nothing(file: str, settings: dict[str, Any], tmp_path: Path) -> None:
    folder = bi_encoder(tmp_path / "made", POOL, ("Dropout", {"dropout": 0.5}))
    before = read(folder)
    change(folder / file, settings)
    assert read(folder) == before


REFUSED: list[tuple[str, Any, str]] = [
    (
        TEXT,
        {"transformer_task": "text-generation"},
        "transformer_task 'text-generation'; tbgen serves feature-extraction",
    ),
    (
        TEXT,
        {"transformer_task": "fill-mask"},
        "takes last_hidden_state of forward as token_embeddings; tbgen serves logits",
    ),
    (
        TEXT,
        {"modality_config": {"message": {}, "text": {}}},
        "reads message, text; tbgen serves plain text, without a chat",
    ),
    (
        TEXT,
        {"module_output_name": "sentence_embedding"},
        "as sentence_embedding; tbgen serves last_hidden_state of forward",
    ),
    (TEXT, {"query_length": 8}, "sets query_length, which tbgen does not serve; save the model without it"),
    (TEXT, {"document_length": 8}, "sets document_length"),
    (TEXT, {"query_expansion": {"strategy": "min", "length": 8}}, "sets query_expansion"),
    (TEXT, {"tokenizer_name_or_path": "other"}, "sets tokenizer_name_or_path"),
    (TEXT, {"model_kwargs": {"variant": "fp16"}}, r"sets model_kwargs\.variant"),
    (TEXT, {"config_args": {"num_hidden_layers": 1}}, r"sets config_args\.num_hidden_layers"),
    (TEXT, {"tokenizer_args": {"add_prefix_space": True}}, r"sets tokenizer_args\.add_prefix_space"),
    (
        TEXT,
        {"processing_kwargs": {"text": {"add_special_tokens": False}}},
        "calls the tokenizer with add_special_tokens",
    ),
    (TEXT, {"processing_kwargs": {"common": {"truncation": False}}}, "calls the tokenizer with truncation False"),
    (
        TEXT,
        {"lower": True},
        "has the key 'lower', which sentence_bert_config.json of sentence-transformers 6.2 does not",
    ),
    (
        SETTINGS,
        {"model_type": "MultiVectorEncoder"},
        "holds a MultiVectorEncoder, as config_sentence_transformers.json says",
    ),
    (
        SETTINGS,
        {"default_prompt_name": "ask"},
        "default_prompt_name 'ask', which no prompt has; there are: query, document",
    ),
    (SETTINGS, {"prompts": {"query": 1}}, "holds prompts that are not texts by name"),
    (
        SETTINGS,
        {"model_type": "CrossEncoder"},
        "has the modules Transformer, Pooling, Dense; tbgen serves of a CrossEncoder",
    ),
    (
        SETTINGS,
        {"model_type": "SparseEncoder"},
        "has the modules Transformer, Pooling, Dense; tbgen serves of a SparseEncoder",
    ),
    ("2_Dense/config.json", {"in_features": 31}, "takes 31 numbers, the modules before it give 32"),
    ("2_Dense/config.json", {"in_features": None}, "has no in_features and out_features in its config.json"),
    ("2_Dense/config.json", {"module_input_name": "nothing"}, "takes nothing, which no module before it gives"),
    (
        "2_Dense/config.json",
        {"activation_function": "torch.nn.Softmax"},
        "has the activation 'Softmax'; tbgen serves Identity",
    ),
    ("modules.json", [], "is no list of modules, each with its type and path"),
    ("modules.json", {"type": "a", "path": ""}, "is no list of modules, each with its type and path"),
    (
        "modules.json",
        chain(("", "modeling.Transformer")),
        "the module 'modeling.Transformer', which is code of its own",
    ),
    (
        "modules.json",
        chain(("../other", f"{OLD}Transformer")),
        "names the path '../other', which is outside its folder",
    ),
    *(
        ("modules.json", chain(("", f"{OLD}{kind}")), f"has the modules {kind}; tbgen serves Transformer, Pooling")
        for kind in ("Router", "Asym", "WordEmbeddings", "BoW", "StaticEmbedding", "CLIPModel", "Transformer")
    ),
    *(
        (
            "modules.json",
            chain(("", f"{OLD}Transformer"), ("1_Pooling", f"{OLD}{kind}")),
            f"has the modules Transformer, {kind}",
        )
        for kind in ("LSTM", "CNN", "WordWeights", "SparseAutoEncoder", "MultiVectorMask", "Dense")
    ),
]


@pytest.mark.parametrize(("file", "value", "sentence"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_is_not_served_is_refused_in_a_sentence(file: str, value: Any, sentence: str, tmp_path: Path) -> None:
    folder = bi_encoder(tmp_path / "made", POOL, DENSE)
    (write if file == "modules.json" else change)(folder / file, value)
    with pytest.raises(UserError, match=sentence):
        read(folder)


@pytest.mark.parametrize(
    ("auto", "file", "settings", "sentence"),
    [
        (
            "AutoModelForSequenceClassification",
            SETTINGS,
            {"activation_fn": "my.Swish"},
            "by the activation 'my.Swish'; tbgen",
        ),
        (
            "AutoModelForSequenceClassification",
            SETTINGS,
            {"activation_fn": "torch.nn.GELU"},
            "tbgen serves Identity, Sigmoid",
        ),
        (
            "AutoModelForSequenceClassification",
            SETTINGS,
            {"default_prompt_name": "query"},
            "no prompt has; there are: none",
        ),
        (
            "AutoModelForMaskedLM",
            "1_SpladePooling/config.json",
            {"pooling_strategy": "mean"},
            "pools by 'mean'; tbgen serves max",
        ),
        (
            "AutoModelForMaskedLM",
            "1_SpladePooling/config.json",
            {"activation_function": "gelu"},
            "'gelu'; tbgen serves relu, ",
        ),
        (
            "AutoModelForMaskedLM",
            "1_SpladePooling/config.json",
            {"top_k": 3},
            "has the key 'top_k', which SpladePooling of",
        ),
    ],
)
def test_other_kinds_refuse_what_they_do_not_serve(
    auto: str, file: str, settings: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    folder = written(tmp_path / "made", auto)
    change(folder / file, settings)
    with pytest.raises(UserError, match=sentence):
        read(folder)


def test_of_two_modules_with_one_name_the_later_stands_in_the_place_of_the_first(tmp_path: Path) -> None:
    folder = bi_encoder(tmp_path / "made", POOL, ("Normalize", {}))
    rows = chain(("", f"{OLD}Transformer"), ("0_Gone", f"{OLD}LSTM"), ("1_Pooling", f"{OLD}Pooling"))
    rows[1]["name"] = rows[2]["name"]
    write(folder / "modules.json", rows)
    found = read(folder).sentence
    assert found is not None
    assert (found.pooling, found.normalize) == ("mean", False)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    from tbgen.export.checkpoint.pytorch import model_from_checkpoint

    folder = bi_encoder(tmp_path / "made", POOL, DENSE)
    change(folder / "2_Dense" / "config.json", {"bias": False})
    with pytest.raises(
        UserError, match=r"the weights in .*2_Dense' are \{.*linear.bias.*\}, its config.json makes them"
    ):
        model_from_checkpoint(read(folder))
