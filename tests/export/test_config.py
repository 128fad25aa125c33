"""config.json as transformers reads it; a row of docs/reference/checkpoint-files.md each, values of a wrong type."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from tbgen.export.checkpoint.checkpoint import Checkpoint, checkpoint_from_folder
from tbgen.export.checkpoint.config import DEFAULTED, encoder_config
from tbgen.export.checkpoint.pytorch import RUN, model_from_checkpoint
from tbgen.export.errors import UserError
from tbgen.export.families import FAMILIES
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.export.onnx.packed import can_pack
from tbgen.export.parity.parity import Encoder, engine_run
from tbgen.export.tasks.table import task_named
from tests.export import checkpoints
from tests.export.test_checkpoint import change

TEXTS = ["오늘도 상한가 갔다", "금리", "the shares rose at once"]
CLASSIFIER, WORDS = "AutoModelForSequenceClassification", "AutoModelForMaskedLM"


@pytest.fixture
def copy(bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bert, tmp_path / "copy"))


@pytest.mark.parametrize("family", FAMILIES)
def test_what_config_json_leaves_out_is_as_in_transformers(family: str) -> None:
    theirs = transformers.AutoConfig.for_model(family)
    found = encoder_config({"model_type": family})
    names = [theirs.attribute_map.get(key, key) for key in DEFAULTED if hasattr(theirs, key)]
    assert {name: found[name] for name in names} == {name: getattr(theirs, name) for name in names}
    assert tuple(found["id2label"].values()) == tuple(theirs.id2label.values())


# What changes answers, or looks as if it did: a random model of that config is served as transformers runs it.
ROWS: list[tuple[str, str, dict[str, Any]]] = [
    ("bert", CLASSIFIER, {"hidden_act": "relu", "layer_norm_eps": 0.1}),
    ("bert", CLASSIFIER, {"type_vocab_size": 4}),
    ("bert", CLASSIFIER, {"chunk_size_feed_forward": 4, "is_causal": False}),
    ("bert", CLASSIFIER, {"return_dict": False, "output_hidden_states": True, "output_attentions": True}),
    ("bert", CLASSIFIER, {"torchscript": True, "use_cache": False, "dtype": "float16", "finetuning_task": "mrpc"}),
    ("bert", CLASSIFIER, {"pruned_heads": {}, "position_embedding_type": "absolute", "is_encoder_decoder": False}),
    ("bert", WORDS, {"tie_word_embeddings": False}),
    ("distilbert", CLASSIFIER, {"is_decoder": True, "activation": "relu", "sinusoidal_pos_embds": True}),
    ("albert", CLASSIFIER, {"num_hidden_groups": 2, "num_hidden_layers": 4, "inner_group_num": 2}),
    ("electra", CLASSIFIER, {"summary_type": "mean", "summary_use_proj": False, "type_vocab_size": 1}),
    ("deberta", CLASSIFIER, {"pos_att_type": "c2p|p2c", "max_relative_positions": 6, "position_biased_input": False}),
    ("deberta", WORDS, {"legacy": False}),
    ("deberta-v2", CLASSIFIER, {"position_buckets": -1, "conv_kernel_size": 3, "conv_act": "gelu"}),
    ("modernbert", CLASSIFIER, {"classifier_pooling": "mean", "classifier_activation": "relu", "norm_bias": True}),
    ("modernbert", CLASSIFIER, {"global_rope_theta": 50.0, "position_embedding_type": "relative_key"}),
    ("modernbert", WORDS, {"sparse_prediction": True, "decoder_bias": False}),
]


@pytest.mark.parametrize(("family", "auto", "settings"), ROWS)
def test_a_key_is_honoured_as_transformers_does(
    family: str, auto: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    built = {key: value for key, value in settings.items() if key not in RUN}
    folder = checkpoints.checkpoint(tmp_path / "made", family, auto, **built)
    change(folder, **settings)
    checkpoint = checkpoint_from_folder(folder)
    run = {"return_dict": True, "output_attentions": False, "chunk_size_feed_forward": 0}
    theirs = getattr(transformers, auto).from_pretrained(folder, dtype=torch.float32, **run)
    for layout in ("padded", "packed") if can_pack(checkpoint) else ("padded",):
        exported = onnx_from_checkpoint(checkpoint, tmp_path / layout, layout=layout)
        inputs = Encoder(exported)(TEXTS)
        with torch.no_grad():
            want = theirs.eval()(**{name: torch.from_numpy(tensor) for name, tensor in inputs.items()}).logits.numpy()
        kept = inputs["attention_mask"].astype(bool) if checkpoint.row.per_token else ...
        np.testing.assert_allclose(engine_run(exported)(inputs)["outputs"][kept], want[kept], atol=5e-5, rtol=0)


@pytest.mark.parametrize(
    ("settings", "labels", "problem"),
    [
        ({"id2label": None}, ("LABEL_0", "LABEL_1"), "single_label_classification"),
        ({"id2label": None, "num_labels": 3}, ("LABEL_0", "LABEL_1", "LABEL_2"), "single_label_classification"),
        ({"id2label": None, "num_labels": 1}, ("LABEL_0",), "multi_label_classification"),
        ({"num_labels": 3}, ("부정", "중립", "긍정"), "single_label_classification"),
        ({"num_labels": None}, ("부정", "중립", "긍정"), "single_label_classification"),
        ({"id2label": {"0": 0, "1": 1}}, ("0", "1"), "single_label_classification"),
        ({"id2label": None, "label2id": {"a": 0, "b": 1}}, ("LABEL_0", "LABEL_1"), "single_label_classification"),
        ({"problem_type": None}, ("부정", "중립", "긍정"), "single_label_classification"),
    ],
)
def test_the_classes_are_those_of_transformers(
    copy: Path, settings: dict[str, Any], labels: tuple[str, ...], problem: str
) -> None:
    change(copy, **settings)
    found = checkpoint_from_folder(copy)
    assert (found.labels, found.problem) == (labels, problem)
    if settings.get("num_labels", 0) is not None:  # which transformers stumbles over
        theirs = transformers.AutoConfig.from_pretrained(copy)
        assert tuple(str(theirs.id2label[index]) for index in range(theirs.num_labels)) == labels


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"id2label": {"a": "b"}}, r'says id2label: \{"a": "b"\}; it must be an object of the classes by number'),
        ({"id2label": 5}, "says id2label: 5; it must be"),
        ({"id2label": ["a"]}, r'says id2label: \["a"\]; it must be'),
        ({"id2label": {}}, r"says id2label: \{\}; it must be"),
        ({"id2label": {"0": None}}, r'says id2label: \{"0": null\}; it must be'),
        ({"label2id": 5}, "says label2id: 5; it must be an object of the numbers by class"),
        ({"num_labels": "3"}, 'says num_labels: "3"; it must be a whole number from 1 on'),
        ({"num_labels": 2}, r"says num_labels: 2, its id2label has 3 \(부정, 중립, 긍정\); .*leave num_labels out"),
        ({"architectures": [5]}, r"says architectures: \[5\]; it must be a list of class names"),
        ({"architectures": "BertModel"}, 'says architectures: "BertModel"; it must be a list'),
        ({"architectures": None}, r"no architecture of a known task \(''\); name it with --task"),
        ({"architectures": []}, r"no architecture of a known task \(''\); name it with --task"),
        ({"max_position_embeddings": "x"}, 'says max_position_embeddings: "x"; it must be a whole number from 1 on'),
        ({"max_position_embeddings": None}, "says max_position_embeddings: null; it must be a whole number"),
        ({"vocab_size": None}, "says vocab_size: null; it must be a whole number"),
        ({"vocab_size": True}, "says vocab_size: true; it must be a whole number"),
        ({"vocab_size": 300.0}, "says vocab_size: 300.0; it must be a whole number"),
        ({"hidden_size": "32"}, 'says hidden_size: "32"; it must be a whole number'),
        ({"type_vocab_size": None}, "says type_vocab_size: null; it must be a whole number from 0 on"),
        ({"type_vocab_size": 0}, "says type_vocab_size: 0; bert has one type"),
        ({"max_position_embeddings": 1}, "max_position_embeddings: 1, which places 1 tokens of bert; a text has 2"),
        ({"pad_token_id": "0"}, 'says pad_token_id: "0"; it must be a whole number or null'),
        ({"problem_type": "sentiment"}, 'says problem_type: "sentiment"; it must be one of single_label_class'),
        ({"problem_type": ["regression"]}, r"says problem_type: \[.*; it must be one of"),
        (
            {"problem_type": "single_label_classification", "id2label": {"0": "a"}},
            "with one label, 'a', which transformers refuses; write \"regression\"",
        ),
        ({"num_attention_heads": 5}, "hidden_size 32 and num_attention_heads 5; the width must be a whole multiple"),
        ({"num_hidden_layers": 0}, "says num_hidden_layers: 0; it must be a whole number from 1 on"),
        ({"is_decoder": "yes"}, 'says is_decoder: "yes"; it must be true or false'),
        ({"is_decoder": True}, "is_decoder: true, so each token reads only those before it; tbgen serves encoders"),
        ({"add_cross_attention": True}, "says add_cross_attention: true"),
        ({"is_causal": True}, "says is_causal: true, so each token reads only those before it"),
        ({"position_embedding_type": "relative_key"}, '"relative_key", which transformers 5 no longer computes'),
        ({"pruned_heads": {"0": [1]}}, "has pruned_heads, which transformers 5 no longer builds"),
        ({"configuration_files": ["config.4.0.0.json"]}, "takes the one for its version instead; copy that one over"),
        ({"transformers_weights": "best.bin"}, "it must be the name of a .safetensors file beside it"),
        ({"transformers_weights": "../a.safetensors"}, "it must be the name of a .safetensors file beside it"),
        ({"transformers_weights": "best.safetensors"}, "no weights in .*; looked for best.safetensors"),
        ({"model_type": None}, r"says model_type: null; it must be a family's name"),
        ({"model_type": "gpt2"}, "no encoder family 'gpt2'. Encoder families: albert, .* --source model.onnx"),
        (
            {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
            r"quantization_config \(bitsandbytes\): the weights are no plain numbers; .*model.dequantize\(\), then",
        ),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, r"\(gptq\).*take the checkpoint that was quan"),
        ({"quantization_config": 5}, r"has a quantization_config \(unnamed\)"),
        ({"compression_config": {"quant_method": "compressed-tensors"}}, r"compression_config \(compressed-tensors\)"),
        (
            {"auto_map": {"AutoConfig": "c.JinaConfig", "AutoModel": "m.JinaBert"}},
            r"auto_map of config.json names code of the checkpoint's own \(m.JinaBert\), which tbgen does not run",
        ),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_a_sentence(copy: Path, settings: dict[str, Any], sentence: str) -> None:
    change(copy, **settings)
    with pytest.raises(UserError, match=sentence):
        checkpoint_from_folder(copy)


def test_the_weights_are_those_of_the_file_that_is_named(copy: Path, tmp_path: Path) -> None:
    other = checkpoints.checkpoint(tmp_path / "other", "bert", initializer_range=0.5)
    shutil.copy(other / "model.safetensors", copy / "best.safetensors")
    change(copy, transformers_weights="best.safetensors")
    checkpoint = checkpoint_from_folder(copy)
    assert list(checkpoint.source) == ["best.safetensors"]
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(copy).state_dict()
    ours = model_from_checkpoint(checkpoint).state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    assert not torch.equal(ours["classifier.weight"], load_file(copy / "model.safetensors")["classifier.weight"])


def test_a_family_that_is_not_named_is_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    del config["model_type"]
    (copy / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(UserError, match=r"does not name its family \(model_type\). Encoder families: albert, "):
        checkpoint_from_folder(copy)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"hidden_dropout_prob": "x"}, "hidden_dropout_prob"),
        ({"layer_norm_eps": "1e-12"}, "layer_norm_eps.* expected float"),
        ({"hidden_act": "gleu"}, "gleu"),
        ({"hidden_act": 5}, "hidden_act.* expected str"),
        ({"intermediate_size": -1}, ""),
        ({"pad_token_id": 1000}, "[Pp]adding_idx"),
        ({"rope_scaling": 5, "rope_theta": 3}, ""),
        ({"per_layer_config": {"1": {"intermediate_size": 48}}}, "per-layer"),
    ],
)
def test_what_transformers_cannot_build_is_refused_with_its_reason(
    copy: Path, settings: dict[str, Any], reason: str
) -> None:
    change(copy, **settings)
    with pytest.raises(UserError, match=rf"(builds no model from config.json \(.*{reason}|it must be)"):
        model_from_checkpoint(checkpoint_from_folder(copy))


def test_what_transformers_builds_and_cannot_run_is_refused(tmp_path: Path) -> None:
    folder = checkpoints.checkpoint(tmp_path / "made", "mpnet", relative_attention_num_buckets=4)
    with pytest.raises(UserError, match=r"cannot run the model that config.json describes \(index out of range"):
        model_from_checkpoint(checkpoint_from_folder(folder))


@pytest.mark.parametrize(
    ("family", "settings", "sentence"),
    [
        ("roberta", {"max_position_embeddings": 3}, "max_position_embeddings: 3, which places 1 tokens of roberta"),
        ("distilbert", {"dim": 33, "hidden_size": 33}, "hidden_size 33 and num_attention_heads 2; the width"),
        ("distilbert", {"position_embedding_type": "relative_key", "dim": "x"}, 'says dim: "x"; it must be'),
        ("modernbert", {"is_causal": True}, "says is_causal: true"),
        ("albert", {"position_embedding_type": "relative_key_query"}, "which transformers 5 no longer computes"),
    ],
)
def test_a_family_reads_keys_of_its_own(family: str, settings: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    folder = checkpoints.checkpoint(tmp_path / "made", family)
    change(folder, **settings)
    with pytest.raises(UserError, match=sentence):
        checkpoint_from_folder(folder)


@pytest.mark.parametrize("settings", [{"quantization_config": {}}, {"quantization_config": None}, {"auto_map": 5}])
def test_what_says_nothing_is_passed_over(copy: Path, settings: dict[str, Any]) -> None:
    change(copy, **settings)
    assert model_from_checkpoint(checkpoint_from_folder(copy)).num_labels == 3


def test_labels_that_the_head_has_not_are_refused(copy: Path) -> None:
    change(copy, id2label=None, label2id={"a": 0, "b": 1, "c": 2})
    with pytest.raises(
        UserError, match=r"as \[3(, 32)?\], .*its id2label must name 3 labels, not 2 \(LABEL_0, LABEL_1\)"
    ):
        model_from_checkpoint(checkpoint_from_folder(copy))


def test_layers_that_config_json_does_not_know_are_refused(copy: Path) -> None:
    change(copy, num_hidden_layers=1)
    with pytest.raises(UserError, match=r"the weights hold bert.encoder.layer.1.* which the model has not; is this"):
        model_from_checkpoint(checkpoint_from_folder(copy))


@pytest.mark.parametrize("label2id", [{"entailment": 0, "neutral": 1}, {"LABEL_0": 0, "LABEL_1": 1}])
def test_an_entailment_that_is_in_two_places_is_refused(copy: Path, label2id: dict[str, int]) -> None:
    change(copy, id2label={"0": "contradiction", "1": "entailment", "2": "neutral"}, label2id=label2id)
    with pytest.raises(UserError, match=r"'entailment' as class 1, label2id has it as (0|-1), by which the pipeline"):
        checkpoint_from_folder(copy, task="zero-shot-classification")
    labels = ["contradiction", "entailment", "neutral"]
    assert checkpoint_from_folder(copy, task="zero-shot-classification", labels=labels).labels == tuple(labels)


def said(copy: Path, task: str | None = None, **settings: Any) -> str:
    change(copy, **settings)
    found: Checkpoint = checkpoint_from_folder(copy, task=task)
    assert task_named(found.task)
    return found.explanation


@pytest.mark.parametrize(
    ("task", "settings", "sentence"),
    [
        (
            None,
            {"id2label": {"0": "entailment", "1": "neutral", "2": "contradiction"}},
            "task text-classification, from architectures in config.json (BertForSequenceClassification, 3 labels "
            "entailment/neutral/contradiction); also fits: zero-shot-classification, text-classification --set "
            "pair=true",
        ),
        (
            None,
            {"id2label": {"0": "score"}},
            "task text-classification, from architectures in config.json (BertForSequenceClassification, 1 label "
            "score); its one label goes through sigmoid, as in transformers; also fits: text-classification --set "
            "pair=true, text-classification --set activation=none (a regression), rerank",
        ),
        (
            None,
            {"id2label": {"0": "score"}, "sentence_transformers": {"version": "5.1.0"}},
            "task rerank, from config.json, a CrossEncoder of sentence-transformers whose logits of pairs go through "
            "Sigmoid (BertForSequenceClassification, 1 label score); "
            "also fits: text-classification, text-classification --set pair=true, text-classification --set "
            "activation=none (a regression)",
        ),
        (
            "rerank",
            {"id2label": {"0": "score"}, "problem_type": "regression"},
            "task rerank, as named (BertForSequenceClassification, 1 label score)",
        ),
        (
            None,
            {"architectures": ["MyBertForTokenClassification"]},
            "task token-classification, from architectures in config.json (MyBertForTokenClassification, 3 labels "
            "부정/중립/긍정); MyBertForTokenClassification is read as transformers' BertForTokenClassification",
        ),
        (
            None,
            {"architectures": ["BertModel"]},
            "task embedding, from architectures in config.json (BertModel); also fits: similarity",
        ),
        (
            None,
            {"architectures": ["BertForMaskedLM"]},
            "task fill-mask, from architectures in config.json (BertForMaskedLM); also fits: sparse-embedding",
        ),
    ],
)
def test_it_is_said_what_a_checkpoint_was_taken_for(
    copy: Path, task: str | None, settings: dict[str, Any], sentence: str
) -> None:
    assert said(copy, task, **settings) == sentence
