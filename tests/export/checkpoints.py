"""Small random checkpoints, made where they are needed: 2 layers of 32, weights wide enough that logits differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LINES = (
    "오늘도 상한가 갔다 주가가 하루 만에 급락하며 투자자들의 불안이 커지고 있다",
    "삼성전자는 올해 영업이익이 두 배 넘게 늘었다고 공시했다 금리는 동결",
    "the shares rose at once and the report was better than anyone had expected",
    "손절해야 하나요 배당금이 들어왔다 은행 이자보다는 낫다",
)
SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "initializer_range": 0.3,
}
LABELS = {0: "부정", 1: "중립", 2: "긍정"}


def wordpiece(folder: Path, *, length: int) -> int:
    """Train a cased BERT tokenizer on LINES and save it. Gives the vocabulary's size."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        LINES, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.decoder = decoders.WordPiece()
    roles = {
        "unk_token": "[UNK]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=length, **roles).save_pretrained(
        folder
    )
    return int(tokenizer.get_vocab_size())


def bert(folder: Path, *, head: str = "BertForSequenceClassification", **settings: Any) -> Path:
    """A random BERT of 40 positions with 3 labels, saved in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    size = wordpiece(folder, length=40)
    torch.manual_seed(0)
    config = {"vocab_size": size, "max_position_embeddings": 40, "id2label": LABELS, **SHAPE, **settings}
    getattr(transformers, head)(transformers.BertConfig(**config)).save_pretrained(folder)
    return folder
