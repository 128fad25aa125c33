"""What training starts from and what it leaves: a base's shape, weights and tokenizer; the two saved forms."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import torch
from huggingface_hub.constants import ENDPOINT
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertTokenizerFast

# In the order of KcBERT's vocabulary, numbered from 0.
SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
POSITIONS = 300
# What BertConfig is to know of each base. The figures of KcBERT are those of its public configs, so they need no hub.
SHAPES: dict[str, dict[str, Any]] = {
    "sample": {
        "vocab_size": 4600,
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 256,
        "hidden_dropout_prob": 0.2,
    },
    "beomi/kcbert-base": {
        "vocab_size": 30000,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    },
    "beomi/kcbert-large": {
        "vocab_size": 30000,
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
    },
}
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
TOKENIZERS = ("tokenizer.json", "vocab.txt")


@dataclass(frozen=True)
class Base:
    """What training starts from; `weights` and `tokenizer` name where they lie, None where the base brings none."""

    config: Any
    weights: str | None
    tokenizer: str | None
    note: str


def base_named(name: str) -> Base:
    """The base of that folder, hub id or shape. Raises ClickException when there is none."""
    if name == "sample":
        return shape_of(name, "a small shape, trained from scratch")
    folder = Path(name)
    if folder.is_dir():
        return base_in(folder)
    answers = hub_answers()
    try:
        config = AutoConfig.from_pretrained(name, local_files_only=not answers)
    except (OSError, ValueError) as error:
        if name in SHAPES and not answers:
            return shape_of(name, "no hub is reachable, so its shape is used with random weights")
        raise click.ClickException(
            f"no folder {name!r} and no such checkpoint on the hub{'' if answers else ', which is not reachable'};"
            f" known without a hub: {', '.join(SHAPES)}"
        ) from error
    return Base(config, name, name, "its weights and its vocabulary, from the hub or its cache")


def base_in(folder: Path) -> Base:
    """The base that lies in a folder with a config.json, with or without weights and a vocabulary."""
    if not (folder / "config.json").is_file():
        raise click.ClickException(f"no config.json in {str(folder)!r}")
    weights, tokenizer = (any((folder / name).is_file() for name in names) for names in (WEIGHTS, TOKENIZERS))
    if weights and not tokenizer:
        raise click.ClickException(f"{str(folder)!r} has weights and no vocabulary: none of {', '.join(TOKENIZERS)}")
    note = (
        f"{'its' if weights else 'random'} weights, {'its vocabulary' if tokenizer else 'a vocabulary of the corpus'}"
    )
    where = str(folder)
    return Base(AutoConfig.from_pretrained(where), where if weights else None, where if tokenizer else None, note)


def shape_of(name: str, note: str) -> Base:
    """A base of SHAPES: its figures alone."""
    return Base(BertConfig(**SHAPES[name], max_position_embeddings=POSITIONS), None, None, note)


def hub_answers() -> bool:
    """Whether the hub can be reached; transformers itself would try for half a minute."""
    try:
        urllib.request.urlopen(urllib.request.Request(ENDPOINT, method="HEAD"), timeout=3).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def tokenizer_for(base: Base, texts: Sequence[str]) -> Any:
    """The base's own tokenizer, or a WordPiece one as KcBERT's (cased) with a vocabulary of these texts."""
    if base.tokenizer:
        return AutoTokenizer.from_pretrained(base.tokenizer)
    tokenizer = wordpiece(wordpiece_vocabulary(texts, base.config.vocab_size))
    cased = {"do_lower_case": False, "strip_accents": False, "tokenize_chinese_chars": True}
    return BertTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=base.config.max_position_embeddings, **cased, **SPECIAL
    )


def wordpiece(vocabulary: dict[str, int]) -> Tokenizer:
    """A tokenizer that reads text as KcBERT's does."""
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=SPECIAL["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=False
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    ends = [(token, vocabulary.get(token, 0)) for token in (SPECIAL["sep_token"], SPECIAL["cls_token"])]
    tokenizer.post_processor = processors.BertProcessing(*ends)
    return tokenizer


def wordpiece_vocabulary(texts: Sequence[str], size: int) -> dict[str, int]:
    """The pieces that write these texts in few tokens, at most `size`, numbered the same on every run."""
    untrained = wordpiece({})
    letters = {letter for text in texts for letter in untrained.normalizer.normalize_str(text) if not letter.isspace()}
    # The trainer numbers pieces as its hash map yields words, another order on each run, and breaks ties by number.
    # Pieces named as special tokens come first, in this order.
    inner = [f"##{letter}" for letter in sorted(letters)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=2, show_progress=False, special_tokens=[*SPECIAL.values(), *inner]
    )
    untrained.train_from_iterator(texts, trainer)
    return dict(untrained.get_vocab())


def classifier(base: Base, tokenizer: Any, labels: Sequence[str]) -> Any:
    """The base with a classification head for these labels."""
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: index for index, label in enumerate(labels)}}
    if base.weights:
        return AutoModelForSequenceClassification.from_pretrained(
            base.weights, num_labels=len(labels), ignore_mismatched_sizes=True, **names
        )
    # A vocabulary holds each letter of the corpus, however small the shape wants it.
    size = max(base.config.vocab_size, len(tokenizer))
    base.config.update(names | {"vocab_size": size, "pad_token_id": tokenizer.pad_token_id})
    return AutoModelForSequenceClassification.from_config(base.config)


def save(model: Any, tokenizer: Any, record: dict[str, Any], folder: Path) -> None:
    """Write the checkpoint's folder, and the walk-through's pair: a tokenizer's folder and a state dict."""
    if folder.exists():
        shutil.rmtree(folder)
    model.save_pretrained(folder / "checkpoint")
    save_tokenizer(tokenizer, folder / "checkpoint")
    write_json(record, folder / "checkpoint" / "training.json")
    save_tokenizer(tokenizer, folder / "tokenizer_model")
    torch.save(model.state_dict(), folder / "model.pt")


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write the files of a fast tokenizer; newer transformers leave out the last two, which older tools read."""
    tokenizer.save_pretrained(folder)
    if isinstance(tokenizer.backend_tokenizer.model, models.WordPiece):
        pieces = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece, _ in pieces), encoding="utf-8")
    write_json(tokenizer.special_tokens_map, folder / "special_tokens_map.json")


def write_json(value: dict[str, Any], path: Path) -> None:
    """Write readable JSON, Korean as it is."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
