import hashlib
import json
import shutil
from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from tbgen.export.errors import UserError
from tbgen.generator.models.config import config_from_text
from tbgen.generator.repository import read_record
from tbgen.generator.scaffold import Request, refuse_what_triton_refuses, scaffold

COMMITTED = Path(__file__).parents[2] / "model_repository"
RUNS_STEPS = {
    "model.py",
    "clients.py",
    "meter.py",
    "request_parameters.py",
    "text_tensors.py",
    "steps.json",
}
FILES = {
    "kcbert_onnx": {"model.onnx"},
    "kcbert_tokenizer": RUNS_STEPS
    | {"tokenizer.py", "text_tokenizer.py", "item_rows.py", "ensemble_limit.py", "tokenizer.json", "vendor"},
    "kcbert_postprocess": RUNS_STEPS | {"softmax_classification.py", "ensemble_limit.py"},
    "kcbert_onnx_ensemble": {"README"},
    "kcbert_onnx_bls": RUNS_STEPS
    | {
        "text_tokenizer.py",
        "engine_call.py",
        "micro_batches.py",
        "request_queue.py",
        "softmax_classification.py",
        "tokenizer.json",
        "vendor",
    },
}


def hashes(folder: Path) -> dict[str, str]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and "__pycache__" not in file.parts)
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def repository(sample_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scaffold") / "model_repository"
    scaffold(Request("kcbert", sample_export), folder)
    return folder


def test_what_a_bls_model_carries_is_soon_read() -> None:
    files = (COMMITTED / "kcbert_onnx_bls" / "1").glob("*.py")
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files) <= 834


def test_ensemble_and_bls_are_written_around_one_engine(repository: Path) -> None:
    assert {folder.name for folder in repository.iterdir()} == set(FILES)
    for name, files in FILES.items():
        assert {file.name for file in (repository / name / "1").iterdir()} == files
        assert {file.name for file in (repository / name).iterdir()} == {"1", "config.pbtxt", "tbgen.json"}


def test_the_ensemble_is_wired_by_tensor_names(repository: Path) -> None:
    config = config_from_text((repository / "kcbert_onnx_ensemble" / "config.pbtxt").read_text(encoding="utf-8"))
    steps = config.ensemble_scheduling.step
    assert [step.model_name for step in steps] == ["kcbert_tokenizer", "kcbert_onnx", "kcbert_postprocess"]
    assert dict(steps[1].input_map) == {name: name for name in ("input_ids", "attention_mask", "token_type_ids")}
    assert [(tensor.name, list(tensor.dims)) for tensor in config.input] == [("input_text", [1])]
    assert [(tensor.name, list(tensor.dims)) for tensor in config.output] == [
        ("label_index", [1]),
        ("softmax", [3]),
        ("label", [1]),
        ("score", [1]),
        ("top_labels", [-1]),
        ("top_scores", [-1]),
        ("logits", [3]),
        ("json", [1]),
    ]


def test_the_engine_has_one_instance_and_no_batcher(repository: Path) -> None:
    config = config_from_text((repository / "kcbert_onnx" / "config.pbtxt").read_text(encoding="utf-8"))
    assert (config.backend, config.platform, config.max_batch_size) == ("onnxruntime", "onnxruntime_onnx", 32)
    assert [(group.count, group.kind) for group in config.instance_group] == [(1, ModelInstanceGroup.KIND_AUTO)]
    assert not config.HasField("dynamic_batching")
    assert [list(tensor.dims) for tensor in config.output] == [[3]]


def test_the_bls_model_runs_the_same_steps(repository: Path) -> None:
    steps = json.loads((repository / "kcbert_onnx_bls" / "1" / "steps.json").read_text(encoding="utf-8"))["steps"]
    assert [step["class"] for step in steps] == ["Tokenizer", "Engine", "TextClassification"]
    alone = json.loads((repository / "kcbert_tokenizer" / "1" / "steps.json").read_text(encoding="utf-8"))["steps"]
    assert steps[0] == alone[0] | {"file": "text_tokenizer.py"}
    assert steps[0]["settings"]["buckets"][-2:] == [296, 300]


def test_twice_gives_the_same_bytes(repository: Path, sample_export: Path, tmp_path: Path) -> None:
    scaffold(Request("kcbert", sample_export), tmp_path / "again")
    assert hashes(tmp_path / "again") == hashes(repository)


def test_the_committed_repository_is_what_the_tool_writes(tmp_path: Path) -> None:
    scaffold(Request("kcbert"), tmp_path / "model_repository")
    written = hashes(tmp_path / "model_repository")
    committed = hashes(COMMITTED)
    left_out = written.keys() - committed.keys()  # of weights and vendored files the committed records have the hashes
    assert all(name == "kcbert_onnx/1/model.onnx" or "/1/vendor/" in name for name in left_out)
    assert {name: written[name] for name in committed} == committed


def test_without_vendored_packages(sample_export: Path, tmp_path: Path) -> None:
    scaffold(Request("kcbert", sample_export, vendor=False), tmp_path / "r")
    assert not list(tmp_path.rglob("vendor"))


def test_one_graph_alone(sample_export: Path, tmp_path: Path) -> None:
    scaffold(Request("shop", sample_export, graph="bls"), tmp_path / "r")
    assert sorted(folder.name for folder in (tmp_path / "r").iterdir()) == ["shop_onnx", "shop_onnx_bls"]


def test_auto_is_bls_on_a_processor_and_an_ensemble_on_a_gpu(sample_export: Path, tmp_path: Path) -> None:
    written = scaffold(Request("shop", sample_export, graph="auto"), tmp_path / "r")
    assert written.fronts == ("shop_onnx_bls",)
    assert read_record(written.models[-1])["settings"]["graph"] == "bls"
    written = scaffold(Request("kcbert", engine="onnx_trt", graph="auto"), tmp_path / "r")
    assert written.fronts == ("kcbert_onnx_trt_ensemble",)


def test_auto_is_bls_where_an_ensemble_cannot_serve(tmp_path: Path) -> None:
    written = scaffold(Request("kcbert", engine="onnx_trt", graph="auto", long_text="windows"), tmp_path / "r")
    assert written.fronts == ("kcbert_onnx_trt_bls",)
    assert not written.warnings


def test_labels_can_be_named(tmp_path: Path) -> None:
    written = scaffold(Request("kcbert", labels=("bad", "so-so", "good"), graph="ensemble"), tmp_path / "r")
    steps = json.loads((written.repository / "kcbert_postprocess/1/steps.json").read_text(encoding="utf-8"))["steps"]
    assert steps[0]["settings"]["labels"] == ["bad", "so-so", "good"]


def test_the_walk_throughs_fixed_length(tmp_path: Path) -> None:
    repository = tmp_path / "r"
    scaffold(Request("kcbert", fixed_length=300), repository)
    engine = config_from_text((repository / "kcbert_onnx" / "config.pbtxt").read_text(encoding="utf-8"))
    tokenizer = config_from_text((repository / "kcbert_tokenizer" / "config.pbtxt").read_text(encoding="utf-8"))
    assert {tuple(tensor.dims) for tensor in engine.input} == {(300,)}
    assert {tuple(tensor.dims) for tensor in tokenizer.output if tensor.name != "tbgen_turn"} == {(300,)}


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (Request("kcbert", task="text-classify"), "no task 'text-classify'. Tasks: "),
        (Request("kcbert", engine="onxx"), "no engine 'onxx'. Engines: onnx"),
        (Request("kcbert", graph="tree"), "no graph 'tree'. Graphs: auto, bls, both, ensemble"),
        (Request("kcbert", platform="arm"), "no platform 'arm'. Platforms: aarch64, x86_64"),
        (Request("../evil"), "'../evil' cannot name a model"),
        (Request("mine"), "no preset 'mine' (presets: kcbert); name your checkpoint with --source DIR"),
        (Request("mine", Path("/nowhere")), "no folder '/nowhere', and it is no name on the hub"),
        (Request("kcbert", labels=("a", "b")), "2 labels were named (a, b), the checkpoint has 3"),
    ],
)
def test_bad_input_is_a_sentence_and_writes_nothing(request_: Request, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        scaffold(request_, tmp_path / "r")
    assert sentence in error.value.message
    assert list(tmp_path.iterdir()) == []


def test_models_that_triton_would_refuse_are_not_published(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path / "staging")
    (tmp_path / "staging" / "kcbert_tokenizer" / "1" / "steps.json").unlink()
    with pytest.raises(UserError, match=r"Triton would refuse kcbert_tokenizer: .*steps\.json"):
        refuse_what_triton_refuses(tmp_path / "staging", list(FILES))


def test_what_a_person_had_in_a_replaced_model_is_named(sample_export: Path, tmp_path: Path) -> None:
    asked = Request("shop", sample_export, graph="bls", vendor=False)
    scaffold(asked, tmp_path / "r", comparing=False)
    model = tmp_path / "r" / "shop_onnx_bls"
    (model / "2").symlink_to("1")
    (model / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=r"shop_onnx_bls was edited since tbgen wrote it \(2, notes.txt\)"):
        scaffold(asked, tmp_path / "r", comparing=False)
    said = scaffold(asked, tmp_path / "r", force=True, comparing=False).warnings
    assert said == (f"{model} was replaced with what you had in it: 2, notes.txt",)
