"""Long texts on a real Triton: windows answer what the steps answer; short texts what truncation does, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from tbgen.export.errors import UserError
from tbgen.export.tasks.table import TASKS
from tbgen.generator.engines.table import ENGINES
from tbgen.generator.models.graph import graphs_of_task, models_of
from tbgen.generator.models.long_text import task_for
from tbgen.generator.models.write import write_models
from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.embedded.server import EmbeddedServer
from tests.backends.conftest import Pair, exports  # noqa: F401 - a fixture
from tests.backends.served import Served, column
from tests.backends.test_long_text import HEADS, MIXED, STRIDE, WINDOWED, pair_of
from tests.serving import serving
from tests.texts import SENTENCES
from tests.triton.test_tasks import ask

HOW: dict[str, dict[str, Any]] = {"windows": {"stride": STRIDE}, "truncate": {}, "reject": {}}


@pytest.fixture(scope="module")
def server(
    exports: Callable[..., Pair],  # noqa: F811
    sample_export: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[EmbeddedServer]:
    """One Triton with each task in each way, one of them as an ensemble too, and the sample with windows."""
    folder = tmp_path_factory.mktemp("long")
    scaffold(Request("shop", sample_export, long_text="windows"), folder / "repository")
    for task in WINDOWED:
        for how, options in HOW.items():
            row = task_for(task, TASKS[task], how)
            settings: dict[str, Any] = {"task": row, "engine": ENGINES["onnx"], "options": options}
            graphs = graphs_of_task(row) if task == "text-classification" else ("bls",)
            models = models_of(f"{how}_{task}", pair_of(exports, task).exported, graphs=graphs, **settings)
            write_models(models, folder / "repository", {})
    with serving(folder / "repository", log=folder / "log") as running:
        yield running


@pytest.mark.parametrize("task", WINDOWED)
def test_the_server_merges_windows_as_the_steps_do(
    server: EmbeddedServer,
    exports: Callable[..., Pair],  # noqa: F811
    tmp_path: Path,
    task: str,
) -> None:
    tensors = HEADS[task][2](MIXED)
    served = Served(tmp_path, task, pair_of(exports, task).exported, {"stride": STRIDE}, long_text="windows")
    for protocol in ("grpc", "http"):
        answer = ask(server, f"windows_{task}_onnx_bls", tensors, protocol)
        for name, expected in served.ask("bls", tensors).items():
            found = answer.as_numpy(name)
            assert found.shape == expected.shape, name
            if expected.dtype == object:
                assert [text.decode() for text in found.ravel()] == expected.ravel().tolist(), name
            else:
                np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("task", WINDOWED)
def test_within_the_limit_nothing_changes_not_even_a_bit(server: EmbeddedServer, task: str) -> None:
    for text in SENTENCES[:6]:
        tensors = HEADS[task][2]([text])
        windows, truncate, reject = (ask(server, f"{how}_{task}_onnx_bls", tensors, "grpc") for how in HOW)
        for output in truncate.get_response().outputs:
            expected = truncate.as_numpy(output.name)
            for found in (windows.as_numpy(output.name), reject.as_numpy(output.name)):
                assert found.dtype == expected.dtype
                assert found.tolist() == expected.tolist(), output.name


@pytest.mark.parametrize("graph", ["ensemble", "bls"])
def test_a_rejected_text_is_a_400_that_says_what_is_too_long(server: EmbeddedServer, graph: str) -> None:
    model = f"reject_text-classification_onnx_{graph}"
    with pytest.raises(InferenceServerException) as error:
        ask(server, model, {"input_text": column("금리", MIXED[5])}, "http")
    assert error.value.status() == "400"
    assert "input_text of item 1: 74 tokens; the model takes at most 40" in error.value.message()
    cut = ask(server, model, {"input_text": column("금리", MIXED[5])}, "http", truncation="longest_first")
    assert cut.as_numpy("label").shape == (2, 1)


def test_the_end_of_a_long_text_counts(server: EmbeddedServer) -> None:
    """The sample reads 300 tokens; what stands behind them is read by windows alone."""
    text = "금리는 동결되었다. " * 120
    plain, ending = (
        ask(server, "shop_onnx_bls", {"input_text": column(text + end)}, "grpc").as_numpy("softmax")[0]
        for end in ("", "주가가 급락하고 손실이 커져 투자자들이 물렸다. " * 60)
    )
    assert ending[0] > plain[0] + 0.1


def test_scaffold_says_that_windows_leave_the_ensemble_out(sample_export: Path, tmp_path: Path) -> None:
    written = scaffold(Request("shop", sample_export, long_text="windows"), tmp_path / "r")
    assert [folder.name for folder in written.models] == ["shop_onnx", "shop_onnx_bls"]
    assert written.warnings == (
        "--long-text windows reads several rows for a text, which an ensemble cannot: shop_onnx_bls is the one front "
        "model",
    )
    assert scaffold(Request("shop", sample_export, graph="bls", long_text="windows"), tmp_path / "b").warnings == ()
    with pytest.raises(UserError, match="reads several rows for an item, which an ensemble cannot; use --graph bls"):
        scaffold(Request("shop", sample_export, graph="ensemble", long_text="windows"), tmp_path / "e")
