"""An export folder read back, without torch and at once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tbgen.export.errors import UserError
from tbgen.export.exported import Exported, exported_from_folder


@pytest.fixture
def copy(exported: Exported, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported.folder, tmp_path / "copy"))


def test_reads_back_what_was_written(exported: Exported) -> None:
    assert exported_from_folder(exported.folder) == exported
    assert exported.special == {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    assert exported.parity["max_abs"] <= exported.parity["tolerance"] == 1e-4
    assert exported.parity["flips"] == 0


def test_imports_nothing_heavy(exported: Exported) -> None:
    code = (
        "import sys; from pathlib import Path; from tbgen.export.exported import exported_from_folder as read;"
        "read(Path(sys.argv[1])); print([m for m in ('torch', 'transformers', 'onnx', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, exported.folder], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_says_that_a_folder_is_no_export(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no export.json in .*; it is written by: tbgen export onnx"):
        exported_from_folder(tmp_path)


def test_says_that_the_engine_file_is_cut_short(copy: Path) -> None:
    model = copy / "model.onnx"
    model.write_bytes(model.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"model.onnx' has 1000 bytes, export.json says \d+; export again"):
        exported_from_folder(copy)


def test_says_that_a_file_is_gone(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"no tokenizer\.json in"):
        exported_from_folder(copy)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"format": 99}, "has format 99, this tbgen reads 1"), ({"labels": None}, r"is damaged \(TypeError")],
)
def test_says_that_the_record_is_not_its_own(copy: Path, change: dict[str, object], sentence: str) -> None:
    record = json.loads((copy / "export.json").read_text(encoding="utf-8"))
    (copy / "export.json").write_text(json.dumps({**record, **change}), encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        exported_from_folder(copy)
