"""Small random checkpoints, made where they are needed: 2 layers of 32, weights wide enough that logits differ."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tests.vocabularies import unigram_vocabulary, wordpiece_vocabulary

LINES = (
    "오늘도 상한가 갔다 주가가 하루 만에 급락하며 투자자들의 불안이 커지고 있다",
    "삼성전자는 올해 영업이익이 두 배 넘게 늘었다고 공시했다 금리는 동결",
    "the shares rose at once and the report was better than anyone had expected",
    "손절해야 하나요 배당금이 들어왔다 은행 이자보다는 낫다",
)
LABELS = {0: "부정", 1: "중립", 2: "긍정"}
BERT_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
ROBERTA_TOKENS = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
# Random weights that give a token model entities, and a classifier decisions which INT8 does not turn.
SEEDS = {"AutoModelForTokenClassification": 8}
SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "initializer_range": 0.3,
    "max_position_embeddings": 40,
}


def wordpiece() -> Tokenizer:
    """As BERT's, cased."""
    tokenizer = Tokenizer(models.WordPiece())
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    vocabulary = wordpiece_vocabulary(tokenizer, LINES, tuple(BERT_TOKENS.values()), 300)
    tokenizer.model = models.WordPiece(vocabulary, unk_token="[UNK]")
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def bpe() -> Tokenizer:
    """As RoBERTa's: bytes, so that nothing is unknown."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        LINES,
        trainers.BpeTrainer(
            vocab_size=350,
            special_tokens=list(ROBERTA_TOKENS.values()),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def unigram() -> Tokenizer:
    """As XLM-R's: SentencePiece pieces with a score each."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = tuple(ROBERTA_TOKENS.values())
    tokenizer.model = models.Unigram(unigram_vocabulary(tokenizer, LINES, special, 200), special.index("<unk>"))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=False)
    return tokenizer


# family: (its tokenizer, what its config has beyond SHAPE)
FAMILIES: dict[str, tuple[Callable[[], Tokenizer], dict[str, Any]]] = {
    "bert": (wordpiece, {}),
    "distilbert": (wordpiece, {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 2}),
    "roberta": (bpe, {"max_position_embeddings": 42, "type_vocab_size": 1, "pad_token_id": 1}),
    "xlm-roberta": (unigram, {"max_position_embeddings": 42, "type_vocab_size": 1, "pad_token_id": 1}),
    "camembert": (unigram, {"max_position_embeddings": 42, "type_vocab_size": 1, "pad_token_id": 1}),
    "electra": (wordpiece, {"embedding_size": 16}),
    "albert": (unigram, {"embedding_size": 16, "pad_token_id": 1}),
    "mpnet": (bpe, {"max_position_embeddings": 42, "pad_token_id": 1}),
    "deberta": (
        bpe,
        {"type_vocab_size": 0, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "pad_token_id": 1},
    ),
    "deberta-v2": (
        unigram,
        {
            "type_vocab_size": 0,
            "relative_attention": True,
            "position_buckets": 8,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "pad_token_id": 1,
        },
    ),
    "modernbert": (
        bpe,
        {
            "local_attention": 8,
            "global_attn_every_n_layers": 2,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "cls_token_id": 0,
            "eos_token_id": 2,
            "sep_token_id": 2,
        },
    ),
}


TYPED = ("bert", "electra", "albert")  # whose tokenizers tell the two texts of a pair apart


def checkpoint(folder: Path, family: str, auto: str = "AutoModelForSequenceClassification", **settings: Any) -> Path:
    """A random model of a family with its kind of tokenizer and 3 labels, saved in `folder`; it reads 40 tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    make, own = FAMILIES[family]
    tokenizer = make()
    save_tokenizer(tokenizer, folder, types=family in TYPED)
    config = {"vocab_size": tokenizer.get_vocab_size(), "id2label": LABELS, **SHAPE, **own, **settings}
    torch.manual_seed(SEEDS.get(auto, 7))
    model = getattr(transformers, auto).from_config(transformers.AutoConfig.for_model(family, **config))
    model.save_pretrained(folder)
    return folder


def save_tokenizer(tokenizer: Tokenizer, folder: Path, *, types: bool = True, **settings: Any) -> None:
    """Save it with the roles of its special tokens, and what it gives, as transformers does."""
    tokens = BERT_TOKENS if "[PAD]" in tokenizer.get_vocab() else ROBERTA_TOKENS
    roles = {f"{role}_token": token for role, token in tokens.items()}
    names = ["input_ids", *(["token_type_ids"] if types else []), "attention_mask"]
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{"model_max_length": 40, "model_input_names": names, **roles, **settings}
    ).save_pretrained(folder)


def bert(folder: Path, **settings: Any) -> Path:
    """A random BERT classifier."""
    return checkpoint(folder, "bert", **settings)


def with_loud_activations(source: Path, folder: Path) -> Path:
    """A BERT's copy in `folder`, with two activations of 1e5 in its first layer that nothing reads."""
    shutil.copytree(source, folder)
    weights = load_file(folder / "model.safetensors")
    weights["bert.encoder.layer.0.intermediate.dense.bias"][:2] = 1e5
    weights["bert.encoder.layer.0.output.dense.weight"][:, :2] = 0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
