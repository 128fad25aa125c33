"""sentence-transformers folders on a real Triton: prompts that are not pooled, and a CrossEncoder of several labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as http

from tbgen.export.tasks.table import TASKS
from tbgen.generator.engines.table import ENGINES
from tbgen.generator.models.graph import models_of
from tbgen.generator.models.write import write_models
from tbgen.server.embedded.server import EmbeddedServer
from tests.backends.served import column
from tests.backends.test_sentence_folders import TEXTS, exported
from tests.export.sentence_folders import bi_encoder, change, written
from tests.serving import serving

pytestmark = pytest.mark.filterwarnings("ignore")  # the library's own
SETTINGS = {"prompts": {"query": "the report: ", "none": ""}, "default_prompt_name": "query"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = tmp_path_factory.mktemp("folders")
    pooling = {"embedding_dimension": 32, "pooling_mode": ["mean", "cls"], "include_prompt": False}
    found = {
        "embedding": bi_encoder(made / "embedding", ("Pooling", pooling)),
        "text-classification": written(made / "pairs", "AutoModelForSequenceClassification", labels=3),
    }
    for folder in found.values():
        change(folder / "config_sentence_transformers.json", SETTINGS)
    return found


@pytest.fixture(scope="module")
def server(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    place = tmp_path_factory.mktemp("served")
    for task, folder in folders.items():
        settings: dict[str, Any] = {"task": TASKS[task], "engine": ENGINES["onnx"]}
        models = models_of(task, exported(folder), graphs=("ensemble", "bls"), **settings)
        write_models(models, place / "repository", {})
    with serving(place / "repository", log=place / "log") as running:
        yield running


def ask(
    server: EmbeddedServer, model: str, tensors: dict[str, np.ndarray], output: str, **parameters: Any
) -> np.ndarray:
    inputs = []
    for name, array in tensors.items():
        inputs.append(http.InferInput(name, list(array.shape), "BYTES"))
        inputs[-1].set_data_from_numpy(array)
    with http.InferenceServerClient(server.http_url) as client:
        answer: np.ndarray = client.infer(model, inputs, parameters=parameters or None).as_numpy(output)
    return answer


@pytest.mark.parametrize("graph", ["ensemble", "bls"])
@pytest.mark.parametrize("name", [None, "none"])
def test_prompts_stay_out_of_the_pooling(
    server: EmbeddedServer, folders: dict[str, Path], graph: str, name: str | None
) -> None:
    from sentence_transformers import SentenceTransformer

    expected = SentenceTransformer(str(folders["embedding"])).encode(TEXTS, prompt_name=name)
    asked = {"prompt_name": name} if name else {}
    answer = ask(server, f"embedding_onnx_{graph}", {"input_text": column(*TEXTS)}, "embedding", **asked)
    np.testing.assert_allclose(answer, expected, atol=1e-5)


@pytest.mark.parametrize("graph", ["ensemble", "bls"])
def test_classes_of_pairs(server: EmbeddedServer, folders: dict[str, Path], graph: str) -> None:
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folders["text-classification"]))
    pairs = {"input_text": column(*["금리"] * len(TEXTS)), "text_pair": column(*TEXTS)}
    answer = ask(server, f"text-classification_onnx_{graph}", pairs, "logits")
    np.testing.assert_allclose(answer, model.predict([("금리", text) for text in TEXTS]), atol=1e-5)
