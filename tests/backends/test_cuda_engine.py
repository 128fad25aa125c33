"""The step that runs an ONNX file on a GPU: its packing and its buckets, with the CPU in the GPU's place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from tbgen.backends.cuda_engine import CudaEngine, packed
from tbgen.backends.cuda_graphs import CudaGraphs, row_lengths
from tbgen.backends.cuda_session import CUDA, CudaProviderError, cuda_session
from tbgen.backends.local_engine import LocalEngine
from tbgen.export.layout import LENGTHS

TOKENS = {name: ("TYPE_INT64", [-1]) for name in ("input_ids", "attention_mask", "token_type_ids")}
SETTINGS: dict[str, Any] = {
    "inputs": TOKENS,
    "outputs": {"outputs": ("TYPE_FP32", [3])},
    "max_batch_size": 32,
    "lengths": LENGTHS,
}
needs_no_gpu = pytest.mark.skipif(CUDA in onnxruntime.get_available_providers(), reason="for an onnxruntime of CPUs")


def texts(*lengths: int) -> dict[str, np.ndarray]:
    """Random tokens (rows, longest)."""
    mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
    ids = np.random.default_rng(1).integers(5, 4000, mask.shape) * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


@pytest.fixture
def graphs(packed_export: Path) -> CudaGraphs:
    session = cuda_session(packed_export / "model.onnx", -1, {})
    return CudaGraphs(session, LENGTHS, most=512, longest=300, device=0, place="cpu")


def test_padding_is_left_out() -> None:
    flat = packed(texts(2, 1, 3) | {"attention_mask": np.array([[1, 1, 0], [0, 0, 0], [1, 1, 1]])}, LENGTHS)
    assert flat[LENGTHS].tolist() == [2, 1, 3]  # a text without a token keeps its first place: it has an answer
    assert flat["attention_mask"].tolist() == [1, 1, 0, 1, 1, 1]
    assert flat[LENGTHS].dtype == np.int32


@pytest.mark.parametrize("lengths", [(5,), (300,), (7, 30, 2), (1, *[40] * 31), (3,) * 32])
def test_it_answers_as_the_step_of_a_cpu_does(packed_export: Path, lengths: tuple[int, ...]) -> None:
    steps = [kind(packed_export, **SETTINGS) for kind in (LocalEngine, CudaEngine)]
    steps[0].load()
    steps[1].load(-1)
    expected, found = (step(**texts(*lengths))["outputs"] for step in steps)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("lengths", [(1,), (63,), (64,), (300,), (7, 30, 2), (40,) * 7, (20,) * 23])
def test_a_bucket_answers_as_the_tokens_alone_do(graphs: CudaGraphs, lengths: tuple[int, ...]) -> None:
    flat = packed(texts(*lengths), LENGTHS)
    expected = graphs.session.run(["outputs"], flat)[0]
    for _ in range(2):  # recorded, then replayed
        found = graphs.run(flat)
        assert found is not None
        np.testing.assert_allclose(found["outputs"], expected, atol=1e-5)
    ((tokens, rows),) = graphs.recorded
    assert tokens % 64 == 0 and tokens > sum(lengths) and rows > len(lengths)


def test_texts_of_like_size_share_a_bucket(graphs: CudaGraphs) -> None:
    for lengths in ((3,), (60,), (4, 5), (9, 11, 30)):
        graphs.run(packed(texts(*lengths), LENGTHS))
    assert list(graphs.recorded) == [(64, 2), (64, 8)]


def test_no_lone_text_waits_for_a_recording(graphs: CudaGraphs) -> None:
    graphs.record_lone_texts()
    recorded = [(64, 2), (128, 2), (192, 2), (256, 2), (384, 2)]
    assert list(graphs.recorded) == recorded
    for length in range(1, 301, 13):
        graphs.run(packed(texts(length), LENGTHS))
    assert list(graphs.recorded) == recorded


def test_what_no_bucket_holds_is_not_recorded(graphs: CudaGraphs) -> None:
    assert graphs.run(packed(texts(*[40] * 20), LENGTHS)) is None  # too many tokens
    graphs.longest = 3
    assert graphs.run(packed(texts(5), LENGTHS)) is None  # its padding would be longer than a text
    graphs.longest, graphs.fixed = 300, False
    assert graphs.run(packed(texts(5), LENGTHS)) is None  # an output as long as the text
    assert graphs.recorded == {}


@pytest.mark.parametrize(("tokens", "rows"), [(0, 1), (5, 1), (7, 3), (64, 8)])
def test_padding_is_shared_out(tokens: int, rows: int) -> None:
    lengths = row_lengths(tokens, rows)
    assert (lengths.sum(), len(lengths), lengths[0]) == (tokens, rows, lengths.max())


@needs_no_gpu
def test_an_onnxruntime_for_cpus_is_said(packed_export: Path) -> None:
    with pytest.raises(
        CudaProviderError, match=r"as it is here on CPUs alone: pip uninstall onnxruntime onnxruntime-gpu"
    ):
        CudaEngine(packed_export, **SETTINGS).load(0)


@needs_no_gpu
def test_a_session_that_would_run_on_the_cpu_is_refused(packed_export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA])  # and then its libraries are missing
    with pytest.warns(UserWarning, match=CUDA), pytest.raises(CudaProviderError, match="did not get GPU 0"):
        CudaEngine(packed_export, **SETTINGS).load(0)
