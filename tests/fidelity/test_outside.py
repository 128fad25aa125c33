"""Families that are not in the table: each sentence that refuses one, and that what it advises works."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from tbgen.export.checkpoint.config import encoder_config
from tbgen.export.errors import UserError
from tbgen.export.families import FAMILIES, family_of
from tbgen.generator.local.models import LocalModels
from tbgen.generator.scaffold import Request, scaffold
from tests.fidelity import libraries
from tests.fidelity.cases import CASES, CLASSES, classes_served
from tests.fidelity.cells import tensors_of
from tests.fidelity.made import CONFIGS, tokenizer_of, written
from tests.fidelity.measure import compared

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own

OUTSIDE = sorted(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES.keys() - FAMILIES.keys())
SENTENCE = (
    "no encoder family {!r}. Encoder families: albert, bert, camembert, deberta, deberta-v2, distilbert, electra, "
    "modernbert, mpnet, roberta, xlm-roberta. A model of another one can be served from an ONNX file that was made "
    "elsewhere: --source model.onnx --tokenizer DIR"
)


@pytest.fixture(scope="module")
def ernie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of a family outside, as transformers saves it."""
    folder, tokenizer = tmp_path_factory.mktemp("ernie"), tokenizer_of("bert")
    labels = {"id2label": dict(enumerate(CLASSES)), "label2id": {label: n for n, label in enumerate(CLASSES)}}
    config = transformers.AutoConfig.for_model(
        "ernie", vocab_size=len(tokenizer), **CONFIGS["bert"], **labels, initializer_range=0.5
    )
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def refused(request: Request, folder: Path) -> str:
    """The sentence with which scaffold refuses; it writes nothing."""
    with pytest.raises(UserError) as error:
        scaffold(request, folder / "models")
    assert not (folder / "models").exists() or not list((folder / "models").iterdir())
    return error.value.message


@pytest.mark.parametrize("family", OUTSIDE)
def test_a_family_outside_is_refused_by_name(family: str) -> None:
    with pytest.raises(UserError) as error:
        encoder_config({"model_type": family})
    assert error.value.message == SENTENCE.format(family)


def test_a_checkpoint_of_one_is_refused_before_anything_is_written(ernie: Path, tmp_path: Path) -> None:
    assert refused(Request("m", ernie), tmp_path) == SENTENCE.format("ernie")


def test_a_sentence_encoder_around_one_is_refused(ernie: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(str(ernie), device="cpu").save(str(tmp_path / "saved"))
    assert refused(Request("m", tmp_path / "saved"), tmp_path) == SENTENCE.format("ernie")


def test_a_state_dict_of_one_is_refused(ernie: Path, tmp_path: Path) -> None:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(ernie)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    request = Request("m", tmp_path / "model.pt", base=str(ernie), tokenizer=ernie, label_count=3)
    assert refused(request, tmp_path) == SENTENCE.format("ernie")


def test_one_from_an_onnx_file_is_served_as_the_sentence_says(ernie: Path, tmp_path: Path) -> None:
    write_onnx(transformers.AutoModelForSequenceClassification.from_pretrained(ernie), tmp_path / "model.onnx")
    scaffold(Request("m", tmp_path / "model.onnx", tokenizer=ernie, vendor=False), tmp_path / "models")
    ask = libraries.classes(ernie)
    with LocalModels(tmp_path / "models") as models:
        for name, item in CASES["text-classification"].items(tokenizer_of("bert")).items():
            answer = models.infer("m_onnx_ensemble", tensors_of([item]))
            assert compared(name, ask(item), classes_served(answer, 0)).holds, name


def write_onnx(model: Any, path: Path) -> None:
    """Export as a person does who knows torch alone."""
    names = ["input_ids", "attention_mask", "token_type_ids"]
    axes = {name: {0: "batch", 1: "sequence"} for name in names} | {"logits": {0: "batch"}}
    ones = tuple(torch.ones(2, 8, dtype=torch.int64) for _ in names)
    torch.onnx.export(
        Logits(model).eval(),
        ones,
        str(path),
        input_names=names,
        output_names=["logits"],
        dynamic_axes=axes,
        dynamo=False,
    )


class Logits(torch.nn.Module):
    """A classifier's logits alone."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(input_ids=ids, attention_mask=mask, token_type_ids=types).logits
        return logits


# What config.json of a listed family's checkpoint says that makes it one of another, and the sentence.
OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "no family": (
        {"model_type": ""},
        f"config.json does not name its family (model_type){SENTENCE.removeprefix('no encoder family {!r}')}",
    ),
    "code of its own": (
        {"auto_map": {"AutoModelForSequenceClassification": "modeling_bert.JinaBertForSequenceClassification"}},
        "auto_map of config.json names code of the checkpoint's own (modeling_bert.JinaBertForSequenceClassification), "
        "which tbgen does not run; where the bert of transformers answers alike, take auto_map out, else export it to "
        "ONNX yourself: --source model.onnx",
    ),
    "a decoder": (
        {"is_decoder": True},
        "config.json says is_decoder: true, so each token reads only those before it; tbgen serves encoders. If it was "
        "trained as one, write false",
    ),
    "relative positions": (
        {"position_embedding_type": "relative_key"},
        'config.json says position_embedding_type: "relative_key", which transformers 5 no longer computes: it would '
        "answer otherwise than in training. Export it to ONNX with transformers 4, and name that file: --source "
        "model.onnx",
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_listed_family_that_computes_otherwise_is_refused(what: str, tmp_path: Path) -> None:
    row = CASES["text-classification"]
    folder = written(tmp_path, "bert", row.auto, row.labels, row.encoder)
    settings, sentence = OTHERS[what]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **settings}), encoding="utf-8")
    assert refused(Request("m", folder), tmp_path) == sentence


def test_the_table_itself_names_its_families() -> None:
    with pytest.raises(UserError, match=r"no encoder family 'ernie'. Encoder families: albert, bert, camembert, "):
        family_of({"model_type": "ernie"})


@pytest.mark.parametrize("family", [name for name, row in FAMILIES.items() if not row.encoder])
def test_a_family_without_the_packed_layout_says_so(family: str, tmp_path: Path) -> None:
    row = CASES["text-classification"]
    folder = written(tmp_path, family, row.auto, row.labels, row.encoder)
    assert refused(Request("m", folder, layout="packed"), tmp_path) == (
        f"this {family} has no packed layout; it is for bert, distilbert, roberta, xlm-roberta, camembert, electra, "
        "albert, without linear layers of sentence-transformers behind them. Use --layout padded"
    )
