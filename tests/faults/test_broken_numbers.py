"""An engine's NaN and infinity are an error of every task, in every graph, and a text beside them is answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tokenizers import Tokenizer

from tbgen.cli.infer import infer
from tbgen.cli.run import run
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported, exported_from_folder
from tbgen.export.tasks.table import TASKS
from tbgen.generator.engines.table import ENGINES
from tbgen.generator.local.models import LocalModels
from tbgen.generator.models.graph import graphs_of_task, models_of
from tbgen.generator.models.long_text import task_for
from tbgen.generator.models.write import write_models
from tests.backends.conftest import Pair, exports  # noqa: F401 - a fixture
from tests.faults.broken_numbers import with_broken_token
from tests.faults.every_task import CHECKPOINTS
from tests.serving import serving

GOOD, BAD = "금리", "🔥"  # the second is [UNK]


def item(task: str, text: str) -> dict[str, list[str]]:
    """The inputs of a task for one item with a text in it."""
    return {
        "fill-mask": {"input_text": [f"[MASK] {text}"]},
        "question-answering": {"question": [GOOD], "context": [f"{GOOD} {text}"]},
        "rerank": {"query": [GOOD], "texts": [GOOD, text]},
        "similarity": {"query": [GOOD], "texts": [GOOD, text]},
        "zero-shot-classification": {"input_text": [GOOD], "candidate_labels": [GOOD, text]},
    }.get(task, {"input_text": [text]})


def asked(models: LocalModels, model: str, items: list[dict[str, list[str]]]) -> dict[str, np.ndarray]:
    columns = {name: [[text.encode() for text in each[name]] for each in items] for name in items[0]}
    return models.infer(model, {name: np.array(rows, dtype=object) for name, rows in columns.items()})


def broken(pair: Pair, file: Path, value: float) -> Exported:
    unknown = Tokenizer.from_file(str(pair.exported.tokenizer)).token_to_id("[UNK]")
    return with_broken_token(pair.exported, file, unknown, value)


WINDOWS = [(task, "windows") for task in CHECKPOINTS if TASKS[task].windows]


@pytest.mark.parametrize(("task", "long_text"), [*((task, None) for task in CHECKPOINTS), *WINDOWS])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_every_task_says_so(
    exports: Callable[..., Pair],  # noqa: F811
    tmp_path: Path,
    task: str,
    long_text: str | None,
    value: float,
) -> None:
    auto, labels = CHECKPOINTS[task]
    row = task_for(task, TASKS[task], long_text)
    exported = broken(exports("bert", auto, task, labels), tmp_path / "model.onnx", value)
    options = {"hypothesis_template": "{}"} if task == "zero-shot-classification" else {}  # the default has [UNK], too
    models = models_of("m", exported, task=row, engine=ENGINES["onnx"], graphs=graphs_of_task(row), options=options)
    write_models(models, tmp_path / "repository", {})
    with LocalModels(tmp_path / "repository") as served:
        for graph in graphs_of_task(row):
            model = f"m_onnx_{graph}"
            assert asked(served, model, [item(task, GOOD)])
            for items in ([item(task, BAD)], [item(task, GOOD), item(task, BAD)]):
                with pytest.raises(UserError, match=r"FloatingPointError: \w+ (of|from) .* holds NaN or infinity"):
                    asked(served, model, items)


def test_commands_end_with_1(packed_export: Path, tmp_path: Path) -> None:
    exported = with_broken_token(exported_from_folder(packed_export), tmp_path / "model.onnx", 1)
    task = TASKS["text-classification"]
    models = models_of("m", exported, task=task, engine=ENGINES["onnx"], graphs=["bls"])
    write_models(models, tmp_path / "repository", {})
    done = CliRunner().invoke(
        run, ["m_onnx_bls", "좋다", "quartz", "--repository", str(tmp_path / "repository"), "--json"]
    )
    assert (done.exit_code, "m_onnx_bls: FloatingPointError: outputs from m_onnx holds NaN" in done.stderr) == (1, True)
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["좋다"]
    with serving(tmp_path / "repository") as server:
        for texts, code in ((["좋다"], 0), (["좋다", "quartz"], 1)):
            done = CliRunner().invoke(infer, ["m_onnx_bls", *texts, "--url", f"http://{server.http_url}", "--json"])
            assert (done.exit_code, "NaN" in done.stdout) == (code, False), done.output
