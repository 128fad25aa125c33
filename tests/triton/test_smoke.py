"""Each task in each of its graphs, warmed up: deployed, checked live and asked, with items that it can answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export.tasks.table import TASKS
from tbgen.generator.check.check import check_repository
from tbgen.generator.compare.example import folder_example
from tbgen.generator.models.graph import graphs_of_task
from tbgen.generator.repository import MODEL_RECORD
from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.bench.texts import corpus_from_file, requests_from_corpus, text_inputs
from tbgen.server.client.connection import Connection
from tbgen.server.client.smoke import smoke
from tbgen.server.embedded.server import EmbeddedServer
from tests.backends.conftest import Pair, exports  # noqa: F401 - a fixture
from tests.serving import serving
from tests.triton.good_models import python, write
from tests.triton.test_tasks import CASES, ROADS, pair_of

OPTIONS = {"zero-shot-classification": ("max_labels=1",), "text-classification": ("pair=true",)}
YEAR = '''"""A text and what it needs beside it."""

import numpy as np


class Dated:
    inputs = {"title": ("TYPE_STRING", [1]), "year": ("TYPE_INT32", [1])}
    outputs = {"input_text": ("TYPE_STRING", [1])}

    def __init__(self, folder):
        pass

    def __call__(self, title, year):
        return {"input_text": title + np.char.mod(" %d", year).astype(object)}
'''


@pytest.fixture(scope="module")
def repository(exports: Callable[..., Pair], tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """All tasks in all their graphs with warm-up, and a text classifier and a fill-mask behind a step of one's own."""
    folder = tmp_path_factory.mktemp("smoke")
    write(folder / "year.py", YEAR)
    write(folder / "said.py", YEAR.replace("    inputs =", '    example = {"year": 2024}\n    inputs ='))
    for task in CASES:
        source = pair_of(exports, task).exported.folder
        for graph in ("both", "single"):
            options = OPTIONS.get(task, ())
            scaffold(Request(task, source, task=task, graph=graph, warmup=True, options=options), folder / "models")
    for name, file in (("unsaid", "year.py"), ("said", "said.py")):
        source = pair_of(exports, "fill-mask").exported.folder
        request = Request(name, source, task="fill-mask", graph="bls", pre=(f"{folder / file}:Dated",), warmup=True)
        scaffold(request, folder / "models")
    return folder / "models"


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[EmbeddedServer]:
    """A server to which the models were deployed."""
    target = repository.parent / "target"
    python(target / "first")
    arguments = ("--model-control-mode=explicit", "--load-model=*")
    log = repository.parent / "log"
    with serving(target, log=log, extra_arguments=arguments) as running:
        done = CliRunner().invoke(main, ["deploy", "copy", str(repository), str(target), "--url", running.grpc_url])
        assert done.exit_code == 0, done.output
        assert "unsaid_onnx_bls is not asked: it takes year (INT32), and no step says an example of it" in done.output
        yield running


def test_check_has_nothing_to_say(repository: Path) -> None:
    assert check_repository(repository) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("오늘도 상한가".encode(), "input_text of item 0 has no [MASK]"),
        (b"[MASK] \xff", "input_text is not valid UTF-8"),
    ],
)
def test_check_knows_warm_up_texts_that_the_steps_refuse(
    repository: Path, tmp_path: Path, text: bytes, says: str
) -> None:
    """As tbgen once wrote them itself; Triton's words are the steps' own."""
    name = "fill-mask_onnx_single"
    copytree(repository / name, tmp_path / name)
    (tmp_path / name / "warmup" / "input_text").write_bytes(len(text).to_bytes(4, "little") + text)
    (finding,) = check_repository(tmp_path)
    assert (finding.effect, says in finding.says) == ("refused", True)


def test_check_live_asks_every_front_model(repository: Path, server: EmbeddedServer) -> None:
    done = CliRunner().invoke(main, ["check", str(repository), "--live", "--url", server.grpc_url, "--json"])
    answer = json.loads(done.stdout)
    assert (done.exit_code, answer["errors"]) == (0, 0), answer
    fronts = {f"{task}_onnx_{graph}" for task, graph in ROADS} | {"said_onnx_bls"}
    assert len(ROADS) == sum(len(graphs_of_task(task)) for task in TASKS.values())
    assert fronts <= set(answer["live"]["answered"])
    assert [(row["model"], row["effect"]) for row in answer["findings"]] == [("unsaid_onnx_bls", "advice")]
    assert "takes year (INT32)" in answer["findings"][0]["triton"]


def test_models_of_an_older_tbgen_are_asked_too(repository: Path, server: EmbeddedServer, tmp_path: Path) -> None:
    """Their records say nothing of an item: fill-mask's steps do."""
    older = tmp_path / "models"
    for file in (file for file in repository.glob("fill-mask_*/**/*") if file.suffix in (".json", ".pbtxt")):
        (older / file.relative_to(repository)).parent.mkdir(parents=True, exist_ok=True)
        record = json.loads(file.read_text(encoding="utf-8")) if file.name == MODEL_RECORD else {}
        text = json.dumps({key: value for key, value in record.items() if key != "example"})
        write(older / file.relative_to(repository), text if record else file.read_text(encoding="utf-8"))
    with Connection(server.grpc_url) as connection:
        asked = [*smoke(connection, sorted(older.iterdir()))]
    graphs = [f"fill-mask_onnx_{graph}" for graph in ("bls", "ensemble", "single")]
    assert set(graphs) <= {each.model for each in asked if not (each.wrong or each.unknown)}


@pytest.mark.parametrize("task", ["fill-mask", "zero-shot-classification"])
def test_a_benchmark_draws_items_that_can_be_answered(repository: Path, server: EmbeddedServer, task: str) -> None:
    model = f"{task}_onnx_bls"
    with Connection(server.grpc_url) as connection:
        inputs = text_inputs(connection.config(model), 2)
        requests = requests_from_corpus(corpus_from_file(), inputs, 4, folder_example(repository / model))
        for request in requests:
            assert connection.infer(model, request)
    assert len({request["input_text"].tobytes() for request in requests}) == 4


# An item of each model, and what its answer is called in `tbgen infer --json`.
ASKED: dict[str, tuple[dict[str, Any], str]] = {
    "text-classification": ({"input_text": "오늘도 상한가 갔다 🔥", "text_pair": "급락"}, "labels"),
    "token-classification": ({"input_text": "삼성전자 공시"}, "entities"),
    "embedding": ({"input_text": "금리가 올랐다"}, "embedding"),
    "fill-mask": ({"input_text": "[MASK] 상한가 [MASK]"}, "masks"),
    "sparse-embedding": ({"input_text": "금리가 올랐다"}, "tokens"),
    "question-answering": ({"question": "언제?", "context": "주주총회는 20일에 열린다."}, "answers"),
    "rerank": ({"query": "금리", "texts": ["금리가 올랐다", "비가 온다"]}, "results"),
    "similarity": ({"query": "금리", "texts": ["비가 온다"]}, "results"),
    "zero-shot-classification": ({"input_text": "금리가 올랐다", "candidate_labels": ["경제"]}, "labels"),
    "said": ({"title": "[MASK] 상한가", "year": 2024}, "masks"),
}


@pytest.mark.parametrize("name", ASKED)
def test_infer_and_run_ask_and_answer_by_name(server: EmbeddedServer, name: str) -> None:
    (item, answer), model = ASKED[name], f"{name}_onnx_bls"
    commands = [["infer", model, "--url", server.grpc_url], ["run", model, "-r", str(server.repository)]]
    inputs = [f"--input={key}={each}" for key, value in item.items() for each in np.ravel(value)]
    line = json.dumps(item) if len(item) > 1 else item["input_text"]
    asked = [
        CliRunner().invoke(main, [*command, "--json", *more], input=given)
        for command in commands
        for more, given in ((inputs, None), ([], line))
    ]
    assert [done.output for done in asked] == [asked[0].output] * 4
    assert answer in json.loads(asked[0].stdout)
    table = CliRunner().invoke(main, commands[0], input=line, env={"COLUMNS": "200"}).stdout
    assert answer in table
    assert "count" not in table


def test_several_inputs_are_columns_of_a_file_and_parameters_go_along(server: EmbeddedServer, tmp_path: Path) -> None:
    model, file = "question-answering_onnx_bls", tmp_path / "rows.csv"
    file.write_text("question,context\n언제?,20일에 열린다\n누가?,이사회가 정했다\n", encoding="utf-8")
    words = ["infer", model, "--text", str(file), "--json", "--parameter", "top_k=2", "--parameter", "no_answer=true"]
    for url in (f"grpc://{server.grpc_url}", f"http://{server.http_url}"):
        done = CliRunner().invoke(main, [*words, "--url", url])
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert [row["context"] for row in rows] == ["20일에 열린다", "이사회가 정했다"]
        assert [len(row["answers"]) for row in rows] == [2, 2]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["언제?"], "item of model 'question-answering_onnx_bls' is question (STRING), context (STRING), not one text"),
        (["--input", "question=언제?"], "no value for the input 'context' of model 'question-answering_onnx_bls'"),
        (["--input", "query=언제?"], "no input 'query'. Inputs: "),
        (["--input", "언제?"], "'언제?' is not NAME=VALUE"),
        (["언제?", "--input", "question=언제?"], "give TEXTs, --text or --input: one of them"),
    ],
)
def test_what_cannot_be_asked_is_a_sentence(server: EmbeddedServer, words: list[str], says: str) -> None:
    for command in (["infer", "--url", server.grpc_url], ["run", "-r", str(server.repository)]):
        done = CliRunner().invoke(main, [command[0], "question-answering_onnx_bls", *command[1:], *words])
        assert done.exit_code
        assert says in done.stderr
        assert "front model" not in done.stderr
