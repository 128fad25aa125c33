"""Somebody else's ONNX file with tensors named otherwise, taken in and served by the real server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.generator.presets import SAMPLES
from tbgen.server.client.client import infer
from tbgen.server.embedded.server import EmbeddedServer
from tests.serving import serving

NAMES = {"input_ids": "ids", "outputs": "logits"}


def test_other_names_are_served_with_the_samples_answers(
    kcbert_server: EmbeddedServer, sample_export: Path, held_out: list[str], tmp_path: Path
) -> None:
    model = onnx.load(sample_export / "model.onnx")
    for node in model.graph.node:
        node.input[:] = [NAMES.get(name, name) for name in node.input]
        node.output[:] = [NAMES.get(name, name) for name in node.output]
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.name = NAMES.get(tensor.name, tensor.name)
    onnx.save(model, tmp_path / "model.onnx")
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copy(sample_export / name, tmp_path)
    repository = tmp_path / "model_repository"
    words = ["--source", str(tmp_path / "model.onnx"), "--rename", "ids=input_ids", "-r", str(repository)]
    done = CliRunner().invoke(main, ["scaffold", "theirs", *words])
    assert done.exit_code == 0, done.output
    texts = [*held_out[:40], "🔥📈", "", "손절 " * 400]
    with serving(repository) as server:
        for graph in ("ensemble", "bls"):
            served = infer(f"theirs_onnx_{graph}", texts, url=server.grpc_url)
            assert served == infer(f"kcbert_onnx_{graph}", texts, url=kcbert_server.grpc_url)
        verify = ["verify", "theirs", "-r", str(repository), "--url", server.grpc_url, "--json"]
        done = CliRunner().invoke(main, verify)
        assert done.exit_code == 0, done.output
        assert [row["road"] for row in json.loads(done.stdout)] == [
            "theirs_onnx (file)",
            "theirs_onnx_ensemble",
            "theirs_onnx_bls",
        ]
        assert "beside its own file: theirs was made of a ready one" in done.stderr
        done = CliRunner().invoke(main, [*verify, "--source", str(SAMPLES / "kcbert")])
        assert done.exit_code == 0, done.output
        assert all(row["holds"] and row["parity"]["max_abs"] < 1e-4 for row in json.loads(done.stdout))
