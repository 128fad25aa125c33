"""Slow tokenizer files to a tokenizers.Tokenizer that gives the same pieces as the slow class did.

What transformers 5 makes of a SentencePiece model is not that: for DeBERTa it forgets the model's own normalisation
(full width letters, Hangul jamo and non-breaking spaces come out otherwise than in training), and for ALBERT it takes
Hangul apart and never puts it together. So these are built here, from the model's file; vocab.txt and merges go through
AutoTokenizer, and what its Rust classes leave out is put back. tests/export/slow/ holds the proof.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError, require
from tbgen.export.reading import bytes_from_file, is_there, library_reading, read_json_if_there
from tbgen.export.tokenizers.auto_tokenizer import auto_tokenizer, class_of_tokenizer, named_tokenizer, python_only
from tbgen.export.tokenizers.settings_rules import EVERY_ROLE

Piece = tuple[str, float]
_SAVE_FAST = "save a fast tokenizer there with tokenizer.save_pretrained(folder)"


@dataclass(frozen=True)
class SentencePiece:
    """How a slow class lays a SentencePiece model's pieces out, and what it puts around a text.

    `head` comes before the pieces of the model, of which `skip` are left out; `tail` after them, if not yet there.
    `accents` and `lower` are what the class does when its settings do not say: keep accents, and lower-case; None: it
    has no such setting, and does neither.
    """

    files: tuple[str, ...]
    special: dict[str, str]
    head: tuple[Piece, ...] = ()
    skip: int = 0
    tail: tuple[str, ...] = ()
    pair: str = "{cls} $A {sep} $B:1 {sep}:1"
    mask_takes_space: bool = True
    accents: bool | None = None
    lower: bool | None = None
    quotes: bool = False


_FAIRSEQ = {"cls": "<s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}
_BRACKETS = {"cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_SENTENCEPIECE = {
    "xlm-roberta": SentencePiece(
        files=("sentencepiece.bpe.model",),
        special=_FAIRSEQ,
        head=(("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)),
        skip=3,
        tail=("<mask>",),
        pair="{cls} $A {sep} {sep} $B {sep}",
    ),
    "camembert": SentencePiece(
        files=("sentencepiece.bpe.model",),
        special=_FAIRSEQ,
        head=(("<s>NOTUSED", 0.0), ("<pad>", 0.0), ("</s>NOTUSED", 0.0), ("<unk>", 0.0), ("<unk>NOTUSED", -100.0)),
        skip=1,
        tail=("<mask>",),
        pair="{cls} $A {sep} {sep} $B {sep}",
    ),
    "albert": SentencePiece(
        files=("spiece.model",),
        special={**_BRACKETS, "pad": "<pad>", "unk": "<unk>"},
        accents=False,
        lower=True,
        quotes=True,
    ),
    "deberta-v2": SentencePiece(
        files=("spm.model", "spiece.model"),
        special={**_BRACKETS, "pad": "[PAD]", "unk": "[UNK]"},
        tail=("[MASK]",),
        mask_takes_space=False,
        lower=False,
    ),
}
# Slow classes whose mask token eats the space before it, which the classes of transformers 5 forget.
_MASK_TAKES_SPACE = {"roberta", "camembert", "mpnet", "deberta"}


def tokenizer_from_slow(folder: Path, config: Mapping[str, Any]) -> tuple[Any, dict[str, str]]:
    """The tokenizers.Tokenizer of a folder's slow files, and its special tokens by role; `config` is the model's.

    Raises UserError for a tokenizer that exists only in Python, and for settings that no tokenizer.json follows.
    """
    settings = read_json_if_there(folder, "tokenizer_config.json")
    kind = class_of_tokenizer(settings, config)
    _refuse_python_only(folder, settings, config, kind)
    family = config.get("model_type", "")
    row = _SENTENCEPIECE.get(family) if kind is class_of_tokenizer({}, {"model_type": family}) else None
    model = next((folder / name for name in row.files if is_there(folder / name)), None) if row else None
    if row and model:
        with library_reading(f"{str(model)!r} makes no tokenizer", _SAVE_FAST):
            made, tokens = _tokenizer_from_sentencepiece(model, row), row.special
    else:
        made, tokens = _tokenizer_from_vocabulary(folder, config)
    _refuse_unfollowed(folder, settings, tokens)
    return made, tokens


def _refuse_unfollowed(folder: Path, settings: Mapping[str, Any], tokens: Mapping[str, str]) -> None:
    """Raise UserError for settings by which the slow classes gave other pieces, and which nothing here follows."""
    on = (
        *(["do_basic_tokenize"] if not settings.get("do_basic_tokenize", True) else []),
        *(["never_split"] if not {*(settings.get("never_split") or [])} <= {*tokens.values()} else []),
        *(name for name in ("split_by_punct", "sp_model_kwargs") if settings.get(name)),
    )
    if on:
        said = f"{on[0]}: {json.dumps(settings[on[0]], ensure_ascii=False)}"
        raise UserError(
            f"tokenizer_config.json in {str(folder)!r} says {said}, which only the slow tokenizers of transformers 4 "
            f"follow; where it changes no text of yours leave it out, or {_SAVE_FAST}"
        )


def _tokenizer_from_vocabulary(folder: Path, config: Mapping[str, Any]) -> tuple[Any, dict[str, str]]:
    """A tokenizer of vocab.txt, or of vocab.json and merges.txt, by transformers."""
    _refuse_empty(folder)
    made = auto_tokenizer(folder, config)
    rust, tokenizers = getattr(made, "backend_tokenizer", None), require("tokenizers", extra="onnx")
    if rust is None:
        raise python_only(folder, type(made).__name__)
    if type(rust.model).__name__ == "WordPiece":
        if rust.model.token_to_id(rust.model.unk_token) is None:  # it would fail at the first unknown word
            raise UserError(f"vocab.txt in {str(folder)!r} has no line {rust.model.unk_token}; copy it again")
        # The slow BERT puts decomposed Hangul and letters with accents together first; the Rust one does not.
        rust.normalizer = tokenizers.normalizers.Sequence([tokenizers.normalizers.NFC(), rust.normalizer])
    if config.get("model_type") in _MASK_TAKES_SPACE and made.mask_token:
        rust.add_special_tokens([tokenizers.AddedToken(made.mask_token, lstrip=True, special=True)])
    return rust, {role: getattr(made, f"{role}_token") for role in EVERY_ROLE if getattr(made, f"{role}_token", None)}


def _refuse_empty(folder: Path) -> None:
    """Raise UserError for an empty file: without merges a BPE takes every text apart, and nobody would notice."""
    for name in ("vocab.txt", "vocab.json", "merges.txt"):
        if (folder / name).is_file() and not bytes_from_file(folder / name).strip():
            raise UserError(f"{str(folder / name)!r} is empty; copy it again")


def _refuse_python_only(folder: Path, settings: Mapping[str, Any], config: Mapping[str, Any], kind: Any) -> None:
    """Raise UserError for a tokenizer with code of its own, or of a class without a Rust form: no server can run it.

    AutoTokenizer would take such a one for another class, and read its vocabulary wrongly.
    """
    transformers = require("transformers", extra="onnx")
    rust = isinstance(kind, type) and issubclass(kind, transformers.PreTrainedTokenizerFast)
    if not rust or "AutoTokenizer" in (settings.get("auto_map") or {}):
        raise python_only(folder, named_tokenizer(settings, config))


def _tokenizer_from_sentencepiece(path: Path, row: SentencePiece) -> Any:
    """A tokenizer of a SentencePiece unigram model's file, laid out as its family's slow class does."""
    tokenizers = require("tokenizers", extra="onnx")
    proto = _read_proto(path)
    pieces = [*row.head, *((piece.piece, piece.score) for piece in proto.pieces[row.skip :])]
    known = {piece for piece, _ in pieces}
    pieces += [(token, 0.0) for token in row.tail if token not in known]
    places = {piece: place for place, (piece, _) in enumerate(pieces)}
    made = tokenizers.Tokenizer(
        tokenizers.models.Unigram(
            pieces, unk_id=places[row.special["unk"]], byte_fallback=proto.trainer_spec.byte_fallback
        )
    )
    settings = read_json_if_there(path.parent, "tokenizer_config.json")
    made.normalizer = _normalizer(proto, row, settings)
    scheme = "always" if proto.normalizer_spec.add_dummy_prefix else "never"
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(prepend_scheme=scheme)
    made.decoder = tokenizers.decoders.Metaspace(prepend_scheme=scheme)
    _refuse_other_roles(path.parent, row)
    mask = row.special["mask"]
    plain = [
        tokenizers.AddedToken(token, special=True, normalized=False) for token in row.special.values() if token != mask
    ]
    made.add_special_tokens([*plain, tokenizers.AddedToken(mask, lstrip=row.mask_takes_space, special=True)])
    _add_tokens(made, path.parent)
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="{cls} $A {sep}".format(**row.special),
        pair=row.pair.format(**row.special),
        special_tokens=[(token, places[token]) for token in (row.special["cls"], row.special["sep"])],
    )
    return made


def _refuse_other_roles(folder: Path, row: SentencePiece) -> None:
    """Raise UserError where a file gives a role to another token than the family's slow class does."""
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        settings = read_json_if_there(folder, name)
        for role, token in row.special.items():
            named = settings.get(f"{role}_token", token)
            named = named.get("content") if isinstance(named, dict) else named
            if named not in (token, None):
                raise UserError(
                    f"{name} in {str(folder)!r} has {named!r} as {role}_token, its family {token!r}; {_SAVE_FAST}"
                )


def _add_tokens(tokenizer: Any, folder: Path) -> None:
    """Add the tokens that were added to a SentencePiece model's, pieces of it among them, which are then words of their
    own. Raises UserError where their ids leave a gap.
    """
    kind = require("tokenizers", extra="onnx").AddedToken
    settings = read_json_if_there(folder, "tokenizer_config.json")
    ids = {int(number): {"content": token} for token, number in read_json_if_there(folder, "added_tokens.json").items()}
    by_id = {int(number): said for number, said in settings.get("added_tokens_decoder", {}).items()}
    for number, said in sorted({**ids, **by_id}.items()):
        if said["content"] not in _added(tokenizer):
            flags = {name: said[name] for name in ("lstrip", "rstrip", "normalized", "single_word") if name in said}
            tokenizer.add_tokens([kind(said["content"], special=said.get("special", False), **flags)])
        if (own := tokenizer.token_to_id(said["content"])) != number:
            raise UserError(
                f"the added token {said['content']!r} of {str(folder)!r} has the id {number}, the model's pieces make "
                f"it {own}; {_SAVE_FAST}"
            )
    for file in (read_json_if_there(folder, "special_tokens_map.json"), settings):
        for said in file.get("additional_special_tokens") or []:
            token = said["content"] if isinstance(said, dict) else said
            if token not in _added(tokenizer):
                tokenizer.add_special_tokens([kind(token, special=True, normalized=False)])


def _added(tokenizer: Any) -> set[str]:
    """The tokens that no word is part of."""
    return {token.content for token in tokenizer.get_added_tokens_decoder().values()}


def _read_proto(path: Path) -> Any:
    """A SentencePiece model's file, parsed. Raises UserError for a damaged one, and for one not unigram."""
    messages = require("transformers.utils.sentencepiece_model_pb2_new", extra="onnx")
    errors = require("google.protobuf.message", extra="onnx")
    proto = messages.ModelProto()
    try:
        proto.ParseFromString(bytes_from_file(path))
    except errors.DecodeError as error:
        raise UserError(f"{str(path)!r} is no SentencePiece model: {error}") from error
    if not proto.pieces:
        raise UserError(f"{str(path)!r} is no SentencePiece model: it holds no pieces")
    if proto.trainer_spec.model_type != 1:
        raise UserError(
            f"{str(path)!r} is a SentencePiece model of type {proto.trainer_spec.model_type}, not unigram (1)"
        )
    return proto


def _normalizer(proto: Any, row: SentencePiece, settings: dict[str, Any]) -> Any:
    """What the slow class and the model do to a text before they look for pieces.

    NFC comes first because the Rust reading of the model's table works on one letter at a time, so that it would
    leave decomposed Hangul as it is, which SentencePiece composes.
    """
    n = require("tokenizers", extra="onnx").normalizers
    regex = require("tokenizers", extra="onnx").Regex
    steps = [n.Replace("``", '"'), n.Replace("''", '"')] if row.quotes else []
    if row.accents is not None and not settings.get("keep_accents", row.accents):
        steps += [n.NFKD(), n.Replace(regex(_combining_marks()), "")]
    if row.lower is not None and settings.get("do_lower_case", row.lower):
        steps.append(n.Lowercase())
    steps.append(n.NFC())
    if proto.normalizer_spec.precompiled_charsmap:
        steps.append(n.Precompiled(proto.normalizer_spec.precompiled_charsmap))
    if proto.normalizer_spec.remove_extra_whitespaces:
        steps += [n.Strip(left=False, right=True), n.Replace(regex(" {2,}"), "▁")]
    return n.Sequence(steps)


def _combining_marks() -> str:
    """A character class of the marks that have a combining class, as the slow ALBERT takes them away.

    Fewer than StripAccents, which also takes vowel signs of Indic scripts and the variation selectors of emoji.
    """
    marks = [code for code in range(sys.maxunicode + 1) if unicodedata.combining(chr(code))]
    runs = [[code for _, code in run] for _, run in groupby(enumerate(marks), lambda item: item[1] - item[0])]
    return "[" + "".join(f"\\x{{{run[0]:X}}}-\\x{{{run[-1]:X}}}" for run in runs) + "]"
