"""The drawings of docs/images are those that `make pictures` makes of the committed model repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbgen.generator.pipeline import pipeline_of
from tbgen.generator.pipeline_svg import svg_of_pipeline

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("picture", sorted((ROOT / "docs" / "images").glob("kcbert_*.svg")), ids=lambda path: path.stem)
def test_a_drawing_is_what_show_draws(picture: Path) -> None:
    drawn = svg_of_pipeline(pipeline_of(ROOT / "model_repository" / picture.stem))
    assert picture.read_text(encoding="utf-8") == drawn
