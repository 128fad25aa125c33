"""How long a text an ONNX engine takes is read from its graph, wherever its positions begin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tbgen.export.layout import LAYOUTS, PADDED
from tbgen.generator.check.check import check_repository
from tbgen.generator.scaffold import Request, scaffold
from tests.export import checkpoints

EACH = [("roberta", layout, pad) for layout in LAYOUTS for pad in (0, 1, 3)]
EACH += [("mpnet", PADDED, pad) for pad in (0, 3)]  # it counts from 1, whatever its config says


@pytest.mark.parametrize(("family", "layout", "pad"), EACH)
def test_as_many_tokens_as_pytorch_reads_and_no_more(family: str, layout: str, pad: int, tmp_path: Path) -> None:
    longest = 49 - (pad + 1 if family == "roberta" else 2)
    source = checkpoints.checkpoint(tmp_path / "model", family, pad_token_id=pad, max_position_embeddings=49)
    settings = source / "tokenizer_config.json"
    named = json.loads(settings.read_text(encoding="utf-8")) | {"model_max_length": 512}
    settings.write_text(json.dumps(named), encoding="utf-8")
    scaffold(Request("m", source, layout=layout, vendor=False, graph="ensemble"), tmp_path / "models")
    steps = tmp_path / "models" / "m_tokenizer" / "1" / "steps.json"
    listed = json.loads(steps.read_text(encoding="utf-8"))
    assert listed["steps"][0]["settings"]["max_length"] == longest
    assert failing(tmp_path / "models") == []
    listed["steps"][0]["settings"] |= {"max_length": longest + 1, "buckets": [longest + 1]}
    steps.write_text(json.dumps(listed, indent=2), encoding="utf-8")
    (said,) = failing(tmp_path / "models")
    assert f"fails on texts of more than {longest} tokens, and this lets in {longest + 1}" in said


def failing(repository: Path) -> list[str]:
    """What check finds that fails."""
    return [finding.says for finding in check_repository(repository) if finding.effect == "fails"]
