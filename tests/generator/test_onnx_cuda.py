"""The engine for GPUs where there is none: its twin is held against the library, and who asks is told so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from tbgen.cli.main import main
from tbgen.export.run import cuda_here
from tbgen.generator.check.check import check_repository
from tbgen.generator.engines.table import ENGINES
from tbgen.generator.local.models import LocalModels
from tbgen.generator.releases import RELEASES
from tbgen.server.verify.verify import scaffold_named
from tests.export import checkpoints

pytestmark = pytest.mark.skipif(cuda_here(), reason="there is a GPU: the file itself runs")
STANDS = "there is no GPU here: the file's twin answered"
GRAPHS = ("ensemble", "bls", "single")


def tbgen(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def scaffolded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A repository with all three graphs, and what was said."""
    folder, said = tmp_path_factory.mktemp("cuda"), ""
    checkpoints.bert(folder / "bert")
    for graph in ("both", "single"):
        words = ("--engine", "onnx_cuda", "--graph", graph, "--no-vendor", "-r", folder / "models")
        done = tbgen("scaffold", "m", "--source", folder / "bert", *words)
        assert done.exit_code == 0, done.output
        said += done.output
    return folder / "models", said


def test_the_twin_is_compared_and_the_record_says_so(scaffolded: tuple[Path, str]) -> None:
    repository, said = scaffolded
    flat = " ".join(said.split())
    assert "of its twin: see below" in flat
    assert STANDS[1:] in flat
    assert all(f"m_onnx_cuda_{graph} against transformers" in flat for graph in GRAPHS)
    record = json.loads((repository / "m_onnx_cuda" / "tbgen.json").read_text(encoding="utf-8"))
    assert record["export"]["made"]["twin"]
    assert (record["settings"]["device"], record["settings"]["layout"]) == ("gpu", "packed")


def test_the_file_is_for_gpus_and_its_config_asks_for_one(scaffolded: tuple[Path, str]) -> None:
    folder = scaffolded[0] / "m_onnx_cuda"
    assert "PackedAttention" in {node.op_type for node in onnx.load(folder / "1" / "model.onnx").graph.node}
    config = (folder / "config.pbtxt").read_text(encoding="utf-8")
    assert "KIND_GPU" in config
    assert "enable_skip_layer_norm_strict_mode" in config


def test_run_answers_in_each_graph_and_says_which_models_stood_for_their_files(scaffolded: tuple[Path, str]) -> None:
    texts = {"input_text": np.array([["오늘도 상한가 갔다".encode()], [b""], [b"the shares rose " * 9]], dtype=object)}
    with LocalModels(scaffolded[0]) as models:
        answers = [models.infer(f"m_onnx_cuda_{graph}", texts)["score"] for graph in GRAPHS]
        assert models.stood_for == ["m_onnx_cuda", "m_onnx_cuda_single"]
    for answer in answers:
        np.testing.assert_allclose(answer, answers[0], atol=2e-3)
    done = tbgen("run", "m_onnx_cuda_single", "주가가 급락", "-r", scaffolded[0])
    assert f"m_onnx_cuda_single: {STANDS}" in " ".join(done.output.split())


def test_single_has_a_file_whose_runs_can_be_recorded(scaffolded: tuple[Path, str]) -> None:
    folder = scaffolded[0] / "m_onnx_cuda_single" / "1"
    assert [entry.name for entry in onnx.load(folder / "model.onnx").graph.input] == [
        "input_ids",
        "token_type_ids",
        "item_lengths",
    ]
    steps = json.loads((folder / "steps.json").read_text(encoding="utf-8"))["steps"]
    settings = next(step["settings"] for step in steps if step["class"] == "CudaEngine")
    assert (settings["graph_tokens"], settings["longest"], settings["max_batch_size"]) == (1024, 40, 128)
    assert "as tbgen writes them" in tbgen("diff", "m_onnx_cuda_single", "-r", scaffolded[0]).output


def test_verify_runs_the_twin_and_says_so(scaffolded: tuple[Path, str], tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("주가가 급락\n배당금이 들어왔다\n", encoding="utf-8")
    source = scaffolded[0].parent / "bert"
    done = tbgen("verify", "m_onnx_cuda_bls", "--source", source, "--text", texts, "-r", scaffolded[0], "--json")
    assert done.exit_code == 0, done.output
    assert "Nothing is served, the graphs are run without Triton" in " ".join(done.stderr.split())
    roads = [row["road"] for row in json.loads(done.stdout)]
    assert roads == ["m_onnx_cuda (twin, on the CPU)", "m_onnx_cuda_bls"]
    assert scaffold_named("m_onnx_cuda_bls", scaffolded[0]).stood_for


def test_what_it_does_not_run_and_who_does_not_run_its_file(scaffolded: tuple[Path, str], tmp_path: Path) -> None:
    bert, others = scaffolded[0].parent / "bert", tmp_path / "models"
    mpnet = checkpoints.checkpoint(tmp_path / "mpnet", "mpnet")
    done = tbgen("scaffold", "n", "--source", mpnet, "--engine", "onnx_cuda", "--no-vendor", "-r", others)
    assert "use --engine onnx_fp16 --device gpu" in " ".join(done.output.split())
    how = ("--layout", "packed", "--optimize", "--precision", "fp16")
    assert tbgen("export", "onnx", "--source", bert, "-o", tmp_path / "export", *how).exit_code == 0
    done = tbgen("scaffold", "n", "--source", tmp_path / "export", "--engine", "onnx_fp16", "-r", others)
    assert "use --engine onnx_cuda" in " ".join(done.output.split())
    words = ("--engine", "onnx_cuda", "--no-vendor", "-r", others)
    assert tbgen("scaffold", "n", "--source", tmp_path / "export", *words).exit_code == 0


def test_only_a_file_that_needs_a_gpu_has_a_twin() -> None:
    assert [name for name, engine in ENGINES.items() if engine.twin] == ["onnx_cuda"]
    assert not ENGINES["onnx_cuda"].here()


def test_check_wants_gpus_for_it(scaffolded: tuple[Path, str], tmp_path: Path) -> None:
    shutil.copytree(scaffolded[0], tmp_path / "models")
    assert not [finding for finding in check_repository(tmp_path / "models") if finding.severity == "error"]
    for name in ("m_onnx_cuda", "m_onnx_cuda_single"):
        file = tmp_path / "models" / name / "config.pbtxt"
        text = file.read_text(encoding="utf-8")
        for kind, effect in (("KIND_CPU", "refused"), ("KIND_AUTO", "advice")):
            file.write_text(text.replace("KIND_GPU", kind), encoding="utf-8")
            found = [each for each in check_repository(tmp_path / "models", names=[name]) if "find kernel" in each.says]
            assert [(each.model, each.effect) for each in found] == [(name, effect)]
            assert "com.microsoft.PackedAttention(1)" in found[0].says


@pytest.mark.parametrize(("release", "known"), [("24.06", False), ("24.07", True)])
def test_check_knows_which_release_takes_its_settings(release: str, known: bool, scaffolded: tuple[Path, str]) -> None:
    found = check_repository(scaffolded[0], release=release, names=["m_onnx_cuda"])
    assert [each.says for each in found if "Accelerator" in each.says] == (
        [] if known else ["unknown Execution Accelerator 'cuda' is requested"]
    )


def test_each_release_has_its_attention() -> None:
    assert all(tuple(map(int, each.onnxruntime.split(".")[:2])) >= (1, 16) for each in RELEASES.values())
