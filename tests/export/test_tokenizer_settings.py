"""Every setting of a tokenizer's files is read as transformers reads it: equal ids, types and cuts on odd texts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from tbgen.backends.tokenizer import Tokenizer
from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.errors import UserError
from tbgen.export.onnx.export import expected_export
from tbgen.export.tasks.table import TASKS
from tbgen.generator.models.graph import tokenizer_step
from tests.export.checkpoints import checkpoint

TEXTS = (
    "Berlin Café 오늘도",
    "  doubled  spaces and \ttabs ",
    "오늘도",
    "漢字かな交じり 上限",
    "the <pad> bank [MASK] rose [SEP] <mask> </s> [PAD] extra",
    "ÀÉÎÕÜ Straße İstanbul ﬁ １２３",
    "the shares rose at once and the report was better than anyone had expected " * 4,
    "a\x00b\u200bc👨‍👩‍👧",
    "",
)


def changed(folder: Path, target: Path, settings: dict[str, Any], file: str = "tokenizer_config.json") -> Path:
    """A copy of a checkpoint with keys of one of its files set; None takes a key away."""
    shutil.copytree(folder, target)
    whole = json.loads((target / file).read_text(encoding="utf-8")) if (target / file).is_file() else {}
    whole |= settings
    written = {key: value for key, value in whole.items() if value is not None or file != "tokenizer_config.json"}
    (target / file).write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")
    return target


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("settings")
    return {
        family: checkpoint(root / family, family, vocab_size=400)
        for family in ("bert", "roberta", "xlm-roberta", "albert")
    }


def step_of(folder: Path, scratch: Path, *, pair: bool) -> Tokenizer:
    """The tokenizer step as scaffold writes it."""
    scratch.mkdir()
    exported = expected_export(
        checkpoint_from_folder(folder), scratch, fixed_length=None, precision="fp32", layout="packed"
    )
    step = tokenizer_step(exported, TASKS["text-classification"], {"pair": True} if pair else {})
    return Tokenizer(scratch, **step.settings)


def held_against_transformers(folder: Path, scratch: Path) -> None:
    """Fails where ids or types of a text, or of a pair, are not those that transformers gives the model."""
    theirs = AutoTokenizer.from_pretrained(folder)
    limit = min(theirs.model_max_length, 40)
    for pair in (False, True):
        ours = step_of(folder, scratch / str(pair), pair=pair)
        for text in TEXTS:
            columns = {"input_text": text, "text_pair": TEXTS[0]} if pair else {"input_text": text}
            have = ours(**{name: np.array([[value]], dtype=object) for name, value in columns.items()})
            want = theirs(*columns.values(), truncation=True, max_length=limit)
            if not want["input_ids"]:  # nothing, not even special tokens: no model answers that
                continue
            assert have["input_ids"][0].tolist() == want["input_ids"], (pair, text)
            types = have["token_type_ids"][0].tolist() if "token_type_ids" in have else [0] * len(want["input_ids"])
            assert types == want.get("token_type_ids", [0] * len(types)), (pair, text)


BERT = {"tokenizer_class": "BertTokenizer"}
ROBERTA = {"tokenizer_class": "RobertaTokenizer"}


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("bert", BERT),  # lower-cases unless it says otherwise, whatever tokenizer.json has
        ("bert", BERT | {"do_lower_case": False}),
        ("bert", BERT | {"do_lower_case": True}),
        ("bert", BERT | {"do_lower_case": False, "strip_accents": True}),
        ("bert", BERT | {"do_lower_case": True, "strip_accents": False}),
        ("bert", BERT | {"tokenize_chinese_chars": False}),
        ("bert", {"tokenizer_class": "BertTokenizerFast", "do_lower_case": True}),
        ("bert", {"tokenizer_class": "DistilBertTokenizer", "do_lower_case": True}),
        ("bert", {"tokenizer_class": "ElectraTokenizer", "do_lower_case": False}),
        ("bert", {"tokenizer_class": None, "do_lower_case": True}),
        ("bert", {"tokenizer_class": "MyOwnTokenizerFast"}),
        ("bert", {"do_lower_case": True}),  # a generic class, which has no such setting
        ("bert", {"model_input_names": ["input_ids", "attention_mask"]}),
        ("bert", {"model_input_names": None}),
        ("bert", {"truncation_side": "left"}),
        ("bert", {"padding_side": "left"}),
        ("bert", {"model_max_length": 12}),
        ("bert", {"model_max_length": None, "max_len": 12}),
        ("bert", {"model_max_length": 10**30}),
        ("bert", {"split_special_tokens": True}),
        ("bert", {"additional_special_tokens": ["shares", "<extra>"]}),
        ("bert", {"extra_special_tokens": ["<extra>"]}),
        ("bert", BERT | {"cls_token": "[SEP]", "sep_token": "[CLS]"}),
        ("bert", BERT | {"unk_token": "[MASK]"}),
        ("bert", {"clean_up_tokenization_spaces": True, "legacy": True}),
        ("roberta", ROBERTA),
        ("roberta", ROBERTA | {"add_prefix_space": True}),
        ("roberta", ROBERTA | {"trim_offsets": False}),
        ("roberta", {"add_prefix_space": True}),
        ("roberta", {"mask_token": {"content": "<mask>", "lstrip": True, "__type": "AddedToken"}}),
        ("xlm-roberta", {"tokenizer_class": "XLMRobertaTokenizer"}),
        ("albert", {"tokenizer_class": "AlbertTokenizer"}),
        ("albert", {"tokenizer_class": "AlbertTokenizer", "keep_accents": True, "do_lower_case": False}),
    ],
)
def test_reads_tokenizer_config(
    family: str, settings: dict[str, Any], folders: dict[str, Path], tmp_path: Path
) -> None:
    held_against_transformers(changed(folders[family], tmp_path / "changed", settings), tmp_path)


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("bert", {"truncation": {"direction": "Left", "max_length": 9, "strategy": "OnlyFirst", "stride": 3}}),
        ("bert", {"truncation": {"direction": "Right", "max_length": 9, "strategy": "LongestFirst", "stride": 0}}),
        (
            "bert",
            {
                "padding": {
                    "strategy": {"Fixed": 32},
                    "direction": "Left",
                    "pad_to_multiple_of": 8,
                    "pad_id": 0,
                    "pad_type_id": 1,
                    "pad_token": "[PAD]",
                }
            },
        ),
        ("bert", {"normalizer": {"type": "Lowercase"}}),
        ("bert", {"pre_tokenizer": {"type": "WhitespaceSplit"}}),
        ("bert", {"post_processor": None}),
        ("roberta", {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True}}),
    ],
)
def test_reads_tokenizer_json(family: str, settings: dict[str, Any], folders: dict[str, Path], tmp_path: Path) -> None:
    for kind in ({}, {"tokenizer_class": {"bert": "BertTokenizer", "roberta": "RobertaTokenizer"}[family]}):
        folder = changed(folders[family], tmp_path / str(bool(kind)), settings, "tokenizer.json")
        again = changed(folder, tmp_path / f"{bool(kind)}-again", kind)
        (tmp_path / f"steps-{bool(kind)}").mkdir()
        held_against_transformers(again, tmp_path / f"steps-{bool(kind)}")


def test_reads_added_tokens_of_older_folders(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = changed(
        folders["bert"], tmp_path / "changed", {"additional_special_tokens": ["<extra>"]}, "special_tokens_map.json"
    )
    held_against_transformers(folder, tmp_path)


def test_reads_a_model_by_its_name_where_transformers_does(folders: dict[str, Path], tmp_path: Path) -> None:
    named = changed(folders["roberta"], tmp_path / "named", {"model_name": "camembertv2-base"}, "config.json")
    folder = changed(named, tmp_path / "changed", {"tokenizer_class": "GPT2Tokenizer"})
    assert type(AutoTokenizer.from_pretrained(folder)).__name__ == "RobertaTokenizer"
    held_against_transformers(folder, tmp_path)


def test_refuses_merges_dropped_at_random(folders: dict[str, Path], tmp_path: Path) -> None:
    model = json.loads((folders["roberta"] / "tokenizer.json").read_text(encoding="utf-8"))["model"] | {"dropout": 0.1}
    folder = changed(folders["roberta"], tmp_path / "changed", {"model": model}, "tokenizer.json")
    with pytest.raises(UserError, match=r"drops merges at random \(dropout 0\.1\)"):
        checkpoint_from_folder(folder)
