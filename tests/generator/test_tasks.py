from collections.abc import Callable
from pathlib import Path

import pytest

from tbgen.export.errors import UserError
from tbgen.export.tasks.table import TASKS
from tbgen.export.tasks.task import Step
from tbgen.generator.models.graph import check_options, graphs_for
from tbgen.generator.steps.chain import chain_parameters, chain_tensors
from tests.backends.conftest import Pair, exports  # noqa: F401 - a fixture
from tests.backends.served import Served, column

DOCS = (Path(__file__).parents[2] / "docs" / "reference" / "tasks.md").read_text(encoding="utf-8")
HEADS: dict[str, tuple[str, tuple[str, ...]]] = {
    "text-classification": ("AutoModelForSequenceClassification", ()),
    "token-classification": ("AutoModelForTokenClassification", ()),
    "question-answering": ("AutoModelForQuestionAnswering", ("start", "end")),
    "embedding": ("AutoModel", ()),
    "rerank": ("AutoModelForSequenceClassification", ("score",)),
    "similarity": ("AutoModel", ()),
    "fill-mask": ("AutoModelForMaskedLM", ()),
    "zero-shot-classification": ("AutoModelForSequenceClassification", ("contradiction", "entailment")),
    "sparse-embedding": ("AutoModelForMaskedLM", ()),
}
UPPER = """
import numpy as np
class Upper:
    def __init__(self, folder, *, tensor="label"):
        self.inputs = self.outputs = {tensor: ("TYPE_STRING", [1])}
    def __call__(self, **texts):
        return {name: np.array([[text.upper()] for text in array[:, 0]], dtype=object) for name, array in texts.items()}
"""


@pytest.mark.parametrize("task", list(TASKS))
def test_the_table_of_the_docs_is_the_steps_own(exports: Callable[..., Pair], tmp_path: Path, task: str) -> None:  # noqa: F811
    auto, labels = HEADS[task]
    steps = Served(tmp_path, task, exports("bert", auto, task, labels).exported).parts["m_onnx_bls"]
    rows = [line for line in DOCS.splitlines() if line.startswith(f"| {task}")]
    inputs, outputs = chain_tensors(steps)
    for name in (*inputs, *outputs, *chain_parameters(steps)):
        assert f"`{name}`" in rows[0], name
    for name in TASKS[task].options:
        assert f"`{name}`" in rows[1], name


def two_classes(make: Callable[..., Pair]) -> Pair:
    return make("bert", "AutoModelForSequenceClassification", "text-classification", ("bad", "good"))


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    file = tmp_path / "upper.py"
    file.write_text(UPPER, encoding="utf-8")
    return file


@pytest.mark.parametrize("graph", ["ensemble", "bls"])
def test_own_steps_run_before_the_tokenizer_and_behind_the_head(
    exports: Callable[..., Pair],  # noqa: F811
    tmp_path: Path,
    upper: Path,
    graph: str,
) -> None:
    pair = two_classes(exports)
    pre, post = Step(upper, "Upper", {"tensor": "input_text"}), Step(upper, "Upper", {})
    plain = Served(tmp_path / "plain", "text-classification", pair.exported)
    served = Served(tmp_path / "own", "text-classification", pair.exported, pre=(pre,), post=(post,))
    answer = served.ask(graph, {"input_text": column("the shares rose")})
    expected = plain.ask(graph, {"input_text": column("THE SHARES ROSE")})
    assert answer["label"][0, 0] == expected["label"][0, 0].upper()
    assert answer["score"].tolist() == expected["score"].tolist()


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (UPPER.replace('"label"', '"lable"'), "Upper takes lable, which no step before it gives; there is: "),
        (
            UPPER.replace("[1]", "[2]"),
            "TextClassification gives label as TYPE_STRING [1], Upper takes it as TYPE_STRING [2]",
        ),
    ],
)
def test_a_step_that_does_not_fit_is_refused(
    exports: Callable[..., Pair],  # noqa: F811
    tmp_path: Path,
    upper: Path,
    code: str,
    sentence: str,
) -> None:
    upper.write_text(code, encoding="utf-8")
    pair = two_classes(exports)
    with pytest.raises(UserError) as error:
        Served(tmp_path / "own", "text-classification", pair.exported, post=(Step(upper, "Upper", {}),))
    assert sentence in error.value.message


def test_a_step_may_not_have_the_name_of_another_file(
    exports: Callable[..., Pair],  # noqa: F811
    tmp_path: Path,
) -> None:
    (tmp_path / "tokenizer.py").write_text(UPPER, encoding="utf-8")
    pre = Step(tmp_path / "tokenizer.py", "Upper", {"tensor": "input_text"})
    pair = two_classes(exports)
    with pytest.raises(UserError, match="has the name of another file of the model; rename it"):
        Served(tmp_path / "own", "text-classification", pair.exported, pre=(pre,))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"topk": 3}, "no option 'topk' for this task. Options: pair, activation, top_k, threshold, logits, json"),
        ({"top_k": "3"}, "option top_k takes a value of type integer, not '3'"),
    ],
)
def test_options_are_checked(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError) as error:
        check_options(TASKS["text-classification"], options)
    assert error.value.message == sentence


def test_an_option_without_use_is_not_passed_over(exports: Callable[..., Pair], tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(UserError) as error:
        Served(tmp_path, "text-classification", two_classes(exports).exported, {"threshold": 0.3})
    assert error.value.message == (
        "option threshold has no use with the activation softmax, by which this checkpoint is read; "
        "leave it out, or set activation to sigmoid"
    )


def test_an_ensemble_cannot_serve_a_task_of_several_rows() -> None:
    assert graphs_for(TASKS["rerank"], ("ensemble", "bls")) == ("bls",)
    with pytest.raises(UserError, match="several rows for an item, which an ensemble cannot; use --graph bls"):
        graphs_for(TASKS["rerank"], ("ensemble",))
