"""`tbgen show`: what a request runs through, from the files of a repository."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from tbgen.cli.show_pipeline import show
from tbgen.export.errors import UserError
from tbgen.generator.pipeline import pipeline_of
from tbgen.generator.pipeline_svg import svg_of_pipeline

ENGINE = "kcbert_onnx"
GRAPHS = {
    "ensemble": ["kcbert_tokenizer", ENGINE, "kcbert_postprocess"],
    "bls": ["kcbert_onnx_bls", ENGINE, "kcbert_onnx_bls"],
}
IDS = "input_ids INT64 [-1]"


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_models_of_a_graph_stand_in_their_order(sample_repository: Path, graph: str) -> None:
    pipeline = pipeline_of(sample_repository / f"kcbert_onnx_{graph}")
    assert [box.model for box in pipeline.boxes] == GRAPHS[graph]
    first, engine, last = pipeline.boxes
    entry, exit_ = [("Entry",), ("Exit",)] if graph == "ensemble" else [(), ()]
    assert first.lines == ("Tokenizer · max_length 300", *entry)
    assert engine.about.startswith("onnxruntime, 1 on any device")
    assert last.lines == ("TextClassification · labels 부정, 중립, 긍정", *exit_)
    assert pipeline.tensors[0] == ("input_text STRING [1]",)
    assert IDS in pipeline.tensors[1]
    assert pipeline.tensors[2] == ("outputs FP32 [3]",)
    assert "label STRING [1]" in pipeline.tensors[3]


def test_the_drawing_is_svg_with_every_model_step_and_tensor(sample_repository: Path) -> None:
    drawn = ElementTree.fromstring(svg_of_pipeline(pipeline_of(sample_repository / "kcbert_onnx_bls")))
    texts = [each.text or "" for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    for wanted in (ENGINE, "TextClassification · labels 부정, 중립, 긍정", "label STRING [1]", IDS):
        assert any(wanted in text for text in texts), wanted
    assert drawn.get("aria-label") == "kcbert_onnx_bls · text-classification"


def test_the_command_shows_all_front_models_of_a_name_and_draws_one(
    sample_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = CliRunner().invoke(show, ["kcbert", "-r", str(sample_repository)])
    assert done.exit_code == 0, done.output
    assert all(name in done.stdout for name in ("kcbert_onnx_bls", "kcbert_onnx_ensemble", "부정, 중립, 긍정"))
    assert max(map(len, done.stdout.splitlines())) <= 80
    file = tmp_path / "drawings" / "bls.svg"
    done = CliRunner().invoke(show, ["kcbert_onnx_bls", "-r", str(sample_repository), "--svg", str(file)])
    assert done.exit_code == 0, done.output
    assert file.read_text(encoding="utf-8").startswith("<svg")
    done = CliRunner().invoke(show, ["kcbert", "-r", str(sample_repository), "--svg", str(file)])
    assert "means several: kcbert_onnx_bls, kcbert_onnx_ensemble" in done.output


def test_a_folder_without_a_config_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no config\.pbtxt that can be read"):
        pipeline_of(tmp_path)
