from pathlib import Path

import pytest

from tbgen.export.errors import UserError
from tbgen.generator.repository import publish, refuse_to_overwrite, staged, standing_model, write_record

SOURCE = {"weights_sha256": "00"}


def model_folder(folder: Path, text: str = "new") -> Path:
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(text, encoding="utf-8")
    (folder / "1" / "model.onnx").write_text(text, encoding="utf-8")
    write_record(folder, {"source": SOURCE})
    return folder


def test_models_are_moved_in_together(tmp_path: Path) -> None:
    with staged(tmp_path / "repository") as staging:
        model_folder(staging / "a")
        model_folder(staging / "b")
        publish(staging, tmp_path / "repository", ["a", "b"])
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["repository"]
    assert sorted(folder.name for folder in (tmp_path / "repository").iterdir()) == ["a", "b"]


def test_a_failure_puts_back_what_stood_there(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    model_folder(repository / "a", "old")
    with staged(repository) as staging:
        model_folder(staging / "a")
        model_folder(staging / "new")
        with pytest.raises(FileNotFoundError):
            publish(staging, repository, ["new", "a", "missing"])
    assert [folder.name for folder in repository.iterdir()] == ["a"]
    assert (repository / "a" / "config.pbtxt").read_text(encoding="utf-8") == "old"


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), staged(tmp_path / "repository") as staging:
        model_folder(staging / "a")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_linked_repository_is_written_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "disk" / "repository").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "repository")
    with staged(tmp_path / "link") as staging:
        assert staging.parent == tmp_path / "disk"
        model_folder(staging / "a")
        publish(staging, tmp_path / "link", ["a"])
    assert (tmp_path / "disk" / "repository" / "a" / "config.pbtxt").exists()


def test_the_working_folder_is_not_written_into_before_all_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")
    with staged(Path()) as staging:
        assert staging.parent == tmp_path


@pytest.mark.skipif(not Path("/dev/shm").is_mount(), reason="needs a mount point")
def test_a_mount_point_is_refused() -> None:
    with (
        pytest.raises(UserError, match=r"^/dev/shm is a mount point, .* name a folder in it, or"),
        staged(Path("/dev/shm")),
    ):
        pass


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"^cannot write to .*file': "), staged(tmp_path / "file" / "repository"):
        pass


def test_its_own_unedited_model_may_be_replaced(tmp_path: Path) -> None:
    refuse_to_overwrite(standing_model(model_folder(tmp_path / "a")), SOURCE)
    refuse_to_overwrite(standing_model(tmp_path / "none"), SOURCE)


def test_a_file_that_git_left_out_is_no_edit(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "a")
    (folder / "1" / "model.onnx").unlink()
    refuse_to_overwrite(standing_model(folder), SOURCE)


def test_an_edited_model_is_kept(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "a")
    (folder / "config.pbtxt").write_text("mine", encoding="utf-8")
    (folder / "1" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=r"was edited since tbgen wrote it \(1/notes.txt, config.pbtxt\)"):
        refuse_to_overwrite(standing_model(folder), SOURCE)


def test_another_checkpoint_is_kept(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="serves another checkpoint"):
        refuse_to_overwrite(standing_model(model_folder(tmp_path / "a")), {"weights_sha256": "11"})


def test_a_folder_of_someone_else_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(UserError, match="tbgen did not write it"):
        refuse_to_overwrite(standing_model(tmp_path / "a"), SOURCE)
