from pathlib import Path

import pytest

from tbgen.export.errors import UserError
from tbgen.generator.repository import existing_model, refuse_to_overwrite
from tests.generator.folders import SOURCE, model_folder


def test_its_own_unedited_model_may_be_replaced(tmp_path: Path) -> None:
    refuse_to_overwrite(existing_model(model_folder(tmp_path / "a")), SOURCE)
    refuse_to_overwrite(existing_model(tmp_path / "none"), SOURCE)


def test_a_file_that_git_left_out_is_no_edit(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "a")
    (folder / "1" / "model.onnx").unlink()
    refuse_to_overwrite(existing_model(folder), SOURCE)


def test_an_edited_model_is_kept(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "a")
    (folder / "config.pbtxt").write_text("mine", encoding="utf-8")
    (folder / "1" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=r"was edited since tbgen wrote it \(1/notes.txt, config.pbtxt\)"):
        refuse_to_overwrite(existing_model(folder), SOURCE)


def test_another_checkpoint_is_kept(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="serves another checkpoint"):
        refuse_to_overwrite(existing_model(model_folder(tmp_path / "a")), {"weights_sha256": "11"})


def test_a_folder_of_someone_else_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(UserError, match="tbgen did not write it"):
        refuse_to_overwrite(existing_model(tmp_path / "a"), SOURCE)
