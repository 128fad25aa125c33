import json
import shutil
import stat
from pathlib import Path

import pytest

from tbgen.export.errors import NoSuchName, UserError
from tbgen.generator.repository import MODEL_RECORD, write_record
from tbgen.generator.scaffold import Request, scaffold
from tbgen.generator.update import FileChange, apply, file_state, requests_from_records, three_way, update_of_request
from tests.generator.test_scaffold import hashes

SHOUT = """
import numpy as np

class Shout:
    inputs = {"input_text": ("TYPE_STRING", [1])}
    outputs = {"input_text": ("TYPE_STRING", [1])}

    def __init__(self, folder, *, suffix=""):
        self.suffix = suffix

    def __call__(self, input_text):
        return {"input_text": np.char.upper(input_text.astype(str)).astype(object) + self.suffix}
"""


@pytest.fixture(scope="module")
def written(sample_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("update") / "model_repository"
    scaffold(Request("shop", sample_export, graph="bls"), repository)
    return repository


@pytest.fixture
def repository(written: Path, tmp_path: Path) -> Path:
    return shutil.copytree(written, tmp_path / "r")


def as_an_older_tbgen_wrote_it(model: Path, name: str, text: str) -> None:
    """Another text in a file of the tool's own, in its record too."""
    record = json.loads((model / MODEL_RECORD).read_text(encoding="utf-8"))
    (model / name).write_text(text, encoding="utf-8")
    write_record(model, record)


def test_a_comparison_is_not_said_to_write_the_repository(repository: Path) -> None:
    said: list[str] = []
    ((request, models),) = requests_from_records(repository, "shop", None)
    with update_of_request(request, repository, models=models, on_progress=said.append):
        assert said[-1] == "Writing the models anew, to compare them"


def states(repository: Path, name: str = "shop") -> dict[str, str]:
    ((request, models),) = requests_from_records(repository, name, None)
    with update_of_request(request, repository, models=models) as update:
        return {f"{each.model}/{each.name}": each.state for each in update.changes if each.state != "same"}


def updated(repository: Path, *, force: bool = False) -> list[str]:
    ((request, models),) = requests_from_records(repository, "shop", None)
    with update_of_request(request, repository, models=models) as update:
        return apply(update, force=force)


@pytest.mark.parametrize(
    ("then", "stands", "now", "state"),
    [
        ("a", "a", "a", "same"),
        ("a", "b", "b", "same"),
        (None, None, "a", "new"),
        ("a", None, "a", "missing"),
        ("a", "a", "b", "updated"),
        ("a", "a", None, "removed"),
        ("a", "b", "a", "edited"),
        ("a", "b", "c", "conflict"),
        ("a", "b", None, "conflict"),
        (None, "b", "c", "namesake"),
        (None, "b", None, "own"),
    ],
)
def test_what_three_hashes_say(then: str | None, stands: str | None, now: str | None, state: str) -> None:
    assert file_state(then, stands, now) == state


def test_nothing_to_do_needs_no_source(repository: Path) -> None:
    before = hashes(repository)
    assert states(repository) == {}
    assert updated(repository) == []
    assert hashes(repository) == before


def test_own_files_are_updated(repository: Path, written: Path) -> None:
    as_an_older_tbgen_wrote_it(repository / "shop_onnx_bls", "1/engine_call.py", "# older\n")
    as_an_older_tbgen_wrote_it(repository / "shop_onnx_bls", "1/gone.py", "# no longer written\n")
    assert states(repository) == {"shop_onnx_bls/1/engine_call.py": "updated", "shop_onnx_bls/1/gone.py": "removed"}
    assert updated(repository) == ["shop_onnx_bls"]
    assert hashes(repository) == hashes(written)


def test_edited_files_are_kept_and_still_count_as_edited(repository: Path) -> None:
    config = repository / "shop_onnx_bls" / "config.pbtxt"
    config.write_text(config.read_text(encoding="utf-8").replace("count: 1", "count: 3"), encoding="utf-8")
    (repository / "shop_onnx_bls" / "notes.txt").write_text("메모", encoding="utf-8")
    edits = {"shop_onnx_bls/config.pbtxt": "edited", "shop_onnx_bls/notes.txt": "own"}
    assert states(repository) == edits
    updated(repository)
    assert states(repository) == edits
    assert "count: 3" in config.read_text(encoding="utf-8")


def test_an_edit_and_a_change_of_the_tool_are_shown_apart(repository: Path) -> None:
    model = repository / "shop_onnx_bls"
    now = (model / "config.pbtxt").read_text(encoding="utf-8")
    as_an_older_tbgen_wrote_it(model, "config.pbtxt", now.replace("max_batch_size: 128", "max_batch_size: 64"))
    mine = (model / "config.pbtxt").read_text(encoding="utf-8").replace("count: 1", "count: 3")
    (model / "config.pbtxt").write_text(mine, encoding="utf-8")
    ((request, models),) = requests_from_records(repository, "shop", None)
    with update_of_request(request, repository, models=models) as update:
        (change,) = [each for each in update.changes if each.state == "conflict"]
        apply(update)
    yours, tools = [dict([side]) for side in three_way(change)]
    assert "-  count: 1\n+  count: 3" in yours["you changed"]
    assert "max_batch_size" not in yours["you changed"]
    assert "-max_batch_size: 64\n+max_batch_size: 128" in tools["tbgen changed"]
    assert (model / "config.pbtxt").read_text(encoding="utf-8") == mine


def test_a_step_of_ones_own_is_taken_from_the_models(sample_export: Path, tmp_path: Path) -> None:
    (tmp_path / "shout.py").write_text(SHOUT, encoding="utf-8")
    repository = tmp_path / "r"
    scaffold(Request("shop", sample_export, graph="bls", pre=(f"{tmp_path}/shout.py:Shout suffix='!'",)), repository)
    record = (repository / "shop_onnx_bls" / MODEL_RECORD).read_text(encoding="utf-8")
    assert "shout.py:Shout" in record
    assert str(tmp_path) not in record
    (tmp_path / "shout.py").unlink()
    assert states(repository) == {}
    step = repository / "shop_onnx_bls" / "1" / "shout.py"
    step.write_text(SHOUT.replace("upper", "lower"), encoding="utf-8")
    assert updated(repository) == ["shop_onnx_bls"]
    assert "lower" in step.read_text(encoding="utf-8")


def test_each_model_is_updated_as_it_was_asked_for(sample_export: Path, tmp_path: Path) -> None:
    (tmp_path / "shout.py").write_text(SHOUT, encoding="utf-8")
    repository = tmp_path / "r"
    assert scaffold(Request("shop", sample_export), repository).warnings == ()
    step = (f"{tmp_path}/shout.py:Shout suffix='!'",)
    (warning,) = scaffold(Request("shop", sample_export, graph="ensemble", pre=step), repository, force=True).warnings
    assert warning.startswith(f"{repository}/shop_onnx_bls was written with other settings (pre) ")
    before = hashes(repository)
    asked = requests_from_records(repository, "shop", None)
    assert {request.pre != (): models for request, models in asked} == {
        False: ("shop_onnx_bls",),
        True: ("shop_onnx", "shop_onnx_ensemble", "shop_postprocess", "shop_tokenizer"),
    }
    for request, models in asked:
        with update_of_request(request, repository, models=models) as update:
            assert update.models
            assert apply(update, force=True) == []
    assert hashes(repository) == before
    assert (repository / "shop_tokenizer" / "1" / "shout.py").is_file()


def test_force_replaces_edits_but_not_a_persons_own_files(repository: Path, written: Path) -> None:
    (repository / "shop_onnx_bls" / "config.pbtxt").write_text("mine", encoding="utf-8")
    (repository / "shop_onnx_bls" / "notes.txt").write_text("mine", encoding="utf-8")
    updated(repository, force=True)
    assert hashes(repository) == hashes(written) | {
        "shop_onnx_bls/notes.txt": hashes(repository)["shop_onnx_bls/notes.txt"]
    }


LINKS = {"1/file": "model.py", "1/folder": "../../shop_onnx", "2": "1", "nowhere": "/none", "1/out": "/etc/passwd"}


@pytest.mark.parametrize("force", [False, True])
def test_nothing_of_a_persons_is_lost(force: bool, repository: Path) -> None:
    """Links to a file, to a folder, outside, to nowhere; an empty version folder; files with names of tbgen's own."""
    model = repository / "shop_onnx_bls"
    as_an_older_tbgen_wrote_it(model, "config.pbtxt", "old")
    for name, target in LINKS.items():
        (model / name).symlink_to(target)
    (model / "1").chmod(0o700)
    for name in ("3/deep", "1/.hidden"):
        (model / name).mkdir(parents=True)
    for name in ("1/tbgen.json", "1/config.pbtxt", "1/vendor/mine.py", ".hidden"):
        (model / name).write_text("mine", encoding="utf-8")
    assert updated(repository, force=force) == ["shop_onnx_bls"]
    assert {name: str((model / name).readlink()) for name in LINKS} == LINKS
    assert stat.S_IMODE((model / "1").stat().st_mode) == 0o700
    assert list((model / "3" / "deep").iterdir()) == list((model / "1" / ".hidden").iterdir()) == []
    for name in ("1/tbgen.json", "1/config.pbtxt", "1/vendor/mine.py", ".hidden"):
        assert (model / name).read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("force", [False, True])
def test_a_link_in_the_place_of_what_tbgen_writes(force: bool, repository: Path, tmp_path: Path) -> None:
    """An edit, whether it leads to a file or a folder: kept but with `force`, and what it leads to always."""
    model, elsewhere = repository / "shop_onnx_bls" / "1", tmp_path / "elsewhere"
    as_an_older_tbgen_wrote_it(model.parent, "config.pbtxt", "old")
    elsewhere.mkdir()
    for name in ("vendor", "clients.py"):
        (model / name).rename(elsewhere / name)
        (model / name).symlink_to(elsewhere / name)
    before = hashes(elsewhere)
    edits = {"shop_onnx_bls/1/clients.py": "edited", "shop_onnx_bls/1/vendor": "edited"}
    assert states(repository) == edits | {"shop_onnx_bls/config.pbtxt": "updated"}
    updated(repository, force=force)
    assert {(model / name).is_symlink() for name in ("vendor", "clients.py")} == {not force}
    assert states(repository) == ({} if force else edits)
    assert hashes(elsewhere) == before


def test_a_file_whose_name_tbgen_has_come_to_use_is_kept(repository: Path) -> None:
    model = repository / "shop_onnx_bls"
    record = json.loads((model / MODEL_RECORD).read_text(encoding="utf-8"))
    del record["files"]["1/clients.py"]
    (model / MODEL_RECORD).write_text(json.dumps(record), encoding="utf-8")
    (model / "1" / "clients.py").write_text("mine", encoding="utf-8")
    for force in (False, True):
        assert states(repository) == {"shop_onnx_bls/1/clients.py": "namesake"}
        updated(repository, force=force)
        assert (model / "1" / "clients.py").read_text(encoding="utf-8") == "mine"


def test_an_edit_since_the_comparison_is_not_lost(repository: Path) -> None:
    config = repository / "shop_onnx_bls" / "config.pbtxt"
    as_an_older_tbgen_wrote_it(config.parent, "config.pbtxt", "old")
    ((request, models),) = requests_from_records(repository, "shop", None)
    with update_of_request(request, repository, models=models) as update:
        config.write_text("mine, just now", encoding="utf-8")
        with pytest.raises(UserError, match=r"shop_onnx_bls was changed while it was compared"):
            apply(update)
    assert config.read_text(encoding="utf-8") == "mine, just now"


def test_what_is_written_anew_is_as_open_as_what_stood_there(repository: Path) -> None:
    model, modes = repository / "shop_onnx_bls", {"config.pbtxt": 0o600, "1/model.py": 0o744, "1": 0o750, ".": 0o711}
    as_an_older_tbgen_wrote_it(model, "config.pbtxt", "old")
    for name, mode in modes.items():
        (model / name).chmod(mode)
    assert updated(repository) == ["shop_onnx_bls"]
    assert {name: (model / name).stat().st_mode & 0o777 for name in modes} == modes


def test_a_model_that_is_a_link_is_not_replaced(repository: Path, tmp_path: Path) -> None:
    as_an_older_tbgen_wrote_it(repository / "shop_onnx_bls", "config.pbtxt", "old")
    (repository / "shop_onnx_bls").rename(tmp_path / "elsewhere")
    (repository / "shop_onnx_bls").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="shop_onnx_bls is a link to"):
        updated(repository)
    assert (repository / "shop_onnx_bls" / "config.pbtxt").read_text(encoding="utf-8") == "old"


def test_what_git_left_out_is_written_again(repository: Path, written: Path, sample_export: Path) -> None:
    (repository / "shop_onnx" / "1" / "model.onnx").unlink()
    shutil.rmtree(repository / "shop_onnx_bls" / "1" / "vendor")
    ((request, models),) = requests_from_records(repository, "shop_onnx_bls", sample_export)
    with update_of_request(request, repository, models=models) as update:
        assert update.same_source
        apply(update)
    assert hashes(repository) == hashes(written)


@pytest.mark.parametrize("graph", ["bls", "single", "ensemble"])
def test_each_graph_is_updated_where_its_source_is_gone(graph: str, sample_export: Path, tmp_path: Path) -> None:
    source, repository = shutil.copytree(sample_export, tmp_path / "source"), tmp_path / "r"
    scaffold(Request("shop", source, graph=graph), repository)
    shutil.rmtree(source)
    before = hashes(repository)
    assert states(repository) == {}
    assert updated(repository, force=True) == []
    (front,) = repository.glob(f"*_{graph}")
    as_an_older_tbgen_wrote_it(front, "config.pbtxt", "old")
    assert updated(repository) == [front.name]
    assert hashes(repository) == before


def test_a_single_model_is_updated_with_its_own_engine(sample_export: Path, tmp_path: Path) -> None:
    """The same name has another engine file beside it, in a model of its own."""
    repository, other = tmp_path / "r", shutil.copytree(sample_export, tmp_path / "other")
    scaffold(Request("shop", sample_export, graph="single"), repository)
    scaffold(Request("shop", other, graph="bls", labels=("a", "b", "c")), repository)
    asked = requests_from_records(repository, "shop", None)
    assert [models[-1] for _, models in asked] == ["shop_onnx_bls", "shop_onnx_single"]
    for request, models in asked:
        with update_of_request(request, repository, models=models) as update:
            assert {change.state for change in update.changes} == {"same"}


def test_without_engine_and_source_it_asks_for_the_source(repository: Path) -> None:
    (repository / "shop_onnx" / "1" / "model.onnx").write_bytes(b"edited")
    with pytest.raises(UserError, match="name your checkpoint with --source DIR"):
        states(repository)


def test_a_name_that_is_not_there(repository: Path) -> None:
    with pytest.raises(NoSuchName, match=r"no name 'kcbert'. Names: shop"):
        requests_from_records(repository, "kcbert", None)


def test_a_file_of_unknown_origin_is_shown_against_the_tools() -> None:
    change = FileChange("m", "labels.txt", "conflict", None, "a\n", "b\n")
    assert three_way(change)[0][0] == "yours against what tbgen writes now"


def test_where_there_is_nothing_of_tbgen(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none' is not there; name another with --repository"):
        requests_from_records(tmp_path / "none", "kcbert", None)
    with pytest.raises(UserError, match="holds no model that tbgen wrote"):
        requests_from_records(tmp_path, "kcbert", None)


@pytest.mark.parametrize("values", [{}, {"settings": {"queue": 4}}, {"files": []}])
def test_what_a_newer_tbgen_wrote_is_left_to_it(values: dict[str, object], repository: Path) -> None:
    """It may say what this one cannot read, or would silently leave out."""
    for file in repository.glob(f"*/{MODEL_RECORD}"):
        record = json.loads(file.read_text(encoding="utf-8")) | {"tbgen": "99.0rc1"} | values
        file.write_text(json.dumps(record), encoding="utf-8")
    before = hashes(repository)
    for act in (updated, states):
        with pytest.raises(UserError, match=r"tbgen 99\.0rc1 wrote .*, which is newer than this one"):
            act(repository)
    assert hashes(repository) == before
