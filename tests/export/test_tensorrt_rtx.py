"""The rows 10 and 11 of TensorRT's versions, run by TensorRT-RTX, whose parser and builder need no GPU."""

import importlib.util
import json
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

from tbgen.cli.main import main
from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.exported import Exported
from tbgen.export.onnx.export import onnx_from_checkpoint
from tests.export import checkpoints
from tests.once import locked

ROOT = Path(__file__).parents[2]
PACKAGES = ("tensorrt-rtx-cu13-bindings==1.7.1.116", "tensorrt-rtx-cu13-libs==1.7.1.116")
TITLE = "TensorRT-RTX 1.7.1.116"
RANGES = ("1-32x2-32", "1-32x33-40")

long = pytest.mark.long  # 96 MB are fetched, once


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx_bindings") is not None, reason="TensorRT-RTX is installed")
def test_without_the_package_its_extra_is_named(exported: Exported) -> None:
    told = CliRunner().invoke(main, ["check", "--tensorrt", str(exported.model)])
    assert told.exit_code == 1
    assert told.output == ("Error: tensorrt_rtx_bindings is not installed; it comes with: pip install 'tbgen[rtx]'\n")


def test_what_needs_the_option_says_so(exported: Exported) -> None:
    alone = CliRunner().invoke(main, ["check", str(exported.model)])
    assert (alone.exit_code, "is a file: it is read by --tensorrt alone" in alone.output) == (2, True)
    none = CliRunner().invoke(main, ["check", "--tensorrt", "missing.onnx"])
    assert (none.exit_code, "Error: no file or folder 'missing.onnx'; --tensorrt reads" in none.output) == (1, True)
    shape = CliRunner().invoke(main, ["check", "--shape", "1x32", str(exported.folder)])
    assert (shape.exit_code, "--shape goes with --tensorrt; add that" in shape.output) == (2, True)


@pytest.fixture(scope="module")
def python() -> Path:
    """A Python with these packages and TensorRT-RTX, kept from one run to the next."""
    folder = ROOT / ".cache" / f"tensorrt-rtx-{sysconfig.get_python_version()}"
    python = folder / "bin" / "python"
    folder.parent.mkdir(exist_ok=True)
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not (folder / "complete").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", folder], check=True)
            pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "--no-deps", "--only-binary=:all:", *PACKAGES], check=True)
            site = next(folder.glob("lib/python*/site-packages"))
            ours = sysconfig.get_path("purelib")
            (site / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n", encoding="utf-8")
            (folder / "complete").touch()
    return python


def run(python: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """What a command says."""
    return subprocess.run([python, *map(str, words)], capture_output=True, text=True, check=False, cwd=ROOT)


def asked(python: Path, *words: object, code: int = 0) -> list[dict[str, Any]]:
    """What `tbgen check --tensorrt --json` says of the files."""
    done = run(python, "-m", "tbgen.cli.main", "check", "--tensorrt", "--json", *words)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)["tensorrt"]


@long
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("family", checkpoints.FAMILIES)
def test_a_family_is_read_and_built(family: str, precision: str, python: Path, tmp_path: Path) -> None:
    checkpoint = checkpoints.checkpoint(tmp_path / family, family, initializer_range=0.1)
    made = onnx_from_checkpoint(checkpoint_from_folder(checkpoint), tmp_path / "made", precision=precision)
    (told,) = asked(python, made.model, *(word for shape in RANGES for word in ("--shape", shape)))
    assert told["reads"]
    assert f"{TITLE} reads it as a network of" in told["says"]
    assert "and builds it for 1-32x2-32, 1-32x33-40 (" in told["says"]


@long
@pytest.mark.parametrize("row", ["10", "11"])
@pytest.mark.parametrize(("precision", "products"), [("fp32", ["FLOAT"]), ("fp16", ["FLOAT", "HALF"])])
def test_the_rows_of_this_years_versions(
    row: str, precision: str, products: list[str], python: Path, bert: Path, tmp_path: Path
) -> None:
    """Types are the file's: the classifier of an FP16 file stays FP32."""
    made = onnx_from_checkpoint(checkpoint_from_folder(bert), tmp_path / "made", precision=precision)
    cache = tmp_path / "timing.cache"
    done = run(python, ROOT / "tests/export/rtx_plan.py", row, made.model, cache, *RANGES, "1x40")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["typed"]
    assert (said["products"], said["inputs"], said["profiles"]) == (products, ["INT64"], 3)
    assert said["tf32"] == (precision == "fp16")  # cleared for a file that is FP32
    assert min(said["sizes"]) > 0
    assert cache.stat().st_size > 0
    shares = [share for words, share in said["told"] if words == "Building engine"]
    assert shares == sorted(set(shares)) * 2  # of two builds
    assert (shares[0], shares[-1]) == (0, 1)


@long
def test_what_does_not_parse_is_said(python: Path, exported: Exported, tmp_path: Path) -> None:
    damaged, unknown = tmp_path / "damaged.onnx", tmp_path / "unknown.onnx"
    damaged.write_bytes(exported.model.read_bytes()[:-100])
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "y")]
    node = helper.make_node("FastGelu", ["x"], ["y"], name="/layer.0/FastGelu", domain="com.microsoft")
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph([node], "g", tensors[:1], tensors[1:])
    onnx.save(helper.make_model(graph, opset_imports=sets), unknown)
    (told,) = asked(python, damaged, code=1)
    assert (told["reads"], told["says"].split(":")[0]) == (False, f"{TITLE} cannot read damaged.onnx")
    assert "Failed to parse the ONNX model" in told["says"]
    (told,) = asked(python, unknown, code=1)
    assert told["says"].startswith(f"{TITLE} cannot read unknown.onnx: node '/layer.0/FastGelu': ")
    (told,) = asked(python, exported.model, "--shape", "1x41", code=1)  # it reads 40 tokens
    assert told["says"].startswith(f"{TITLE} could not build the plan: ")


@long
def test_the_files_of_a_repository(python: Path, sample_repository: Path, exported: Exported, tmp_path: Path) -> None:
    (told,) = asked(python, sample_repository)
    assert (told["reads"], told["says"]) == (
        None,
        "has the packed layout, which no plan is built from; export it padded",
    )
    version = tmp_path / "padded" / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").symlink_to(exported.model)
    done = run(python, "-m", "tbgen.cli.main", "check", "--tensorrt", tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"padded/1/model.onnx: {TITLE} reads it as a network of" in done.stdout
    assert done.stdout.endswith("needs no GPU; the TensorRT of Triton's container was not asked.\n")
