from pathlib import Path

import pytest

from tbgen.export.errors import UserError
from tbgen.generator.check.model import CONFIG
from tbgen.server.deploy.deploy import deploy, deployment_plan
from tbgen.server.deploy.folder_store import FolderStore
from tbgen.server.deploy.release import check_config, config_of, model_versions
from tests.triton.counting import TENSORS, write_counting

OLD = config_of("m", TENSORS)


def tree(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def copied(source: Path, target: Path, *, keep: int = 2) -> dict[str, int | None]:
    with FolderStore(target) as store:
        changes = deployment_plan(source, store)
        deploy(changes, store, None, keep=keep)
    return {change.release.name: change.version for change in changes}


def test_parts_come_before_the_ensemble(tmp_path: Path) -> None:
    repository = write_counting(tmp_path, 1)
    (repository / "count_ensemble").rename(repository / "a_ensemble")
    assert [release.name for release in model_versions(repository)] == ["count", "a_ensemble"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("TYPE_FP32", "TYPE_FP64", "'m' in the target has other outputs"),
        ('"text"', '"texts"', "'m' in the target has other inputs"),
        ("max_batch_size: 8", "max_batch_size: 4", "'m' would take 4 items at most instead of 8"),
    ],
)
def test_what_others_rely_on_may_not_change(old: str, new: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        check_config("m", OLD, config_of("m", TENSORS.replace(old, new)))
    assert error.value.message.startswith(sentence)


def test_what_only_the_model_uses_may_change() -> None:
    check_config("m", OLD, config_of("m", TENSORS.replace("max_batch_size: 8", "max_batch_size: 16")))
    check_config("m", OLD, config_of("m", TENSORS + "instance_group { count: 3 } dynamic_batching {}"))


def test_a_config_of_several_served_versions_stays() -> None:
    several = config_of("m", TENSORS + "version_policy { all {} }")
    check_config("m", several, several)
    with pytest.raises(UserError, match="serves several versions"):
        check_config("m", several, OLD)


def test_copied_once_changed_once(tmp_path: Path) -> None:
    source = write_counting(tmp_path / "source", 1)
    (tmp_path / "target").mkdir()
    assert copied(source, tmp_path / "target") == {"count": 1, "count_ensemble": 1}
    assert "count_ensemble/1/README" in tree(tmp_path / "target")
    assert copied(source, tmp_path / "target") == {"count": None, "count_ensemble": None}
    write_counting(source, 2)
    assert copied(source, tmp_path / "target") == {"count": 2, "count_ensemble": None}
    assert (tmp_path / "target/count/2/number.txt").read_text(encoding="utf-8") == "2"


def test_old_versions_go_but_not_where_several_are_served(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    for number in range(4):
        copied(write_counting(tmp_path / "source", number), tmp_path / "target")
    assert sorted(each.name for each in (tmp_path / "target/count").iterdir()) == ["3", "4", CONFIG]
    for repository in ("source", "target"):
        with (tmp_path / repository / "count" / CONFIG).open("a", encoding="utf-8") as file:
            file.write("version_policy { latest { num_versions: 2 } }\n")
    copied(write_counting_keeping_config(tmp_path / "source", 9), tmp_path / "target")
    assert sorted(each.name for each in (tmp_path / "target/count").iterdir()) == ["3", "4", "5", CONFIG]


def write_counting_keeping_config(repository: Path, number: int) -> Path:
    (repository / "count" / "1" / "number.txt").write_text(str(number), encoding="utf-8")
    return repository


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    source = write_counting(tmp_path / "source", 1)
    target = write_counting(tmp_path / "target", 2)
    before = tree(tmp_path)
    with FolderStore(target) as store:
        assert [change.version for change in deployment_plan(source, store)] == [2, None]
    assert tree(tmp_path) == before


def test_an_engine_and_its_vocabulary_do_not_change_together(tmp_path: Path) -> None:
    for repository, text in (("target", "old"), ("source", "new")):
        for model, file in (("shop_onnx", "model.onnx"), ("shop_tokenizer", "tokenizer.json")):
            backend = "onnxruntime" if model == "shop_onnx" else "python"
            (tmp_path / repository / model / "1").mkdir(parents=True)
            (tmp_path / repository / model / "1" / file).write_text(text, encoding="utf-8")
            (tmp_path / repository / model / CONFIG).write_text(f'backend: "{backend}" {TENSORS}', encoding="utf-8")
    with FolderStore(tmp_path / "target") as store, pytest.raises(UserError, match="'shop_tokenizer' has other tokens"):
        deployment_plan(tmp_path / "source", store)
    (tmp_path / "source/shop_tokenizer/1/tokenizer.json").write_text("old", encoding="utf-8")
    assert copied(tmp_path / "source", tmp_path / "target") == {"shop_onnx": 2, "shop_tokenizer": None}


@pytest.mark.parametrize(
    ("gone", "sentence"), [("count/config.pbtxt", "has no config.pbtxt"), ("count/1", "has no version folder")]
)
def test_a_folder_that_is_no_model(gone: str, sentence: str, tmp_path: Path) -> None:
    write_counting(tmp_path, 1)
    (tmp_path / gone).rename(tmp_path / "count_ensemble" / "moved")
    with pytest.raises(UserError, match=sentence):
        model_versions(tmp_path)
