"""`tbgen tune`: every knob edits what it says, trials leave no trace, and what wins is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tbgen.cli.tune import tune as command
from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.bench.answers import ReferenceAnswers
from tbgen.server.bench.parts import front_from_server
from tbgen.server.bench.point import Load, Timing
from tbgen.server.client.address import Address
from tbgen.server.client.connection import Connection
from tbgen.server.embedded.server import EmbeddedServer
from tbgen.server.tune import knobs, tune
from tbgen.server.tune.knobs import KNOBS, Draft, splits_of, turn_knobs
from tbgen.server.tune.stages import LiveStage, write_edits
from tests.serving import serving

ENSEMBLE, BLS = "kcbert_onnx_ensemble", "kcbert_onnx_bls"


@pytest.fixture(scope="module")
def padded_server(sample_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The sample in the padded layout, where lengths are rounded up."""
    repository = tmp_path_factory.mktemp("padded") / "model_repository"
    scaffold(Request("kcbert", sample_export), repository)
    with serving(repository) as server:
        yield server


def draft_of(server: EmbeddedServer, model: str) -> Draft:
    with Connection(f"http://{server.http_url}") as connection:
        return Draft(server.repository, front_from_server(connection, model, server.repository), cores=4)


def diff(before: Path, edits: dict[Path, str]) -> dict[str, tuple[list[str], list[str]]]:
    """For each edited file the lines that went and the lines that came."""
    found = {}
    for file, text in edits.items():
        old, new = (before / file).read_text(encoding="utf-8").splitlines(), text.splitlines()
        found[file.parts[0]] = (
            [line.strip() for line in old if line not in new],
            [line.strip() for line in new if line not in old],
        )
    return found


def test_what_steps_do_where_nothing_is_said_is_known(kcbert_server: EmbeddedServer) -> None:
    draft = draft_of(kcbert_server, BLS)
    (call,) = draft.step_settings("model")
    assert "parallel_calls" not in call
    assert draft.front.part.parallel_calls == KNOBS["parallel calls"].now(draft) == 2


def test_nothing_turned_is_nothing_edited(kcbert_server: EmbeddedServer) -> None:
    for model in (ENSEMBLE, BLS):
        assert draft_of(kcbert_server, model).edits() == {}


@pytest.mark.parametrize(
    ("model", "knob", "value", "edited", "line"),
    [
        (BLS, "engine instances x threads", (2, 2), "kcbert_onnx", "count: 2"),
        (BLS, "instances", 3, "kcbert_onnx_bls", "count: 3"),
        (ENSEMBLE, "instances", 3, "kcbert_tokenizer", "count: 3"),
        (BLS, "parallel calls", 7, "kcbert_onnx_bls", '"parallel_calls": 7'),
        (BLS, "tokens a call", 1000, "kcbert_onnx_bls", '"max_tokens": 1000'),
        (BLS, "rows a call", 48, "kcbert_onnx", "max_batch_size: 48"),
        (BLS, "batch", 12, "kcbert_onnx_bls", "preferred_batch_size: 12"),
        (ENSEMBLE, "queue delay", 500, "kcbert_tokenizer", "max_queue_delay_microseconds: 500"),
    ],
)
def test_a_knob_edits_what_it_says(
    kcbert_server: EmbeddedServer, model: str, knob: str, value: Any, edited: str, line: str
) -> None:
    draft = draft_of(kcbert_server, model)
    assert KNOBS[knob].now(draft) is not None
    new = turn_knobs(draft, {knob: value})
    assert KNOBS[knob].now(new) == value
    came = diff(kcbert_server.repository, new.edits())[edited][1]
    assert line in [text.rstrip(",") for text in came]


def test_no_knob_touches_how_long_requests_may_wait(kcbert_server: EmbeddedServer) -> None:
    draft = draft_of(kcbert_server, BLS)
    turned = {name: knob.values(draft)[-1] for name, knob in KNOBS.items() if knob.now(draft) is not None}
    place = Path(BLS) / "1" / "steps.json"
    before, after = (kcbert_server.repository / place).read_text(encoding="utf-8"), turn_knobs(draft, turned).edits()
    assert json.loads(after[place])["queue"] == json.loads(before)["queue"] == 4


def test_the_padding_of_a_batch_is_a_knob_of_the_padded_layout(padded_server: EmbeddedServer) -> None:
    draft = draft_of(padded_server, ENSEMBLE)
    assert KNOBS["padding"].now(draft) == "own length"
    new = turn_knobs(draft, {"padding": "common length"})
    assert KNOBS["padding"].now(new) == "common length"
    came = diff(padded_server.repository, new.edits())["kcbert_tokenizer"][1]
    assert '"common_length": true' in [text.rstrip(",") for text in came]


def test_buckets_end_at_the_models_positions(padded_server: EmbeddedServer) -> None:
    new = turn_knobs(draft_of(padded_server, BLS), {"buckets": 64})
    assert [settings["buckets"] for settings in new.step_settings("buckets")] == [[64, 128, 192, 256, 300]] * 2


def test_packed_engines_have_no_padding_to_turn(kcbert_server: EmbeddedServer) -> None:
    for model in (ENSEMBLE, BLS):
        draft = draft_of(kcbert_server, model)
        assert [KNOBS[name].now(draft) for name in ("padding", "buckets")] == [None, None]


def test_some_knobs_are_of_one_graph_only(padded_server: EmbeddedServer) -> None:
    ensemble, bls = draft_of(padded_server, ENSEMBLE), draft_of(padded_server, BLS)
    assert [name for name, knob in KNOBS.items() if knob.now(ensemble) is None] == [
        "instances x threads",
        "parallel calls",
        "tokens a call",
        "rows a call",
    ]
    assert [name for name, knob in KNOBS.items() if knob.now(bls) is None] == ["instances x threads", "padding"]


def test_cores_are_shared_out_without_rest() -> None:
    assert splits_of(6) == [(1, 6), (2, 3), (3, 2), (6, 1)]


@pytest.fixture
def slow_repository(kcbert_server: EmbeddedServer, tmp_path: Path) -> Path:
    """The sample's BLS, whose first model waits 200 ms for more requests."""
    repository = tmp_path / "model_repository"
    for model in (BLS, "kcbert_onnx"):
        shutil.copytree(kcbert_server.repository / model, repository / model)
    write_edits(repository, turn_knobs(draft_of(kcbert_server, BLS), {"queue delay": 200_000}).edits())
    return repository


@pytest.mark.long
def test_a_needless_delay_is_found_and_removed(slow_repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    delay = replace(KNOBS["queue delay"], values=lambda _: (0,))
    for module in (knobs, tune):
        monkeypatch.setattr(module, "KNOBS", {"queue delay": delay})
    monkeypatch.setattr(tune, "PROOF_ROUNDS", 1)
    quick = ["--concurrency", "1", "--duration", "0.4", "--warmup", "0.1", "--requests", "4"]
    config = slow_repository / BLS / "config.pbtxt"
    done = CliRunner().invoke(command, ["kcbert", "-r", str(slow_repository), *quick], input="y\n")
    assert done.exit_code == 0, done.output
    assert "times as fast" in done.output
    assert "-  max_queue_delay_microseconds: 200000" in done.output
    assert "200000" not in config.read_text(encoding="utf-8")
    assert [path.name for path in slow_repository.parent.iterdir()] == ["model_repository"]


def test_a_running_triton_tries_edits_and_gets_its_files_back(slow_repository: Path) -> None:
    explicit = ["--model-control-mode=explicit", f"--load-model={BLS}", "--load-model=kcbert_onnx"]
    config = slow_repository / BLS / "config.pbtxt"
    untouched = config.read_bytes()
    with serving(slow_repository, extra_arguments=explicit) as server:
        draft = draft_of(server, BLS)
        stage = LiveStage(slow_repository, Address(server.http_url, "http"))
        with stage.serving(turn_knobs(draft, {"instances": 2}).edits(), draft.models) as address:
            assert draft_of(server, BLS).front.part.instances == 2
            assert str(address) == f"http://{server.http_url}"
        assert draft_of(server, BLS).front.part.instances == 1
    assert config.read_bytes() == untouched


def test_a_setting_that_does_not_load_is_out_of_the_question(
    slow_repository: Path, kcbert_server: EmbeddedServer
) -> None:
    draft = draft_of(kcbert_server, BLS)
    plan = tune.TunePlan([Load("http", 1)], Timing(0.3, 0.1), requests=2)
    subject = tune.Subject(Draft(slow_repository, draft.front, 2), ReferenceAnswers([], [], {}), plan)

    class Broken:
        """A stage whose engine does not fit its configuration."""

        def serving(self, edits: Any, models: Any) -> Any:
            config = slow_repository / "kcbert_onnx" / "config.pbtxt"
            config.write_text(config.read_text(encoding="utf-8").replace("dims: 3", "dims: 4"), encoding="utf-8")
            from tbgen.server.tune.stages import EmbeddedStage

            return EmbeddedStage(slow_repository).serving(edits, models)

    trial = tune.run_trial(subject, Broken(), {"instances": 2}, tune.Clock(60, lambda *_: None))
    assert trial.score == 0
    assert "kcbert_onnx" in trial.refused


def test_a_missing_repository_is_said(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["kcbert", "-r", str(tmp_path / "none")])
    assert done.exit_code == 1
    assert "no model repository" in done.output
