"""Checkpoints as users have them: the family's own tokenizer class and model class of transformers, small and random,
saved by the library itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

from tests.export.checkpoints import LINES
from tests.fidelity.texts import TEXTS
from tests.vocabularies import learnt, unigram_vocabulary, wordpiece_vocabulary

MOST = 40  # tokens that the models read
PIECES = 520  # of a vocabulary, bytes aside: words are broken up
LEARNT = (  # what vocabularies are trained on; the rest of the texts is partly unknown to them
    *("plain English", "Hangul composed", "Hangul jamo", "Arabic", "Hebrew", "Chinese", "Japanese", "capitals"),
    *("Cyrillic and Greek", "accents composed", "Turkish I", "digits", "emoji", "addresses"),
)
WIDTH = 0.25  # standard deviation of what is added to every weight and bias: answers differ between texts and classes

BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
CAMEMBERT = ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>", "<mask>")
# family: (class of its tokenizer, the special tokens in the order of the published vocabularies)
TOKENIZERS = {
    "bert": ("BertTokenizer", BERT),
    "distilbert": ("DistilBertTokenizer", BERT),
    "roberta": ("RobertaTokenizer", ROBERTA),
    "xlm-roberta": ("XLMRobertaTokenizer", ROBERTA),
    "camembert": ("CamembertTokenizer", CAMEMBERT),
    "electra": ("ElectraTokenizer", BERT),
    "albert": ("AlbertTokenizer", ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")),
    "mpnet": ("MPNetTokenizer", ("<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>")),
    "deberta": ("DebertaTokenizer", ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")),
    "deberta-v2": ("DebertaV2Tokenizer", ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")),
    "modernbert": ("", ("<|padding|>", "<|endoftext|>", "[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")),
}
SIZES: dict[str, int] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": MOST,
}
PADDED_POSITIONS = SIZES | {"max_position_embeddings": MOST + 2}  # two rows hold no token
RELATIVE = SIZES | {"relative_attention": True, "position_biased_input": False, "type_vocab_size": 0}
# family: its sizes, and what the published checkpoints say in config.json; all else is the class's default
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": SIZES,
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": MOST},
    "roberta": {**PADDED_POSITIONS, "type_vocab_size": 1},
    "xlm-roberta": {**PADDED_POSITIONS, "type_vocab_size": 1},
    "camembert": {**PADDED_POSITIONS, "type_vocab_size": 1, "bos_token_id": 5, "eos_token_id": 6},
    "electra": {**SIZES, "embedding_size": 16},
    "albert": {**SIZES, "embedding_size": 16, "bos_token_id": 2, "eos_token_id": 3},
    "mpnet": PADDED_POSITIONS,
    "deberta": {**RELATIVE, "pos_att_type": ["c2p", "p2c"]},
    "deberta-v2": {
        **RELATIVE,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
    },
    "modernbert": {
        **SIZES,
        "local_attention": 8,
        "global_attn_every_n_layers": 2,
        **{f"{role}_token_id": number for role, number in (("pad", 5), ("bos", 3), ("cls", 3), ("eos", 4), ("sep", 4))},
    },
}


def written(folder: Path, family: str, auto: str, labels: Sequence[str], encoder: str, **settings: Any) -> Path:
    """A checkpoint as its library saves it.

    auto: the class of its model. encoder: the class of sentence-transformers around it, if any. settings: more for its
    config.json.
    """
    plain = folder / "plain"
    tokenizer = tokenizer_of(family)
    named = {"id2label": dict(enumerate(labels)), "label2id": {label: number for number, label in enumerate(labels)}}
    sizes = {"vocab_size": len(tokenizer), **CONFIGS[family], **(named if labels else {}), **settings}
    torch.manual_seed(0)
    model = getattr(transformers, auto).from_config(transformers.AutoConfig.for_model(family, **sizes))
    widen(model)
    model.save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    return saved_by(encoder, plain, folder / "saved") if encoder else plain


def saved_by(encoder: str, plain: Path, folder: Path) -> Path:
    """A plain checkpoint as a class of sentence-transformers saves it, by its own defaults."""
    import sentence_transformers

    getattr(sentence_transformers, encoder)(str(plain), device="cpu").save(str(folder))
    return folder


def widen(model: torch.nn.Module) -> None:
    """Make weights and biases as wide as those of a trained model's last layers, none of them 0 or 1."""
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weights in model.parameters():
            weights += torch.randn(weights.shape, generator=random) * WIDTH


def tokenizer_of(family: str) -> Any:
    """The family's tokenizer class of transformers with a vocabulary of its own kind."""
    name, special = TOKENIZERS[family]
    if not name:
        return modernbert_tokenizer(special)
    made = getattr(transformers, name)
    return made(**trained(made().backend_tokenizer, special), model_max_length=MOST)


def trained(blank: tokenizers.Tokenizer, special: tuple[str, ...]) -> dict[str, Any]:
    """The vocabulary of a tokenizer, and the merges of one that has some, trained on what it makes of texts."""
    texts = [*LINES, *(TEXTS[name] for name in LEARNT)]
    kind = type(blank.model).__name__
    if kind == "WordPiece":
        return {"vocab": wordpiece_vocabulary(blank, texts, special, PIECES // 2)}
    if kind == "Unigram":
        return {"vocab": unigram_vocabulary(blank, texts, special, PIECES)}
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=PIECES + len(alphabet), special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    found = learnt(models.BPE(), blank, texts, trainer)
    return {"vocab": found["vocab"], "merges": [tuple(pair) for pair in found["merges"]]}


def modernbert_tokenizer(special: tuple[str, ...]) -> Any:
    """ModernBERT has no class of its own: its tokenizer is a PreTrainedTokenizerFast around OLMo's pieces."""
    made = tokenizers.Tokenizer(models.BPE())
    made.normalizer, made.pre_tokenizer = normalizers.NFC(), pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces = trained(made, special)
    made.model = models.BPE(**pieces)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, pieces["vocab"][token]) for token in ("[CLS]", "[SEP]")],
    )
    roles = {f"{token[1:-1].lower()}_token": token for token in special if token.startswith("[")}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=MOST, **roles)
