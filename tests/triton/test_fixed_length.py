"""The walk-through's own form: every text padded to 300 tokens, end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tbgen.generator.presets import SAMPLES
from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.client.client import infer
from tbgen.server.embedded.server import EmbeddedServer
from tests.serving import serving


def test_fixed_length_gives_the_answers_of_dynamic_lengths(
    kcbert_server: EmbeddedServer, held_out: list[str], tmp_path: Path
) -> None:
    scaffold(Request("fixed", SAMPLES / "kcbert", fixed_length=300), tmp_path / "model_repository")
    with serving(tmp_path / "model_repository") as server:
        fixed = [infer(f"fixed_onnx_{graph}", held_out[:40], url=server.grpc_url) for graph in ("ensemble", "bls")]
    dynamic = infer("kcbert_onnx_ensemble", held_out[:40], url=kcbert_server.grpc_url)
    for answers in fixed:
        assert [answer["label"] for answer in answers] == [answer["label"] for answer in dynamic]
        served, expected = ([answer["softmax"] for answer in each] for each in (answers, dynamic))
        np.testing.assert_allclose(served, expected, atol=1e-4)


def test_a_text_longer_than_the_fixed_length_is_cut(tmp_path: Path) -> None:
    scaffold(Request("short", SAMPLES / "kcbert", fixed_length=16), tmp_path / "model_repository")
    long, cut = "금리 동결 " * 100, "금리 동결 " * 40
    with serving(tmp_path / "model_repository") as server:
        for graph in ("ensemble", "bls"):
            answers = infer(f"short_onnx_{graph}", [long, cut], url=server.grpc_url)
            assert answers[0] == answers[1]
