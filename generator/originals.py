"""The small text files of a model as tbgen wrote them, kept in its record: what an edit is shown against."""

from __future__ import annotations

import base64
import bz2
import json
from collections.abc import Mapping
from pathlib import Path

_LARGEST = 64 * 1024  # bytes; a tokenizer.json of real size is not worth keeping twice

_LARGEST_ALL = 64 << 20  # bytes of the texts of a model, packed by a factor of thousands where they repeat


def text_of(file: Path) -> str | None:
    """The text of a small UTF-8 file; None for any other, or none at all."""
    if not file.is_file() or file.stat().st_size > _LARGEST:
        return None
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return None


def pack_texts(texts: Mapping[str, str]) -> str:
    """File name -> text as one line of ASCII; bzip2, unlike zlib, packs to the same bytes everywhere."""
    plain = json.dumps(texts, ensure_ascii=False, sort_keys=True).encode("utf-8")
    return base64.b64encode(bz2.compress(plain)).decode("ascii")


def unpack_texts(line: str) -> dict[str, str]:
    """The inverse of `pack_texts`; nothing of a line that was not packed so."""
    try:
        texts = json.loads(bz2.BZ2Decompressor().decompress(base64.b64decode(line), _LARGEST_ALL))
    except (ValueError, OSError, EOFError, RecursionError):
        return {}
    return texts if isinstance(texts, dict) and all(isinstance(text, str) for text in texts.values()) else {}
