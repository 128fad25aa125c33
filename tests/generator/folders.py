"""Model folders as tbgen writes them, small."""

from __future__ import annotations

from pathlib import Path

from tbgen.generator.repository import write_record

SOURCE = {"weights_sha256": "00"}


def model_folder(folder: Path, text: str = "new") -> Path:
    """A model of two files that hold `text`, with its record."""
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(text, encoding="utf-8")
    (folder / "1" / "model.onnx").write_text(text, encoding="utf-8")
    write_record(folder, {"source": SOURCE})
    return folder
