"""Slow tokenizer files become a tokenizer.json that gives the slow classes' own pieces.

slow/make.py made the literals, with the last transformers that had such classes.
"""

from __future__ import annotations

import json
import lzma
import shutil
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers.utils import sentencepiece_model_pb2_new as messages

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.errors import UserError
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.export.tokenizers.tokenizer import TokenizerReading, reading_of_tokenizer, write_tokenizer

SLOW = Path(__file__).parent / "slow"
EXPECTED = json.loads((SLOW / "expected.json").read_text(encoding="utf-8"))
VOCABULARIES = json.loads((SLOW / "vocabularies.json").read_text(encoding="utf-8"))
SETTINGS = {
    "bert": {"tokenizer_class": "BertTokenizer", "do_lower_case": False},
    "bert-uncased": {"tokenizer_class": "BertTokenizer", "do_lower_case": True},
    "roberta": {"tokenizer_class": "RobertaTokenizer"},
    "xlm-roberta": {"tokenizer_class": "XLMRobertaTokenizer"},
    "camembert": {"tokenizer_class": "CamembertTokenizer"},
    "albert": {"tokenizer_class": "AlbertTokenizer"},
    "deberta-v2": {"tokenizer_class": "DebertaV2Tokenizer"},
}
MODELS = {
    "xlm-roberta": "sentencepiece.bpe.model",
    "camembert": "sentencepiece.bpe.model",
    "albert": "spiece.model",
    "deberta-v2": "spm.model",
}
UNKNOWN = {"albert": 1, "deberta-v2": 3}


def slow_files(kind: str, folder: Path) -> Path:
    """The files that a slow tokenizer of this kind leaves, and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = VOCABULARIES[kind]
    if kind in MODELS:
        (folder / MODELS[kind]).write_bytes(model_of(vocabulary, UNKNOWN.get(kind, 0)))
    elif kind == "roberta":
        numbers = {token: number for number, token in enumerate(vocabulary["vocab"])}
        (folder / "vocab.json").write_text(json.dumps(numbers), encoding="utf-8")
        (folder / "merges.txt").write_text("\n".join(vocabulary["merges"]) + "\n", encoding="utf-8")
    else:
        (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(SETTINGS[kind]), encoding="utf-8")
    config = {"model_type": kind.removesuffix("-uncased")}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def reading(folder: Path) -> TokenizerReading:
    """What is made of a folder's files."""
    return reading_of_tokenizer(folder, json.loads((folder / "config.json").read_text(encoding="utf-8")))


def model_of(pieces: list[Any], unknown: int) -> bytes:
    """A SentencePiece model's file."""
    proto = messages.ModelProto()
    for piece, score, kind in pieces:
        proto.pieces.add(piece=piece, score=score, type=kind)
    proto.trainer_spec.model_type = 1
    proto.trainer_spec.unk_id = unknown
    proto.normalizer_spec.name = "nmt_nfkc"
    proto.normalizer_spec.precompiled_charsmap = lzma.decompress((SLOW / "charsmap.xz").read_bytes())
    return bytes(proto.SerializeToString())


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    made = {}
    for kind in SETTINGS:
        target = tmp_path_factory.mktemp(kind)
        write_tokenizer(reading(slow_files(kind, target / "slow")), target)
        made[kind] = Tokenizer.from_file(str(target / "tokenizer.json"))
    return made


@pytest.mark.parametrize("what", EXPECTED["texts"])
@pytest.mark.parametrize("kind", SETTINGS)
def test_gives_the_slow_classes_pieces(kind: str, what: str, converted: dict[str, Tokenizer]) -> None:
    tokenizer = converted[kind]
    ids = tokenizer.encode(EXPECTED["texts"][what]).ids
    assert [tokenizer.id_to_token(number) for number in ids] == EXPECTED["tokens"][kind][what]


@pytest.mark.parametrize("kind", SETTINGS)
def test_joins_a_pair_as_the_slow_class(kind: str, converted: dict[str, Tokenizer]) -> None:
    encoding = converted[kind].encode(*EXPECTED["pair"])
    tokens, types = EXPECTED["pairs"][kind]
    assert [converted[kind].id_to_token(number) for number in encoding.ids] == tokens
    assert encoding.type_ids == types


def test_offsets_point_into_the_text(converted: dict[str, Tokenizer]) -> None:
    text = "금리 \u1112\u1161\u11ab글"
    for kind, tokenizer in converted.items():
        encoding = tokenizer.encode(text)
        assert encoding.offsets[-2][1] == len(text), kind


def test_knows_the_special_tokens(tmp_path: Path) -> None:
    assert reading(slow_files("albert", tmp_path / "slow")).special == {
        "pad": 0,
        "unk": 1,
        "cls": 2,
        "sep": 3,
        "mask": 4,
    }


def test_exports_a_checkpoint_without_a_tokenizer_json(bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "slow"))
    vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "BertTokenizer", "do_lower_case": false, "model_max_length": 30}', encoding="utf-8"
    )
    exported = onnx_from_checkpoint(checkpoint_from_folder(folder), tmp_path / "made")
    assert exported.max_length == 30
    assert exported.special == {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    ids = Tokenizer.from_file(str(exported.tokenizer)).encode("금리는 동결").ids
    assert ids == Tokenizer.from_file(str(bert / "tokenizer.json")).encode("금리는 동결").ids


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"tokenizer_class": "PhobertTokenizer"}, "is a PhobertTokenizer, which exists only in Python"),
        (
            {
                "tokenizer_class": "KoBertTokenizer",
                "auto_map": {"AutoTokenizer": ["tokenization_kobert.KoBertTokenizer", None]},
            },
            "is a KoBertTokenizer, which exists only in Python",
        ),
    ],
)
def test_refuses_a_tokenizer_of_python_only(settings: dict[str, object], sentence: str, tmp_path: Path) -> None:
    slow = slow_files("bert", tmp_path / "slow")
    (slow / "bpe.codes").write_text("#version: 0.2\n", encoding="utf-8")
    (slow / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        reading(slow)


@pytest.mark.parametrize("content", [b"\xff\xff not a model", b""])
def test_refuses_a_damaged_sentencepiece_model(content: bytes, tmp_path: Path) -> None:
    slow = slow_files("albert", tmp_path / "slow")
    (slow / "spiece.model").write_bytes(content)
    with pytest.raises(UserError, match=r"spiece.model' is no SentencePiece model"):
        reading(slow)


@pytest.mark.parametrize(
    ("kind", "file", "content", "sentence"),
    [
        ("bert", "vocab.txt", b"", "vocab.txt' is empty; copy it again"),
        ("bert", "vocab.txt", b"\xff\xfe\n", "cannot load the tokenizer of .*slow'"),
        ("bert", "vocab.txt", b"version https://git-lfs", r"vocab.txt in .*slow' has no line \[UNK\]; copy it again"),
        ("roberta", "merges.txt", b"", "merges.txt' is empty; copy it again"),
        ("roberta", "vocab.json", b"{", "cannot load the tokenizer of .*slow'"),
    ],
)
def test_refuses_a_damaged_vocabulary(kind: str, file: str, content: bytes, sentence: str, tmp_path: Path) -> None:
    slow = slow_files(kind, tmp_path / "slow")
    (slow / file).write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        reading(slow)


def test_tokens_that_were_added_to_a_sentencepiece_model(tmp_path: Path) -> None:
    slow = slow_files("albert", tmp_path / "slow")
    size = reading(slow).tokenizer.get_vocab_size()
    (slow / "added_tokens.json").write_text(json.dumps({"<extra>": size}), encoding="utf-8")
    assert reading(slow).tokenizer.encode("금리 <extra>").ids[-2] == size
    (slow / "added_tokens.json").write_text(json.dumps({"<extra>": size + 5}), encoding="utf-8")
    with pytest.raises(UserError, match=rf"has the id {size + 5}, the model's pieces make it {size}; save a fast"):
        reading(slow)


def test_refuses_roles_that_a_family_does_not_have(tmp_path: Path) -> None:
    slow = slow_files("albert", tmp_path / "slow")
    (slow / "special_tokens_map.json").write_text('{"cls_token": {"content": "<begin>"}}', encoding="utf-8")
    with pytest.raises(UserError, match=r"has '<begin>' as cls_token, its family '\[CLS\]'; save a fast tokenizer"):
        reading(slow)


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("bert", {"do_basic_tokenize": False}, "do_basic_tokenize: false"),
        ("bert", {"never_split": ["[UNK]", "금리"]}, r'never_split: \["\[UNK\]", "금리"\]'),
        ("deberta-v2", {"split_by_punct": True}, "split_by_punct: true"),
        ("albert", {"sp_model_kwargs": {"enable_sampling": True}}, r'sp_model_kwargs: \{"enable_sampling": true\}'),
    ],
)
def test_refuses_settings_that_only_the_slow_classes_follow(
    kind: str, settings: dict[str, Any], said: str, tmp_path: Path
) -> None:
    harmless = {"do_basic_tokenize": True, "never_split": [], "split_by_punct": False, "sp_model_kwargs": {}}
    slow = slow_files(kind, tmp_path / "slow")
    for added, refused in ((harmless, False), (harmless | settings, True)):
        whole = SETTINGS[kind] | added
        (slow / "tokenizer_config.json").write_text(json.dumps(whole), encoding="utf-8")
        if not refused:
            assert reading(slow).slow
            continue
        with pytest.raises(UserError, match=f"says {said}, which only the slow tokenizers of transformers 4 follow"):
            reading(slow)


@pytest.mark.parametrize("file", ["tokenizer_config.json", "config.json"])
def test_a_sentencepiece_model_is_laid_out_as_its_class_and_not_its_family(file: str, tmp_path: Path) -> None:
    """As Japanese DeBERTas are, whose texts another library parts into words first."""
    slow = slow_files("deberta-v2", tmp_path / "slow")
    (slow / "tokenizer_config.json").unlink()
    settings = {"model_type": "deberta-v2", "tokenizer_class": "BertJapaneseTokenizer"}
    (slow / file).write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(UserError, match="is a BertJapaneseTokenizer, which exists only in Python"):
        reading(slow)
    settings = {"tokenizer_class": "DebertaV2TokenizerFast", "auto_map": {"AutoTokenizer": ["own.Mine", None]}}
    (slow / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(UserError, match="exists only in Python"):
        reading(slow)


@pytest.mark.parametrize("name", ["AlbertTokenizer", "AlbertTokenizerFast", None])
def test_a_family_s_class_has_two_names_or_none(name: str | None, tmp_path: Path) -> None:
    slow = slow_files("albert", tmp_path / "slow")
    (slow / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}), encoding="utf-8")
    text = "The shares rose at once."
    assert reading(slow).tokenizer.encode(text).tokens == EXPECTED["tokens"]["albert"]["english"]


@pytest.mark.parametrize("kind", ["xlm-roberta", "camembert"])
def test_a_class_passes_over_settings_that_it_does_not_have(kind: str, tmp_path: Path) -> None:
    slow = slow_files(kind, tmp_path / "slow")
    settings = SETTINGS[kind] | {"do_lower_case": True, "keep_accents": False}
    (slow / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    for what in ("english", "combining marks"):
        assert reading(slow).tokenizer.encode(EXPECTED["texts"][what]).tokens == EXPECTED["tokens"][kind][what]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("special_tokens_map.json", {"additional_special_tokens": ["PIECE"]}),
        ("tokenizer_config.json", {"additional_special_tokens": [{"content": "PIECE"}]}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"ID": {"content": "PIECE", "special": False}}}),
        ("added_tokens.json", {"PIECE": "ID"}),
    ],
)
def test_a_piece_that_was_added_as_a_token_is_no_part_of_a_word(
    file: str, content: dict[str, Any], tmp_path: Path
) -> None:
    slow = slow_files("xlm-roberta", tmp_path / "slow")
    before = reading(slow).tokenizer
    piece = next(row[0] for row in VOCABULARIES["xlm-roberta"] if row[2] == 1 and row[0].isalpha() and len(row[0]) > 1)
    number = str(before.token_to_id(piece))
    written = json.dumps(content, ensure_ascii=False).replace("PIECE", piece)
    written = written.replace('"ID": {', f'"{number}": {{').replace('"ID"', number)
    whole = SETTINGS["xlm-roberta"] | json.loads(written) if file == "tokenizer_config.json" else json.loads(written)
    (slow / file).write_text(json.dumps(whole), encoding="utf-8")
    after = reading(slow).tokenizer
    assert after.get_vocab_size() == before.get_vocab_size()
    assert [token for token in after.encode(f"q{piece}q").tokens if token == piece] == [piece]
