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
from tbgen.export.provenance import provenance_from_record


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
    [
        ({"format": 99}, "has format 99, this tbgen reads 1"),
        ({"labels": None}, r"is damaged \(labels: null; it must be a list, each a text\)"),
    ],
)
def test_says_that_the_record_is_not_its_own(copy: Path, change: dict[str, object], sentence: str) -> None:
    record = json.loads((copy / "export.json").read_text(encoding="utf-8"))
    (copy / "export.json").write_text(json.dumps({**record, **change}), encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        exported_from_folder(copy)


PLAN = {"gpu": "H100", "profiles": [{"max": [32, 128], "min": [1, 2], "opt": [32, 128]}], "version": "8.5.3.1"}


@pytest.mark.parametrize(
    "record",
    [
        {
            "chosen": "",
            "ir_version": 8,
            "opset": 17,
            "optimized": True,
            "precision": "fp16",
            "source": {"a.onnx": "12"},
        },
        {"chosen": "a classifier", "hidden": 128, "layout": "packed", "optimized": False, "precision": "int8"},
        {"chosen": "", "optimized": False, "precision": "fp16", "source": {}, "tensorrt": PLAN},
    ],
)
def test_what_made_a_file_is_read_and_written_alike(record: dict[str, object]) -> None:
    record = {"source": {}, **record}
    written = provenance_from_record(record).record()
    assert json.dumps(written) == json.dumps(dict(sorted(record.items())))


def test_what_an_older_or_a_newer_tbgen_says_of_a_file_is_no_obstacle() -> None:
    made = provenance_from_record({"precision": "fp32", "colour": "blue"})
    assert (made.precision, made.layout, made.profiles) == ("fp32", "padded", ())
