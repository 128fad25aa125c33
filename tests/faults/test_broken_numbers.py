"""An engine's NaN and infinity are an error of every task, in every graph, and a text beside them is answered."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
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
from tbgen.generator.client_code import LANGUAGES, client_code
from tbgen.generator.engines.table import ENGINES
from tbgen.generator.local.models import LocalModels
from tbgen.generator.models.config import config_from_text
from tbgen.generator.models.graph import graphs_of_task, models_of
from tbgen.generator.models.long_text import task_for
from tbgen.generator.models.write import write_models
from tbgen.server.client.address import Address
from tbgen.server.embedded.server import EmbeddedServer
from tbgen.server.gateway.settings import GatewaySettings
from tests.backends.conftest import Pair, exports  # noqa: F401 - a fixture
from tests.faults.broken_numbers import with_broken_token
from tests.faults.every_task import CHECKPOINTS
from tests.faults.test_names import HERE, RUN
from tests.server.gateway.running import running_gateway
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


OWN = """
import numpy as np
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        given = [pb.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        rows = [np.array([[float(text.decode()) for text in row] for row in rows], np.float32) for rows in given]
        return [pb.InferenceResponse([pb.Tensor("y", each)]) for each in rows]
"""
CONFIG = """
backend: "python" max_batch_size: 4 instance_group { kind: KIND_CPU count: 1 }
input { name: "x" data_type: TYPE_STRING dims: 1 } output { name: "y" data_type: TYPE_FP32 dims: 1 }
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A model of one's own, whose steps nobody holds to numbers: it answers a text by the number that it says."""
    folder = tmp_path_factory.mktemp("numbers")
    (folder / "own" / "1").mkdir(parents=True)
    (folder / "own" / "1" / "model.py").write_text(OWN, encoding="utf-8")
    (folder / "own" / "config.pbtxt").write_text(CONFIG, encoding="utf-8")
    with serving(folder) as server:
        yield server


@pytest.mark.parametrize("language", HERE)
def test_written_clients_print_no_number_that_is_none(own: EmbeddedServer, tmp_path: Path, language: str) -> None:
    file = tmp_path / f"client{LANGUAGES[language]}"
    url = own.grpc_url if language.endswith("grpc") else own.http_url
    config = config_from_text((own.repository / "own" / "config.pbtxt").read_text(encoding="utf-8") + 'name: "own"')
    file.write_text(client_code(config, language, url=url), encoding="utf-8")
    for text, code in (("1.5", 0), ("nan", 1), ("-inf", 1)):
        done = subprocess.run([*RUN[language], file, "--", text], capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        assert "nan" not in done.stdout.lower()


def test_a_gateway_answers_no_number_that_is_none(own: EmbeddedServer) -> None:
    """JSON would say null."""
    with running_gateway(GatewaySettings(Address(own.grpc_url, "grpc"))) as gateway:
        assert gateway.post("/models/own", {"x": "1.5"}).body["answers"] == [{"y": 1.5}]
        for text in ("nan", "inf", "-inf"):
            answer = gateway.post("/models/own", {"x": text})
            assert answer.status == 500
            assert answer.body["error"].startswith("own: the model's answer holds NaN or infinity in 'y'")
