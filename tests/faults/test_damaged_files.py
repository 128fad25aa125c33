"""Files from outside that are damaged or hostile: each command says in one sentence what is wrong, and runs nothing."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export.errors import UserError
from tbgen.export.reading import json_from_text, text_from_file, tree_from_file
from tbgen.export.tokenizers.tokenizer import tokenizer_from_file
from tbgen.export.tokenizers.trial import failure_of_tokenizer
from tbgen.generator.check.check import check_repository
from tbgen.generator.originals import unpack_texts
from tbgen.generator.steps.catalogue import steps_here
from tests.faults.damage import Hostile
from tests.faults.reader_files import make
from tests.faults.reader_fuzz import fuzz, tries
from tests.faults.readers import READERS
from tests.faults.sweep import swept

SEED, COUNT = 1, 2_000


def said(*words: object) -> str:
    """The one sentence with which a command refuses, which is no traceback."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert isinstance(done.exception, SystemExit), done.exception
    (line,) = [line for line in done.output.splitlines() if line.startswith("Error: ")]
    return line.removeprefix("Error: ")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("bert", tmp_path_factory.mktemp("readers"))


@pytest.fixture
def folder(bert: Path, tmp_path: Path) -> Path:
    """A checkpoint's folder to be damaged."""
    return Path(shutil.copytree(bert, tmp_path / "checkpoint"))


def put(file: Path, **values: Any) -> None:
    """Give keys of a JSON file these values."""
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **values}), encoding="utf-8")


@pytest.mark.parametrize("also", [{}, {"sentence_transformers": {"version": "4.1.0"}}])  # a CrossEncoder too
@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"id2label": {"a": "b"}}, 'says id2label: {"a": "b"}; it must be an object of the classes by number'),
        ({"id2label": 5}, "says id2label: 5; it must be an object"),
        ({"id2label": {"9" * 5000: "b"}}, "says id2label: "),
        ({"max_position_embeddings": "x"}, 'says max_position_embeddings: "x"; it must be a whole number'),
        ({"max_position_embeddings": 10**12}, "must be a whole number from 1 on, at most 10,000,000"),
        ({"num_hidden_layers": 10**9}, "must be a whole number from 1 on, at most 1,000"),
        ({"architectures": [5]}, "says architectures: [5]; it must be a list of class names"),
        ({"vocab_size": None}, "says vocab_size: null; it must be a whole number"),
        ({"vocab_size": 9_000_000}, "describes a model of"),
        ({"num_attention_heads": 3}, "the width must be a whole multiple of the heads"),
        ({"num_labels": 10**12, "id2label": None}, "says num_labels: 1000000000000; it must be a whole number"),
    ],
)
def test_config_json(folder: Path, tmp_path: Path, values: dict[str, Any], sentence: str, also: dict[str, Any]) -> None:
    put(folder / "config.json", **values, **also)
    assert sentence in said("export", "onnx", "--source", folder, "-o", tmp_path / "out")


def test_config_json_beside_an_engine_file(folder: Path, tmp_path: Path) -> None:
    put(folder / "config.json", max_position_embeddings="x")
    (folder / "model.onnx").write_bytes(b"\x08\x07")
    sentence = said("export", "onnx", "--source", folder / "model.onnx", "-o", tmp_path / "out")
    assert 'says max_position_embeddings: "x"' in sentence


@pytest.mark.parametrize("place", ["../../etc/passwd", "/etc/passwd", "a/b", "..", "", 5, None])
def test_weights_lie_in_the_folder_that_their_index_is_in(folder: Path, tmp_path: Path, place: Any) -> None:
    (folder / "model.safetensors").unlink()
    put(folder / "config.json")
    index = {"weight_map": {"a": place}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    sentence = said("export", "onnx", "--source", folder, "-o", tmp_path / "out")
    assert "it must be an object, each value the name of a file beside it" in sentence


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
@pytest.mark.parametrize("what", [Hostile(), {"a": Hostile()}, {"a": 5}, []])
def test_a_pickle_is_not_run_and_nobody_is_told_to(folder: Path, tmp_path: Path, name: str, what: Any) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(what))
    source = ("--source", folder) if name.endswith("bin") else ("--source", folder / name, "--tokenizer", folder)
    sentence = said("export", "onnx", *source, "-o", tmp_path / "out")
    assert "weights_only" not in sentence
    assert "holds no plain state dict" in sentence or "holds no dict of tensors" in sentence


def test_a_pickle_larger_than_its_file_is_not_unpacked(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"bert.embeddings.word_embeddings.weight": torch.zeros(1).expand(10**10)}, folder / "pytorch_model.bin")
    assert "and not all its numbers" in said("export", "onnx", "--source", folder, "-o", tmp_path / "out")


def test_weights_of_a_module(tmp_path: Path) -> None:
    folder = make("sentence", tmp_path)
    file = folder / "2_Dense" / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:200])
    assert "2_Dense/pytorch_model.bin cannot be read" in said(
        "export", "onnx", "--source", folder, "-o", tmp_path / "o"
    )


def test_a_label_file_outside_of_the_model(sample_repository: Path, tmp_path: Path) -> None:
    repository = Path(shutil.copytree(sample_repository, tmp_path / "models"))
    file = repository / "kcbert_onnx" / "config.pbtxt"
    for place in ("/etc/passwd", "../../../../../../../../etc/passwd"):
        text = file.read_text(encoding="utf-8").replace("output {", f'output {{\n  label_filename: "{place}"', 1)
        (tmp_path / "text").write_text(text, encoding="utf-8")
        shutil.copyfile(tmp_path / "text", file)
        assert any("passwd" in finding.place.file + finding.says for finding in check_repository(repository))
        shutil.copyfile(sample_repository / "kcbert_onnx" / "config.pbtxt", file)


@pytest.mark.parametrize("values", [{"files": 5}, {"settings": []}, {"name": None}, {"export": {"labels": 5}}])
def test_a_record_of_odd_types(sample_repository: Path, tmp_path: Path, values: dict[str, Any]) -> None:
    repository = Path(shutil.copytree(sample_repository, tmp_path / "models"))
    for model in repository.iterdir():
        put(model / "tbgen.json", **values)
    assert all("no record of tbgen's" in finding.says for finding in check_repository(repository))
    assert "holds no model that tbgen wrote" in said("update", "kcbert", "-r", repository)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"name: 5", b"[[[[", b'name: "\\377"'])
@pytest.mark.parametrize(
    "words",
    [
        ("run", "kcbert_onnx_bls", "글", "-r", "{}"),
        ("client", "kcbert_onnx_bls", "-r", "{}"),
        ("deploy", "copy", "{}", "{}/../target", "--no-server"),
        ("env", "pack", "kcbert_onnx_bls", "-p", "numpy", "-r", "{}"),
    ],
)
def test_a_config_that_is_none(sample_repository: Path, tmp_path: Path, words: tuple[str, ...], content: bytes) -> None:
    repository = Path(shutil.copytree(sample_repository, tmp_path / "models"))
    (tmp_path / "target").mkdir()
    (repository / "kcbert_onnx_bls" / "config.pbtxt").write_bytes(content)
    sentence = said(*(word.replace("{}", str(repository)) for word in words))
    assert "is not UTF-8" in sentence or "is no configuration of a model" in sentence


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("input {data_type: 2147483648}", "Value out of range: 2147483648"),
        ('model_warmup {inputs {key: "a" value {data_type: -1}}}', '"inference.DataType" has no value numbered -1'),
    ],
)
def test_a_config_of_odd_numbers(sample_repository: Path, tmp_path: Path, text: str, reason: str) -> None:
    repository = Path(shutil.copytree(sample_repository, tmp_path / "models"))
    file = repository / "kcbert_onnx" / "config.pbtxt"
    file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")
    assert any(reason in finding.says for finding in check_repository(repository))
    assert reason in said("client", "kcbert_onnx", "-r", repository)


def test_a_name_with_a_zero_byte(sample_repository: Path, tmp_path: Path) -> None:
    repository = Path(shutil.copytree(sample_repository, tmp_path / "models"))
    steps = repository / "kcbert_onnx_bls" / "1" / "steps.json"
    steps.write_text(steps.read_text(encoding="utf-8").replace("kcbert_onnx", "a\\u0000b"), encoding="utf-8")
    assert "is not found" in " ".join(finding.says for finding in check_repository(repository))
    assert not CliRunner().invoke(main, ["show", "kcbert_onnx_bls", "-r", str(repository)]).exit_code
    with pytest.raises(UserError, match="has a zero byte"):
        text_from_file(tmp_path / "a\0b")


def test_two_deployments_at_once(sample_repository: Path, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    words = ["deploy", "copy", str(sample_repository), str(tmp_path / "target"), "--no-server", "--json"]
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(lambda: CliRunner().invoke(main, words)) for _ in range(2)]
    assert all(done.result().exception is None or isinstance(done.result().exception, SystemExit) for done in both)
    assert 0 in [done.result().exit_code for done in both]


def test_a_sentence_quotes_long_values_in_part() -> None:
    path = "/" + "a" * 250
    assert UserError(f"no {path!r}; write it").message == f"no {path!r}; write it"
    assert UserError(f"no {'x' * 5000!r}; write it").message == f"no '{'x' * 149}...{'x' * 98}'; write it"
    said = UserError(f"no class {'x ' * 5000}; write it").message
    assert len(said) < 4000
    assert said.endswith("; write it")


def test_texts_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a\xffb")
    with pytest.raises(UserError, match=r"is not UTF-8 \(byte 2 is 0xff\)"):
        text_from_file(tmp_path / "a")
    for text in ("[" * 100_000, "1" * 5000, '"\\ud800"', ""):
        with pytest.raises(UserError, match="here is not JSON"):
            json_from_text(text, "here")
    for code in ("a = (", "a\0", "-" * 100_000 + "1", "(" * 100_000):
        (tmp_path / "a.py").write_text(code, encoding="utf-8")
        with pytest.raises(UserError, match="is not Python"):
            tree_from_file(tmp_path / "a.py")


def test_classes_that_are_derived_from_each_other(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("class A(B): pass\nclass B(A): pass\n", encoding="utf-8")
    assert not [row for row in steps_here(tmp_path) if row.place.endswith(("A", "B")) and "a.py" in row.place]


def test_packed_texts_are_not_unpacked_without_end() -> None:
    assert unpack_texts("QlpoOTFBWSZTWQ==") == unpack_texts("no base64") == {}


FEW = ("jsonl", "csv", "recipe", "config.json", "safetensors", "pickles", "config.pbtxt, seven commands")


@pytest.mark.parametrize("name", FEW)
def test_a_few_tries_of_the_fuzzer(name: str, tmp_path: Path) -> None:
    outcomes = [*tries(READERS[name], make(READERS[name].make, tmp_path), range(12), SEED)]
    assert [row for row in outcomes if row[1] not in ("taken", "refused")] == []


SOME = {"jsonl": 1, "csv": 1, "recipe": 1, "config.json": 40, "tokenizer files": 150, "sentence-transformers": 120}


@pytest.mark.parametrize(
    ("name", "step"),
    [*SOME.items(), *(pytest.param(name, 1, marks=pytest.mark.soak, id=f"all of {name}") for name in READERS)],
)
def test_every_value_and_every_form(name: str, step: int, tmp_path: Path) -> None:
    """Each key that is read with each kind of value, each text in each form; quick: every `step`-th of them."""
    found = [*swept(READERS[name], make(READERS[name].make, tmp_path), step)]
    print(f"\n{name}: {len(found)} tries, {sum(row[2] == 'refused' for row in found)} refused")
    assert [row for row in found if row[2] not in ("taken", "refused")] == []


def deadly(file: Path) -> str:
    """A tokenizer.json's text with a table of characters that has no end: at its read the library ends the process."""
    content = json.loads(file.read_text(encoding="utf-8"))
    return json.dumps(content | {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "/////wAAAAA="}})


@pytest.mark.parametrize("written", [str, lambda text: text.replace("subword_prefix", "subword_pre\\u0066ix")])
def test_merges_without_their_prefix(written: Callable[[str], str], tmp_path: Path) -> None:
    file = make("roberta", tmp_path) / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["model"]["continuing_subword_prefix"] = "x"
    file.write_text(written(json.dumps(content)), encoding="utf-8")
    assert "its merges lack the prefix of continuing subwords" in said(
        "export", "onnx", "--source", file.parent, "-o", tmp_path / "out"
    )


def test_an_id_that_no_vocabulary_has(folder: Path, tmp_path: Path) -> None:
    """For transformers 5.17 it is the length of a list: 8 GB."""
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["model"]["vocab"]["금리"] = 2**31
    file.write_text(json.dumps(content), encoding="utf-8")
    sentence = said("export", "onnx", "--source", folder, "-o", tmp_path / "out")
    assert "the id of '금리' is 2147483648, and 9,999,999 is the last one that a vocabulary has" in sentence


def test_a_tokenizer_that_the_library_would_not_survive(folder: Path, tmp_path: Path) -> None:
    file = folder / "tokenizer.json"
    file.write_text(deadly(file), encoding="utf-8")
    assert "it ends the process, or takes over 4 GB" in said(
        "export", "onnx", "--source", folder, "-o", tmp_path / "out"
    )


def test_a_model_whose_tokenizer_the_library_would_not_survive(tmp_path: Path) -> None:
    repository = make("models", tmp_path)
    file = repository / "m_onnx_bls" / "1" / "tokenizer.json"
    file.write_text(deadly(file), encoding="utf-8")
    assert "it ends the process, or takes over 4 GB" in said("run", "m_onnx_bls", "좋다", "-r", repository)
    (finding,) = [each for each in check_repository(repository) if "it ends the process" in each.says]
    assert (finding.place.file, finding.severity) == ("m_onnx_bls/1/tokenizer.json", "error")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("XCPU", "it takes over 10 s of the processor"),
        ("ABRT", "it ends the process, or takes over 4 GB of memory"),
        ("SEGV", "it ends the process"),
    ],
)
def test_the_signal_that_ends_a_trial_is_told(
    name: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure_of_tokenizer.cache_clear()
    monkeypatch.setattr("sys.executable", ended_by(name, tmp_path / "python"))
    assert failure_of_tokenizer("") == says


def test_a_trial_that_the_machine_killed_is_taken_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure_of_tokenizer.cache_clear()
    with monkeypatch.context() as changed:
        changed.setattr("sys.executable", ended_by("KILL", tmp_path / "python"))
        with pytest.raises(UserError, match=r"was killed, as a machine does whose memory is full; run it again"):
            tokenizer_from_file(folder / "tokenizer.json")
    assert tokenizer_from_file(folder / "tokenizer.json").get_vocab_size()


def ended_by(name: str, program: Path) -> str:
    """A program that a signal ends."""
    program.write_text(f"#!/bin/sh\nkill -{name} $$\n", encoding="utf-8")
    program.chmod(0o755)
    return str(program)


@pytest.mark.soak
def test_a_tokenizer_that_comes_to_no_end(folder: Path) -> None:
    double = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
    put(folder / "tokenizer.json", normalizer={"type": "Sequence", "normalizers": [double] * 40})
    with pytest.raises(UserError, match=r"can read \(it takes over 10 s of the processor\)"):
        tokenizer_from_file(folder / "tokenizer.json")


@pytest.mark.soak
@pytest.mark.parametrize("name", READERS)
def test_two_thousand(name: str, tmp_path: Path) -> None:
    figures = fuzz(name, COUNT, tmp_path, SEED)
    print(f"\n{name}: {figures.taken} taken, {figures.refused} refused, {figures.bad}")
    assert figures.good
