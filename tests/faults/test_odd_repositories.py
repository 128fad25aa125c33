"""Repositories and checkpoints of others that are odd in one place: a sentence of every command, never a traceback."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from google.protobuf import text_format
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tbgen.cli.main import main
from tbgen.export.errors import UserError
from tbgen.generator.check.check import check_repository
from tbgen.generator.check.onnx_file import NotOnnx, read_onnx
from tbgen.generator.pipeline import Box, Pipeline, pipeline_of
from tbgen.generator.pipeline_svg import svg_of_pipeline
from tbgen.generator.texts import TextFile
from tbgen.server.deploy.folder_store import FolderStore
from tbgen.server.deploy.release import versions_among
from tbgen.server.embedded import leftovers
from tests.triton.counting import write_counting


def said(*words: object) -> str:
    """What a command says in the end, which is no traceback."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.output


def ensemble(repository: Path, name: str, *parts: str) -> None:
    """An ensemble that calls others, one text to each."""
    (repository / name / "1").mkdir(parents=True)
    config = ModelConfig(name=name, platform="ensemble", max_batch_size=1)
    config.input.add(name="x", data_type="TYPE_STRING", dims=[1])
    config.output.add(name="y0", data_type="TYPE_STRING", dims=[1])
    for number, part in enumerate(parts):
        step = config.ensemble_scheduling.step.add(model_name=part, model_version=-1)
        step.input_map["x"], step.output_map["y0"] = "x", f"y{number}"
    (repository / name / "config.pbtxt").write_text(text_format.MessageToString(config), encoding="utf-8")


@pytest.mark.parametrize("command", [("show", "a"), ("run", "a", "글")])
@pytest.mark.parametrize("calls", [{"a": ["a"]}, {"a": ["b"], "b": ["a"]}, {"a": ["b"], "b": ["c", "b"], "c": []}])
def test_models_that_call_each_other_in_a_circle(
    calls: dict[str, list[str]], command: tuple[str, ...], tmp_path: Path
) -> None:
    for name, parts in calls.items():
        ensemble(tmp_path, name, *parts)
    assert "no request to 'a' would end: a" in said(*command, "-r", tmp_path)


def test_folders_of_a_model_that_are_no_versions(sample_repository: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(sample_repository / "kcbert_onnx_bls", tmp_path / "models" / "kcbert_onnx_bls"))
    for name in ("backup", "²", "007"):
        shutil.copytree(model / "1", model / name)
    assert pipeline_of(model).boxes[0].lines == ("Tokenizer · max_length 300",)
    assert versions_among(["1", "²", "٣", "007", "12", "x", ""]) == (1, 12)


def test_old_versions_with_zeros_before_stay_where_they_are(tmp_path: Path) -> None:
    target = write_counting(tmp_path / "target", 1)
    (target / "count" / "007").mkdir()
    with FolderStore(target) as store:
        store.prune(target / "count", 1, [])
    assert (target / "count" / "007").is_dir()


@pytest.mark.parametrize("runtime", ["/etc/libx.so", "../x.so", "a**b", "**", "[", ""])
def test_a_backend_of_ones_own(runtime: str, tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    config = ModelConfig(name="m", backend="mine**", runtime=runtime)
    (tmp_path / "m" / "config.pbtxt").write_text(text_format.MessageToString(config), encoding="utf-8")
    assert any("unable to find backend library" in finding.says for finding in check_repository(tmp_path))


@pytest.mark.parametrize("number", ["9" * 5000, "x", "-", "٣"])
def test_numbers_of_a_config_that_are_none(sample_repository: Path, number: str, tmp_path: Path) -> None:
    repository = Path(shutil.copytree(sample_repository, tmp_path / "models"))
    for name, key in (("kcbert_onnx", "intra_op_thread_count"), ("kcbert_onnx_bls", "intra_op_thread_count")):
        file = repository / name / "config.pbtxt"
        config = text_format.Parse(file.read_text(encoding="utf-8"), ModelConfig())
        config.parameters[key].string_value = number
        config.instance_group[0].profile.append(number)
        file.write_text(text_format.MessageToString(config), encoding="utf-8")
    said("check", repository)
    said("deploy", "image", repository, "-o", tmp_path / "image")


@pytest.mark.parametrize("place", ["x", "9" * 5000, "-1", ""])
def test_weights_whose_place_is_no_number(place: str, tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    weight = numpy_helper.from_array(np.zeros(1, np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, said_there in (("location", "w"), ("offset", place)):
        weight.external_data.add(key=key, value=said_there)
    onnx.save(helper.make_model(helper.make_graph([], "g", [value], [value], [weight])), tmp_path / "m.onnx")
    if place == "-1":
        assert read_onnx(tmp_path / "m.onnx").external == {"w": 0}
    else:
        with pytest.raises(NotOnnx):
            read_onnx(tmp_path / "m.onnx")


def test_a_file_of_the_kernel_is_no_engine(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").symlink_to("/proc/self/status")
    with pytest.raises(NotOnnx, match="empty"):
        read_onnx(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"{}", b'{"components": [5]}', b'{"components": [{"type": "x"}]}', b"["]
)
def test_the_bill_of_a_package_that_is_damaged(content: bytes, tmp_path: Path) -> None:
    pytest.importorskip("cyclonedx")
    ensemble(tmp_path, "m")
    vendor = tmp_path / "m" / "1" / "vendor"
    (vendor / "tokenizers").mkdir(parents=True)
    (vendor / "tokenizers.cyclonedx.json").write_bytes(content)
    assert "tokenizers.cyclonedx.json' is" in said("sbom", tmp_path)
    (vendor / "tokenizers.cyclonedx.json").unlink()
    (vendor / "NOTICE").write_bytes(b"\xff")
    assert "NOTICE' is not UTF-8" in said("sbom", tmp_path)


def test_a_bill_names_every_file(tmp_path: Path) -> None:
    """In a folder named vendor, too, and under names that are no UTF-8."""
    pytest.importorskip("cyclonedx")
    repository = tmp_path / "vendor" / "models"
    ensemble(repository, "m")
    for name in ("1/vendor/NOTICE", "1/vendor/package/file.py", "vendor/file", "1/\udcff"):
        (repository / "m" / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / "m" / name).write_text("x", encoding="utf-8")
    said("sbom", repository, "-o", tmp_path / "bill.json")
    (model,) = json.loads((tmp_path / "bill.json").read_text(encoding="utf-8"))["components"]
    found = {part["name"] for part in model["components"]}
    assert found == {"config.pbtxt", "1/vendor/NOTICE", "vendor/file", "1/\udcff", "package"}


def test_a_drawing_is_xml_whatever_the_names() -> None:
    name = '<a href="x">\x1b[31m\0\ud800&"\'한글 🔥'
    drawn = svg_of_pipeline(Pipeline(name, name, (Box(name, name, (name,)),), ((name,), (name,))))
    root = ElementTree.fromstring(drawn.encode("utf-8"))
    assert '<a href="x">\ufffd[31m\ufffd\ufffd&"\'한글 🔥' in (root.get("aria-label") or "")


@pytest.mark.parametrize("value", ["[" * 5000, '{"a":' * 5000, "1" * 5000, '"\\ud800"', "NaN"])
def test_values_of_the_command_line(value: str, sample_repository: Path, tmp_path: Path) -> None:
    said("run", "kcbert_onnx_bls", "글", "-r", sample_repository, "--parameter", f"top_k={value}")
    said("scaffold", "shop", "--set", f"top_k={value}", "-r", tmp_path / "models")


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    with pytest.raises(UserError, match="line 1 of '/dev/zero' has more than 64 MB"):
        next(TextFile(Path("/dev/zero")).texts())


def test_what_others_leave_in_the_temporary_folder_is_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder whose name stands for many leaves the shared memory of others alone; so does one of another user's."""
    monkeypatch.setattr(leftovers.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(leftovers, "SHARED_MEMORY", tmp_path / "shm")
    (tmp_path / "shm").mkdir()
    (tmp_path / "shm" / "tbgen-server-living_1").touch()
    for name in ("tbgen-server-*", "tbgen-server-[a-z]"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lock").touch()
    leftovers.sweep()
    assert [each.name for each in tmp_path.iterdir()] == ["shm"]
    assert (tmp_path / "shm" / "tbgen-server-living_1").exists()
    if os.getuid() == 0:  # who alone can make a folder of another user's
        (tmp_path / "tbgen-server-other").mkdir()
        (tmp_path / "tbgen-server-other" / "lock").touch()
        os.chown(tmp_path / "tbgen-server-other", 12345, 12345)
        leftovers.sweep()
        assert (tmp_path / "tbgen-server-other").is_dir()


def test_bytes_that_are_no_utf_8_are_a_sentence(sample_repository: Path, tmp_path: Path) -> None:
    """As Python has them from a command line, and from a folder's names."""
    labels = [word for label in ("부정", "a\udcff", "긍정") for word in ("--label", label)]
    assert "is not UTF-8" in said("init", "kcbert", *labels, "-o", tmp_path / "tbgen.toml")
    assert not (tmp_path / "tbgen.toml").exists()
    repository = Path(shutil.copytree(sample_repository, tmp_path / "models\udcff"))
    assert "is not UTF-8" in said("deploy", "image", repository, "-o", tmp_path / "image")
    said("check", repository)
    said("sbom", repository)
    assert "부정" in said("show", "kcbert_onnx_bls", "-r", repository)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"engine": "x"}, "no engine 'x'"),
        ({"engine": None}, ""),
        ({"graph": None}, ""),
        ({"graph": "x"}, "no graph 'x'"),
        ({"queue": None}, ""),
        ({"queue": "x"}, "x"),
        ({"pre": [""]}, "cannot read '': it is empty"),
        ({"pre": ["'"]}, 'cannot read "\'": No closing quotation'),
        ({"task": "x"}, "'x'"),
        ({"device": "x"}, "no device 'x'"),
        ({"tokenizer": "x", "base": "x", "label_count": 5}, ""),
    ],
)
def test_settings_of_a_record(
    values: dict[str, object], sentence: str, sample_repository: Path, tmp_path: Path
) -> None:
    assert sentence in said("diff", "kcbert", "-r", with_settings(sample_repository, tmp_path / "models", values))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [({"engine": "x"}, "no engine 'x'"), ({"graph": "x", "queue": None, "task": "x"}, "does not say 'export'")],
)
def test_verify_says_what_a_record_lacks(
    values: dict[str, object], sentence: str, sample_repository: Path, tmp_path: Path
) -> None:
    repository = with_settings(sample_repository, tmp_path / "models", values, without="export")
    assert sentence in said("verify", "kcbert", "-r", repository)


def with_settings(sample: Path, repository: Path, values: dict[str, object], *, without: str = "") -> Path:
    """The sample repository, its records with other settings."""
    shutil.copytree(sample, repository)
    for file in repository.glob("*/tbgen.json"):
        record = json.loads(file.read_text(encoding="utf-8"))
        record["settings"] |= values
        record.pop(without, None)
        file.write_text(json.dumps(record), encoding="utf-8")
    return repository


def test_a_recipe_with_a_step_that_is_none(tmp_path: Path) -> None:
    for step in ('""', '"\'"', '"a.py:B \'"'):
        (tmp_path / "tbgen.toml").write_text(f'name = "m"\npre = [{step}]\n', encoding="utf-8")
        assert "cannot read" in said("scaffold", "--recipe", tmp_path / "tbgen.toml")


def test_code_that_is_nested_deeply_or_derived_by_many_ways(sample_repository: Path, tmp_path: Path) -> None:
    repository = Path(shutil.copytree(sample_repository, tmp_path / "models"))
    model = repository / "kcbert_onnx_bls" / "1"
    deep = f"if {'-' * 900}1:\n    import torch\n"
    many = "".join(f"class A{n}(A{n + 1}, B{n + 1}):\n    pass\nclass B{n}(A{n + 1}):\n    pass\n" for n in range(60))
    file = model / "own.py"
    file.write_text(f"{deep}{many}class A60:\n    pass\n", encoding="utf-8")
    steps = json.loads((model / "steps.json").read_text(encoding="utf-8"))
    steps["steps"].append({"file": "own.py", "class": "A0", "settings": {"a": 1}})
    (model / "steps.json").write_text(json.dumps(steps), encoding="utf-8")
    assert "No module named 'torch'" in said("check", repository)
    said("step", "test", file)


def test_ensembles_that_call_each_other_by_many_ways(tmp_path: Path) -> None:
    for level in range(40):
        for name in ("a", "b"):
            ensemble(tmp_path, f"{name}{level}", *(f"{each}{level + 1}" for each in ("a", "b") if level < 39))
    assert not any("circular" in finding.says for finding in check_repository(tmp_path))
    ensemble(tmp_path, "goal", "goal")
    assert any("circular dependency" in finding.says for finding in check_repository(tmp_path))


@pytest.mark.parametrize(
    "settings",
    [
        *({"inputs": {"outputs": value}} for value in ("x", [5, [1]], ["TYPE_X", [1]])),
        {"max_length": "x"},
    ],
)
def test_settings_of_steps_that_are_none(settings: dict[str, object], sample_repository: Path, tmp_path: Path) -> None:
    repository = Path(shutil.copytree(sample_repository, tmp_path / "models"))
    file = repository / "kcbert_onnx_bls" / "1" / "steps.json"
    listed = json.loads(file.read_text(encoding="utf-8"))
    for step in listed["steps"]:
        step["settings"] |= settings
    file.write_text(json.dumps(listed), encoding="utf-8")
    for words in (("check",), ("deploy", "image", "-o", tmp_path / "image")):
        said(*words, repository)
