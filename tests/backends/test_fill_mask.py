import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tbgen.backends.fill_mask import FillMask
from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.tokenizers.tokenizer import write_tokenizer
from tests.backends.conftest import Pair
from tests.backends.served import Served, column
from tests.texts import SENTENCES

TEXTS = [
    "오늘도 [MASK] 갔다",
    "The KOSPI [MASK] higher [MASK]",
    "[MASK]",
    "🔥 떡상 [MASK]가즈아 [MASK] 👨‍👩‍👧 [MASK]",
    "[MASK] " + SENTENCES[-1],
]
NAMES = ("tokens", "token_ids", "token_scores", "filled_text")
KEYS = ("token_str", "token", "score", "sequence")
MASKS = {"bert": "[MASK]", "roberta": "<mask>", "xlm-roberta": "<mask>"}


@pytest.mark.parametrize("graph", ["ensemble", "bls"])
@pytest.mark.parametrize("family", list(MASKS))
def test_equals_the_pipeline(exports: Callable[..., Pair], tmp_path: Path, family: str, graph: str) -> None:
    pair = exports(family, "AutoModelForMaskedLM", "fill-mask")
    texts = [text.replace("[MASK]", MASKS[family]) for text in TEXTS]
    pipe = pair.pipeline("fill-mask", top_k=3, tokenizer_kwargs={"truncation": True})
    served = Served(tmp_path, "fill-mask", pair.exported, {"json": True})
    answer = served.ask(graph, {"input_text": column(*texts)}, top_k=3)
    for item, text in enumerate(texts):
        masks = pipe(text)
        masks = masks if isinstance(masks[0], list) else [masks]
        assert answer["mask_count"][item, 0] == len(masks)
        for slot, choices in enumerate(masks):
            for name, key in zip(NAMES, KEYS, strict=True):
                found, expected = answer[name][item, slot].tolist(), [choice[key] for choice in choices]
                assert found == (pytest.approx(expected, abs=1e-4) if key == "score" else expected)
        assert [[choice["token"] for choice in mask] for mask in json.loads(answer["json"][item, 0])] == [
            [choice["token_str"] for choice in mask] for mask in masks
        ]


def test_targets_equal_the_pipeline(exports: Callable[..., Pair], tmp_path: Path) -> None:
    pair = exports("bert", "AutoModelForMaskedLM", "fill-mask")
    targets = ["주", "the", "##a"]
    expected = pair.pipeline("fill-mask")(TEXTS[0], targets=targets)
    served = Served(tmp_path, "fill-mask", pair.exported)
    answer = served.ask("ensemble", {"input_text": column(TEXTS[0])}, targets=" ".join(targets))
    assert answer["tokens"][0, 0].tolist() == [choice["token_str"] for choice in expected]
    assert answer["token_scores"][0, 0].tolist() == pytest.approx([choice["score"] for choice in expected], abs=1e-4)


CLEAN_UP = "clean_up_tokenization_spaces"
FORCED = f"{CLEAN_UP}_for_bpe_even_though_it_will_corrupt_output"


@pytest.mark.parametrize(
    ("family", "settings", "cleaned"),
    [
        ("bert", {CLEAN_UP: True}, True),
        ("bert", {CLEAN_UP: False}, False),
        ("xlm-roberta", {CLEAN_UP: True}, True),
        ("roberta", {CLEAN_UP: True}, False),
        ("roberta", {CLEAN_UP: True, FORCED: True}, True),
    ],
)
def test_spaces_go_where_the_tokenizer_s_config_says_so(
    exports: Callable[..., Pair], tmp_path: Path, family: str, settings: dict[str, bool], cleaned: bool
) -> None:
    from transformers import pipeline

    pair = exports(family, "AutoModelForMaskedLM", "fill-mask")
    folder = with_punctuation(pair.folder, tmp_path / "checkpoint", settings)
    reading = checkpoint_from_folder(folder).tokenizer
    write_tokenizer(reading, tmp_path)
    exported = replace(pair.exported, reading=dict(reading.settings), tokenizer=tmp_path / "tokenizer.json")
    text = f"the ' a {MASKS[family]} . a"
    answer = Served(tmp_path / "served", "fill-mask", exported).ask("bls", {"input_text": column(text)}, top_k=40)
    expected = pipeline("fill-mask", str(folder), top_k=40)(text)
    for name, key in (("tokens", "token_str"), ("filled_text", "sequence")):
        assert answer[name][0, 0].tolist() == [choice[key] for choice in expected]
    assert ("the'a" in expected[0]["sequence"]) == cleaned


def with_punctuation(folder: Path, target: Path, settings: dict[str, bool]) -> Path:
    """A copy of a checkpoint with these settings of its tokenizer, and with some marks for its last tokens."""
    shutil.copytree(folder, target)
    whole = json.loads((target / "tokenizer.json").read_text(encoding="utf-8"))
    model = whole["model"]
    if model["type"] == "WordPiece":
        first = len(model["vocab"]) - 2
        kept = {token: number for token, number in model["vocab"].items() if number < first}
        model["vocab"] = kept | {"'": first, ".": first + 1}
    elif model["type"] == "Unigram":
        model["vocab"][-2:] = [["▁'", -1.0], ["▁.", -1.0]]
    (target / "tokenizer.json").write_text(json.dumps(whole), encoding="utf-8")
    config = json.loads((target / "tokenizer_config.json").read_text(encoding="utf-8"))
    (target / "tokenizer_config.json").write_text(json.dumps(config | settings), encoding="utf-8")
    return target


@pytest.fixture
def step(word_tokenizer: Path) -> FillMask:
    """A vocabulary whose token "z", 29, stands for the mask."""
    return FillMask(word_tokenizer, mask_id=29, pad_id=0, size=30)


def test_a_text_without_a_mask_is_refused(step: FillMask) -> None:
    with pytest.raises(ValueError, match="input_text of item 1 has no z in the tokens that are read"):
        step(np.zeros((2, 3, 30), np.float32), np.array([[2, 29, 3], [2, 4, 3]]))


@pytest.mark.parametrize(("targets", "named"), [("a 금리", "금리"), (" ", "nothing is named")])
def test_targets_must_be_in_the_vocabulary(step: FillMask, targets: str, named: str) -> None:
    with pytest.raises(ValueError, match=f"parameter targets: not in the vocabulary: {named}"):
        step(np.zeros((1, 3, 30), np.float32), np.array([[2, 29, 3]]), targets=targets)


def test_texts_with_fewer_masks_are_padded_and_each_request_is_cut_to_its_own(step: FillMask) -> None:
    answer = step(np.zeros((2, 4, 30), np.float32), np.array([[2, 29, 29, 3], [2, 29, 3, 0]]), top_k=2)
    assert answer["mask_count"].tolist() == [[2], [1]]
    assert answer["tokens"].shape == (2, 2, 2)
    assert answer["tokens"][1, 1].tolist() == ["", ""]
    assert step.trim({name: array[1:] for name, array in answer.items()})["tokens"].shape == (1, 1, 2)


def test_a_few_masks_more_do_not_make_an_answer_of_megabytes(step: FillMask) -> None:
    ids = np.full((1, 1200), 29)
    with pytest.raises(ValueError, match="input_text: 1200 masks with 30 tokens for each; at most 32768 are named"):
        step(np.zeros((1, 1200, 30), np.float32), ids, top_k=30)
    assert step(np.zeros((1, 1000, 30), np.float32), ids[:, :1000], top_k=30)["mask_count"].tolist() == [[1000]]
