"""Whether a tokenizer reads each word of a text alone, so that the beginning of a long text tells its first tokens."""

from __future__ import annotations

import re
from typing import Any

# How the library writes the parts of which each looks at a character and its neighbours alone, and joins no words
# that one space parts. Of patterns, whose reach nobody can tell, those that the families here have.
_NORMALIZER = re.compile(
    r"""(None|BertNormalizer\([^()]*\)|(NFC|NFD|NFKC|NFKD|Lowercase|StripAccents|Nmt)\(\)|Strip\([^()]*\)"""
    r"""|Precompiled\([^()]*\)|Replace\(pattern=Regex\(" \{2,\}"\), content="[ ▁]"\)"""
    r"""|Replace\(pattern=String\("[^\s\w▁]+"\), content="[^\s\w▁]*"\))"""
)
_SPLITTER = re.compile(
    r"""(BertPreTokenizer|Whitespace|WhitespaceSplit)\(\)|Metaspace\(replacement="▁", [^()]*split=True\)"""
    r"""|ByteLevel\([^()]*use_regex=True\)"""
)
_WITHIN_WORDS = re.compile(r"Punctuation\([^()]*\)|Digits\([^()]*\)|Metaspace\([^()]*\)|ByteLevel\([^()]*\)")


def reads_words_alone(tokenizer: Any) -> bool:
    """Whether the tokens before a space between two letters depend on nothing behind that space.

    tokenizer: a tokenizers.Tokenizer; one that keeps the end of long texts needs that instead, so the answer is no.
    """
    added = tokenizer.get_added_tokens_decoder().values()
    first, *others = [str(each) for each in _parts_of(tokenizer.pre_tokenizer)] or [""]  # a sequence may be empty
    return (
        (tokenizer.truncation or {}).get("direction") != "left"
        and all(_NORMALIZER.fullmatch(str(each)) for each in _parts_of(tokenizer.normalizer))
        and bool(_SPLITTER.fullmatch(first))
        and all(_SPLITTER.fullmatch(each) or _WITHIN_WORDS.fullmatch(each) for each in others)
        and all(re.fullmatch(r"[!-~]*", each.content) and not each.rstrip for each in added)
    )


def _parts_of(part: Any) -> list[Any]:
    """The normalizers or pre-tokenizers of a sequence, itself where it is none."""
    return [each for one in part for each in _parts_of(one)] if type(part).__name__ == "Sequence" else [part]
