"""Every kind of source through `tbgen scaffold` and `tbgen export onnx`, as they are typed; and what each refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from tbgen.cli.main import main
from tbgen.generator.presets import SAMPLES

SAMPLE = SAMPLES / "kcbert"
LABELS = ("--label", "부정", "--label", "중립", "--label", "긍정")
COMMANDS = ("scaffold", "export")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tbgen(command: str, *arguments: str | Path) -> tuple[int, str]:
    """Run `tbgen scaffold mine`, or `tbgen export onnx`; its exit status and what it says."""
    words = ["scaffold", "mine", "--no-vendor"] if command == "scaffold" else ["export", "onnx", "-o", "made"]
    done = CliRunner().invoke(main, [*words, *map(str, arguments)])
    return done.exit_code, done.output


def tokenizer_folder(here: Path, *left_out: str) -> Path:
    """A folder with the sample's tokenizer and config.json."""
    names = [file for file in SAMPLE.iterdir() if file.suffix in (".json", ".txt") and file.name not in left_out]
    folder = here / "tokenizer_model"
    folder.mkdir()
    for file in names:
        shutil.copy(file, folder)
    return folder


@pytest.fixture
def state(here: Path) -> Path:
    """The walk-through's pair: model.pt here, tokenizer_model/ beside it."""
    tokenizer_folder(here, "config.json")
    (here / "base").mkdir()
    config = json.loads((SAMPLE / "config.json").read_text(encoding="utf-8"))
    for key in ("id2label", "label2id", "architectures"):
        config.pop(key, None)
    (here / "base" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    torch.save(load_file(SAMPLE / "model.safetensors"), here / "model.pt")
    return here / "model.pt"


@pytest.fixture
def ready(here: Path, sample_export: Path) -> Path:
    """Somebody else's model.onnx, its output called logits; tokenizer_model/ lies beside it."""
    tokenizer_folder(here)
    model = onnx.load(sample_export / "model.onnx")
    model.graph.output[0].name = model.graph.node[-1].output[0] = "logits"
    onnx.save(model, here / "model.onnx")
    return here / "model.onnx"


def record(here: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((here / "model_repository" / name / "tbgen.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.usefixtures("state")
def test_a_state_dict(here: Path) -> None:
    pair = ["--source", "model.pt", "--tokenizer", "tokenizer_model", "--base", "base"]
    code, output = tbgen("scaffold", *pair, *LABELS, "--graph", "bls")
    assert code == 0, output
    assert record(here, "mine_onnx_bls")["settings"]["labels"] == ["부정", "중립", "긍정"]
    assert list(record(here, "mine_onnx_bls")["source"]) == ["model.pt"]
    assert "base" not in record(here, "mine_onnx_bls")["settings"]
    code, output = tbgen("export", *pair, "--label-count", "3")
    assert code == 0, output
    assert "text-classification: LABEL_0, LABEL_1, LABEL_2" in output


def test_a_ready_onnx_file(here: Path, ready: Path) -> None:
    asked = ["--source", "model.onnx", "--tokenizer", "tokenizer_model"]
    before = ready.read_bytes()
    code, output = tbgen("scaffold", *asked)
    assert code == 0, output
    assert "Nobody compared model.onnx with PyTorch" in output
    assert list(record(here, "mine_onnx")["source"]) == ["model.onnx"]
    assert ready.read_bytes() == before
    code, output = tbgen("export", *asked)
    assert code == 0, output
    assert "outputs          float32 [batch, 3]" in output


def test_a_ready_onnx_file_in_eight_bits(here: Path, ready: Path) -> None:
    code, output = tbgen(
        "scaffold", "--source", ready, "--tokenizer", "tokenizer_model", "--engine", "onnx_int8", "--graph", "bls"
    )
    assert code == 0, output
    assert "Against its FP32 file on" in output
    assert (here / "model_repository/mine_onnx_int8/1/model.onnx").stat().st_size < ready.stat().st_size


def test_a_files_own_folder_is_its_tokenizers(here: Path, ready: Path) -> None:
    ready.rename(here / "tokenizer_model" / "model.onnx")
    assert tbgen("scaffold", "--source", "tokenizer_model/model.onnx", "--graph", "bls")[0] == 0


def test_a_recipe_for_a_ready_file_gives_the_same_models_again(here: Path, ready: Path) -> None:
    runner = CliRunner()
    words = ["--source", ready.name, "--tokenizer", "tokenizer_model", "--graph", "bls"]
    done = runner.invoke(main, ["init", "mine", *words])
    assert done.exit_code == 0, done.output
    recipe = (here / "tbgen.toml").read_text(encoding="utf-8")
    assert 'source = "model.onnx"\ntokenizer = "tokenizer_model"\n' in recipe
    assert runner.invoke(main, ["scaffold"]).exit_code == 0
    written = record(here, "mine_onnx")
    assert runner.invoke(main, ["diff", "--exit-code"]).exit_code == 0
    ready.write_bytes(ready.read_bytes()[:-100])
    done = runner.invoke(main, ["scaffold"])
    assert done.exit_code == 1
    assert record(here, "mine_onnx") == written


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--source", "tests/kobert", "--revision", "v2"],
            "'tests/kobert' at 'v2' is neither a folder nor in the hub's",
        ),
        (["--source", "nowhere"], "no folder 'nowhere', and it is no name on the hub (owner/model) either"),
        (
            ["--source", "none.onnx"],
            "no file 'none.onnx'; a source is a folder, a file, or a name on the hub (owner/mo",
        ),
        (
            ["--source", "none/none.plan"],
            "no file 'none/none.plan'; a source is a folder, a file, or a name on the hub",
        ),
        (
            ["--source", "none.pt"],
            "no file 'none.pt'; a source is a folder, a file, or a name on the hub (owner/model)",
        ),
        (["--source", "./none"], "none', and it is no name on the hub (owner/model) either"),
        (["--source", "none/-none."], "no folder 'none/-none.', and it is no name on the hub (owner/model) either"),
        (["--source", "model.pt"], "no tokenizer.json in '.', nor what one can be made of"),
        (
            ["--source", "model.pt", "--tokenizer", "tokenizer_model"],
            "'model.pt' does not say what shape its model has; name it with --base: beomi/kcbert-base, beomi/kcbert-l",
        ),
        (["--source", str(SAMPLE), "--base", "base"], "--base goes with a state dict; "),
        (["--source", str(SAMPLE), "--tokenizer", "base"], "--tokenizer goes with a state dict or an ONNX file or a T"),
        (["--source", "model.pt", "--rename", "a=b"], "--rename goes with an ONNX file; 'model.pt' is a state dict"),
        (["--source", str(SAMPLE), "--revision", "main"], "is a folder; a revision is for a name on the hub"),
        (["--source", "base/config.json"], "is neither a folder nor a file of a known kind: a state dict (.pt, .pth, "),
    ],
)
@pytest.mark.usefixtures("state")
def test_one_sentence_for_a_source_that_cannot_be_had(
    here: Path, command: str, words: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, output = tbgen(command, *words)
    assert (code, len(output.splitlines())) == (1, 1), output
    assert sentence in output
    assert {path.name for path in here.iterdir()} == {"base", "model.pt", "tokenizer_model"}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("spoil", "words", "sentence"),
    [
        ("truncated", [], "'model.onnx' is no whole ONNX file ("),
        ("corrupt", [], "'model.onnx' is no whole ONNX file ("),
        ("names", [], "takes ids, attention_mask, token_type_ids; it must take input_ids and attention_mask"),
        ("nothing", ["--label", "a", "--label", "b"], "gives 3 numbers a text, there are 2 labels (a, b); name them"),
        ("tokenizer", [], "tokenizer.json' is not JSON: "),
        ("vocabulary", [], "fails on the tokenizer's last id 90000 (is its vocabulary larger than the embedding?)"),
        ("nothing", ["--fixed-length", "301"], "fails on 301 tokens (does it have fewer positions?)"),
    ],
)
def test_one_sentence_for_a_ready_file_that_does_not_fit(
    here: Path, ready: Path, command: str, spoil: str, words: list[str], sentence: str
) -> None:
    spoiled(ready, spoil)
    code, output = tbgen(command, "--source", "model.onnx", "--tokenizer", "tokenizer_model", *words)
    assert (code, output.count("Error: ")) == (1, 1), output
    assert sentence in output.splitlines()[-1]
    assert {path.name for path in here.iterdir()} == {"model.onnx", "tokenizer_model"}


def spoiled(model: Path, how: str) -> None:
    """Do to a ready file, or to the tokenizer beside it, what people meet."""
    if how == "truncated":
        model.write_bytes(model.read_bytes()[:10_000])
    elif how == "corrupt":
        whole = bytearray(model.read_bytes())
        whole[100:600] = bytes(500)
        model.write_bytes(whole)
    elif how == "names":
        graph = onnx.load(model)
        graph.graph.input[0].name = "ids"
        for node in graph.graph.node:
            node.input[:] = ["ids" if name == "input_ids" else name for name in node.input]
        onnx.save(graph, model)
    elif how == "tokenizer":
        (model.with_name("tokenizer_model") / "tokenizer.json").write_text("{", encoding="utf-8")
    elif how == "vocabulary":
        file = model.with_name("tokenizer_model") / "tokenizer.json"
        tokenizer = json.loads(file.read_text(encoding="utf-8"))
        tokenizer["model"]["vocab"]["넘침"] = 90_000
        file.write_text(json.dumps(tokenizer), encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("change", "words", "sentence"),
    [
        ({}, ["--label", "a", "--label", "b"], "2 labels were named (a, b), the checkpoint has 3 (부정, 중립, 긍정)"),
        ({}, ["--fixed-length", "301"], "fixed length 301 does not fit: the checkpoint reads 2 to 300 tokens"),
        ({"vocab_size": 100}, [], "the tokenizer's last id is "),
        ({"id2label": {"0": "a", "1": "b"}}, [], "the weights hold 'classifier.bias' as [3], config.json makes it [2]"),
    ],
)
def test_one_sentence_for_a_checkpoint_that_does_not_fit(
    here: Path, command: str, change: dict[str, Any], words: list[str], sentence: str
) -> None:
    folder = Path(shutil.copytree(SAMPLE, here / "checkpoint"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | change), encoding="utf-8")
    code, output = tbgen(command, "--source", "checkpoint", *words)
    assert (code, output.count("Error: ")) == (1, 1), output
    assert sentence in output.splitlines()[-1]
    assert {path.name for path in here.iterdir()} == {"checkpoint"}
