"""Which models call which, and which ones clients ask: one rule, for files and for what a server tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tbgen.generator.calls import called_by, called_models, callee_of, configs_in, parts_of
from tbgen.generator.check.check import check_repository
from tbgen.generator.local.models import LocalModels
from tbgen.generator.role import front_names

TEXT = 'input { name: "input_text" data_type: TYPE_STRING dims: 1 }'
NUMBERS = 'input { name: "input_ids" data_type: TYPE_INT64 dims: -1 }'
PYTHON = 'backend: "python"'


def step(name: str) -> str:
    return f'ensemble_scheduling {{ step {{ model_name: "{name}" model_version: -1 }} }}'


def ensemble(name: str, inputs: str = TEXT) -> str:
    return f'platform: "ensemble" {inputs} {step(name)}'


def write(folder: Path, config: str, steps: list[dict[str, Any]] | None = None, role: str | None = None) -> None:
    """A model's folder: its config, the steps that it lists, the part that its record says."""
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(config, encoding="utf-8")
    if steps is not None:
        (folder / "1" / "steps.json").write_text(json.dumps({"steps": steps}), encoding="utf-8")
    if role:
        graph = "ensemble" if role == "front" else None
        record = {"name": "n", "settings": {}, "role": {"part": role, "engine": "onnx", "graph": graph}}
        (folder / "tbgen.json").write_text(json.dumps(record), encoding="utf-8")


CALLS = [
    {"file": "own.py", "class": "Own", "settings": {"model": "named_by_chance"}},
    {"file": "remote.py", "class": "Remote", "settings": {"callee": "helper"}},
    {"file": "engine_call.py", "class": "Engine", "settings": {"model": "engine"}},
]
# name -> config, steps, role
MODELS: dict[str, tuple[str, list[dict[str, Any]] | None, str | None]] = {
    "outer": (ensemble("inner"), None, None),
    "inner": (ensemble("words"), None, None),
    "words": (f"{PYTHON} {TEXT}", None, None),
    "ids_ensemble": (ensemble("graph", NUMBERS), None, None),
    "graph": (f'backend: "onnxruntime" {NUMBERS}', None, None),
    "wrapped": (ensemble("words"), None, "front"),
    "wrapping": (ensemble("wrapped"), None, None),
    "bls": (f"{PYTHON} {TEXT}", CALLS, None),
    "helper": (f"{PYTHON} {TEXT}", [], None),
    "engine": (f"{PYTHON} {NUMBERS}", [], None),
    "python_engine": (f"{PYTHON} {TEXT}", [], "engine"),
    "own_numbers": (f"{PYTHON} {NUMBERS}", None, None),
    "named_by_chance": (f"{PYTHON} {TEXT}", None, None),
    "text_graph": (f'backend: "onnxruntime" {TEXT}', None, None),
    "loose_graph": (f'backend: "onnxruntime" {NUMBERS}', None, None),
}
ASKED = ["bls", "ids_ensemble", "named_by_chance", "outer", "own_numbers", "text_graph", "wrapped", "wrapping"]
# A server tells neither records nor what steps call: text is asked for, and Python without text is not.
TOLD = ["bls", "helper", "ids_ensemble", "named_by_chance", "outer", "python_engine", "text_graph", "wrapping"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name, (config, steps, role) in MODELS.items():
        write(tmp_path / name, config, steps, role)
    write(tmp_path / "broken", "backend: {")
    (tmp_path / "notes.txt").write_text("no model", encoding="utf-8")
    return tmp_path


def test_who_calls_whom_in_the_sample(sample_repository: Path) -> None:
    assert called_by(sample_repository / "kcbert_onnx_bls") == {"kcbert_onnx"}
    parts = ["kcbert_tokenizer", "kcbert_onnx", "kcbert_postprocess"]
    assert called_by(sample_repository / "kcbert_onnx_ensemble") == {*parts}
    assert called_by(sample_repository / "kcbert_onnx") == called_by(sample_repository / "none") == set()


def test_who_calls_whom(repository: Path) -> None:
    assert called_by(repository / "bls") == {"helper", "engine"}
    assert called_by(repository / "outer") == {"inner"}
    assert [part.name for part in parts_of(repository / "inner")] == ["words"]
    for name in ("words", "broken", "none"):
        assert called_by(repository / name) == set(), name
    assert [callee_of(row) for row in CALLS] == [None, "helper", "engine"]
    configs = configs_in(repository)
    assert called_models(configs) == {"inner", "words", "graph", "wrapped"}
    assert called_models(configs, repository) == {"inner", "words", "graph", "wrapped", "helper", "engine"}


def test_which_models_clients_ask(repository: Path) -> None:
    configs = configs_in(repository)
    assert configs.keys() == MODELS.keys()
    assert front_names(configs, repository) == ASKED
    assert front_names(configs) == TOLD
    with LocalModels(repository) as models:
        assert models.asked() == ASKED


def test_a_model_without_a_role_in_its_record_has_the_one_that_its_name_tells(repository: Path) -> None:
    for name in ("n_onnx", "n_onnx_bls"):
        write(repository / name, f"{PYTHON} {TEXT}", [], "engine")
        record = {"name": "n", "settings": {"engine": "onnx"}}
        (repository / name / "tbgen.json").write_text(json.dumps(record), encoding="utf-8")
    assert front_names(configs_in(repository), repository) == sorted([*ASKED, "n_onnx_bls"])


def test_models_that_clients_ask_are_held_against_each_other_by_their_records(repository: Path) -> None:
    """One that an ensemble of a person's wraps too, and none that a step calls."""
    for name in ("wrapped", "x_wrapped", "helper", "x_helper"):
        folder = repository / name
        if not folder.exists():
            write(folder, MODELS[name.removeprefix("x_")][0], [])
        part = "front" if "wrapped" in name else "helper"
        role = {"part": part, "engine": "onnx", "graph": "ensemble" if part == "front" else None}
        record = {"name": "n", "settings": {"options": [f"top_k={len(name)}"]}, "role": role}
        (folder / "tbgen.json").write_text(json.dumps(record), encoding="utf-8")
    said = [finding.says for finding in check_repository(repository) if "answers otherwise" in finding.says]
    assert said == ["answers otherwise than wrapped: written with other settings (options)"]
