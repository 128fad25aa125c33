"""Makes expected.json, vocabularies.json and charsmap.xz with transformers 4.48.3 and sentencepiece 0.2.

The tests read these files only: today's transformers has no slow tokenizers any more. Run it as: python make.py
"""

from __future__ import annotations

import json
import lzma
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sentencepiece
import transformers
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

HERE = Path(__file__).parent
TEXTS = {
    "plain": "오늘도 상한가 갔다",
    "english": "The shares rose at once.",
    "jamo": "\u1112\u1161\u11ab\u1100\u1173\u11af 한글 ㅋㅋ ㅠㅠ",
    "emoji with joiners": "👨‍👩‍👧 👍🏻 ❤️🔥",
    "combining marks": "e\u0301 é cafe\u0301 n\u0303 ä हिन्दी",
    "right to left": "شركة \u200fשלום\u200e 12% ربح",
    "control characters": "금리\u0007는\u200b 동결\u0000 \u00ad끝\u2028줄",
    "spaces": "  두  칸\t탭\n줄\u00a0끝\u3000 ",
    "full width": "ＫＯＳＰＩ １２％ ㈜ ①",
    "chinese": "三星電子 株価",
    "special in text": "앞 [MASK] 뒤 <mask> </s> [SEP]",
    "long word": "가" * 120,
    "empty": "",
}
PAIR = ("한글", "끝 줄")
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertTokenizer", {"do_lower_case": False}),
    "bert-uncased": ("BertTokenizer", {"do_lower_case": True}),
    "roberta": ("RobertaTokenizer", {}),
    "xlm-roberta": ("XLMRobertaTokenizer", {}),
    "camembert": ("CamembertTokenizer", {}),
    "albert": ("AlbertTokenizer", {}),
    "deberta-v2": ("DebertaV2Tokenizer", {}),
}
MODELS = {
    "xlm-roberta": "sentencepiece.bpe.model",
    "camembert": "sentencepiece.bpe.model",
    "albert": "spiece.model",
    "deberta-v2": "spm.model",
}
# Where the public models of these families have their special pieces.
PIECES: dict[str, dict[str, Any]] = {
    "albert": {
        "pad_id": 0,
        "unk_id": 1,
        "bos_id": 2,
        "eos_id": 3,
        "bos_piece": "[CLS]",
        "eos_piece": "[SEP]",
        "control_symbols": ["[MASK]"],
    },
    "deberta-v2": {
        "pad_id": 0,
        "bos_id": 1,
        "eos_id": 2,
        "unk_id": 3,
        "pad_piece": "[PAD]",
        "bos_piece": "[CLS]",
        "eos_piece": "[SEP]",
        "unk_piece": "[UNK]",
    },
}


def main() -> None:
    """Train a vocabulary per kind on the hard texts themselves, and write what the slow classes make of them."""
    expected, pairs, vocabularies = {}, {}, {}
    for kind, (name, settings) in KINDS.items():
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            vocabularies[kind] = train(kind, folder)
            config = {"tokenizer_class": name, **settings}
            (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
            tokenizer = getattr(transformers, name).from_pretrained(folder)
        expected[kind] = {
            what: tokenizer.convert_ids_to_tokens(tokenizer(text).input_ids) for what, text in TEXTS.items()
        }
        joined = tokenizer(*PAIR, return_token_type_ids=True)
        pairs[kind] = [tokenizer.convert_ids_to_tokens(joined.input_ids), joined.token_type_ids]
    write("expected.json", {"texts": TEXTS, "tokens": expected, "pair": PAIR, "pairs": pairs})
    write("vocabularies.json", vocabularies)


def write(name: str, value: dict[str, Any]) -> None:
    """JSON with one line per kind."""
    lines = (f"{json.dumps(key)}: {json.dumps(rows, ensure_ascii=False)}" for key, rows in value.items())
    (HERE / name).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def train(kind: str, folder: Path) -> Any:
    """Write the slow files of a kind into `folder`, and give the same as plain values."""
    if kind in MODELS:
        return train_pieces(kind, folder)
    return train_merges(folder) if kind == "roberta" else train_words(kind, folder)


def lines() -> Iterator[str]:
    """What the vocabularies are trained on."""
    return iter([text for text in TEXTS.values() if text] * 3)


def train_words(kind: str, folder: Path) -> list[str]:
    """vocab.txt of a WordPiece tokenizer."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=kind == "bert-uncased")
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(lines(), trainers.WordPieceTrainer(vocab_size=150, special_tokens=special))
    tokenizer.model.save(str(folder))
    return (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()


def train_merges(folder: Path) -> dict[str, Any]:
    """vocab.json and merges.txt of a byte-level BPE tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(lines(), trainer)
    tokenizer.model.save(str(folder))
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    merges = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
    return {"vocab": sorted(vocabulary, key=vocabulary.get), "merges": merges}


def train_pieces(kind: str, folder: Path) -> list[list[Any]]:
    """A SentencePiece unigram model as rows of piece, score and type; its normalisation table goes into charsmap.xz."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines(),
        model_prefix=str(folder / "m"),
        vocab_size=150,
        character_coverage=1.0,
        hard_vocab_limit=False,
        minloglevel=2,
        **PIECES.get(kind, {}),
    )
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString((folder / "m.model").read_bytes())
    (folder / "m.model").rename(folder / MODELS[kind])
    (HERE / "charsmap.xz").write_bytes(lzma.compress(proto.normalizer_spec.precompiled_charsmap, preset=9))
    return [[piece.piece, piece.score, piece.type] for piece in proto.pieces]


if __name__ == "__main__":
    main()
