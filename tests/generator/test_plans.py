"""Models around a TensorRT plan. Building and running one needs a GPU; what is written around it does not."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.errors import UserError
from tbgen.export.exported import Exported, TensorSpec, exported_from_folder, record_of
from tbgen.export.files import write_json
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.export.tensorrt.export import with_plan
from tbgen.export.tensorrt.plan import Plan
from tbgen.export.tensorrt.profiles import profile_from_text
from tbgen.generator.models.config import config_from_text
from tbgen.generator.presets import SAMPLES
from tbgen.generator.scaffold import Request, scaffold

TOKENS = ("input_ids", "attention_mask", "token_type_ids")
H100 = {"gpu": "NVIDIA H100 80GB HBM3", "compute_capability": "9.0"}


def plan_folder(onnx: Path, folder: Path, *shapes: str) -> Path:
    """The export folder that `tbgen export tensorrt` writes on a GPU machine, around a file that is no plan."""
    exported = exported_from_folder(onnx)
    folder.mkdir()
    (folder / "model.plan").write_bytes(b"plan")
    (folder / "tokenizer.json").write_bytes(exported.tokenizer.read_bytes())
    profiles = tuple(profile_from_text(shape) for shape in shapes)
    plan = Plan(
        {name: TensorSpec("int32", ("batch", "sequence")) for name in TOKENS},
        {"outputs": TensorSpec("float32", ("batch", 3))},
        profiles,
        "8.5.3.1",
    )
    write_json(folder / "export.json", record_of(with_plan(exported, folder, plan, "fp16", H100)))
    return folder


def config_of(repository: Path, name: str) -> ModelConfig:
    return config_from_text((repository / name / "config.pbtxt").read_text(encoding="utf-8"))


def steps_of(repository: Path, name: str) -> dict[str, dict]:
    steps = json.loads((repository / name / "1" / "steps.json").read_text(encoding="utf-8"))["steps"]
    return {step["class"]: step["settings"] for step in steps}


@pytest.fixture(scope="module")
def repository(sample_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plans")
    source = plan_folder(sample_export, folder / "plan", "1x300", "1x128", "32x128")
    scaffold(Request("kcbert", source, engine="trt_fp16"), folder / "model_repository")
    return folder / "model_repository"


def test_the_models_are_named_after_the_engine_with_a_tokenizer_of_its_own(repository: Path) -> None:
    assert sorted(folder.name for folder in repository.iterdir()) == [
        "kcbert_postprocess",
        "kcbert_trt_fp16",
        "kcbert_trt_fp16_bls",
        "kcbert_trt_fp16_ensemble",
        "kcbert_trt_fp16_tokenizer",
    ]
    assert (repository / "kcbert_trt_fp16" / "1" / "model.plan").read_bytes() == b"plan"


def test_the_engine_lists_every_profile_and_runs_on_a_gpu(repository: Path) -> None:
    config = config_of(repository, "kcbert_trt_fp16")
    assert (config.backend, config.platform, config.max_batch_size) == ("tensorrt", "tensorrt_plan", 32)
    group = config.instance_group[0]
    assert (group.kind, list(group.profile)) == (ModelInstanceGroup.KIND_GPU, ["0", "1", "2"])
    assert [(tensor.data_type, list(tensor.dims)) for tensor in config.input] == [(8, [-1])] * 3  # 8: TYPE_INT32
    assert not config.HasField("dynamic_batching")


def test_tokenizer_and_bls_know_the_plans_types_lengths_and_shapes(repository: Path) -> None:
    tokenizer = steps_of(repository, "kcbert_trt_fp16_tokenizer")["Tokenizer"]
    assert (tokenizer["data_type"], tokenizer["buckets"]) == ("TYPE_INT32", [128, 300])
    engine = steps_of(repository, "kcbert_trt_fp16_bls")["Engine"]
    assert engine["shapes"] == tokenizer["shapes"] == [[1, 1, 300, 300], [1, 1, 128, 128], [32, 32, 128, 128]]
    assert engine["max_batch_size"] == 32


def test_a_plan_of_one_short_shape_shortens_the_texts(sample_export: Path, tmp_path: Path) -> None:
    source = plan_folder(sample_export, tmp_path / "plan", "1x128")
    scaffold(Request("kcbert", source, engine="trt_fp16"), tmp_path / "models")
    tokenizer = steps_of(tmp_path / "models", "kcbert_trt_fp16_tokenizer")["Tokenizer"]
    assert (tokenizer["max_length"], tokenizer["buckets"]) == (128, [128])
    assert "shapes" not in tokenizer
    assert config_of(tmp_path / "models", "kcbert_trt_fp16_ensemble").max_batch_size == 1


@pytest.mark.parametrize(
    ("shapes", "joined"),
    [
        (["1-32x128-128"], True),
        (["1x128", "32x128"], False),  # two texts together fit neither
        (["1x128"], False),
        (["1-32x16-128"], False),
    ],
)
def test_a_plan_of_one_length_for_any_rows_joins_requests(
    shapes: list[str], joined: bool, sample_export: Path, tmp_path: Path
) -> None:
    source = plan_folder(sample_export, tmp_path / "plan", *shapes)
    scaffold(Request("kcbert", source, engine="trt_fp16"), tmp_path / "models")
    assert config_of(tmp_path / "models", "kcbert_trt_fp16").HasField("dynamic_batching") == joined


def test_an_onnx_file_is_no_plan_and_a_plan_no_onnx_file(
    sample_export: Path, packed_export: Path, tmp_path: Path
) -> None:
    source = plan_folder(sample_export, tmp_path / "plan", "1x128")
    for request, why in (
        (Request("kcbert", sample_export, engine="trt_fp16"), "runs a TensorRT plan, model.onnx is none; build one"),
        (Request("kcbert", engine="trt_fp16"), "or have a script written that does, with --build-script"),
        (Request("kcbert", source, engine="onnx"), "model.plan is a TensorRT plan, engine onnx runs an ONNX file"),
        (Request("kcbert", source, engine="trt_fp32"), "model.plan is fp16: use --engine trt_fp16"),
        (Request("kcbert", sample_export, build_script="24.10"), "engine onnx needs no plan"),
        (Request("kcbert", packed_export, engine="onnx_trt"), "model.onnx has the packed layout"),
        (Request("kcbert", packed_export, layout="padded"), "is packed; export it anew with --layout padded"),
        (Request("kcbert", sample_export, engine="trt_fp16", build_script="9.9"), "no Triton release '9.9'"),
    ):
        with pytest.raises(UserError, match=why.replace("(", r"\(")):
            scaffold(request, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_onnx_runtime_is_told_one_range_of_shapes_and_where_its_engines_are_kept(
    sample_export: Path, tmp_path: Path
) -> None:
    scaffold(Request("kcbert", sample_export, engine="onnx_trt", graph="bls"), tmp_path)
    config = config_of(tmp_path, "kcbert_onnx_trt")
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator[0]
    assert (config.backend, accelerator.name) == ("onnxruntime", "tensorrt")
    assert dict(accelerator.parameters) == {
        "precision_mode": "FP16",
        "max_workspace_size_bytes": "4294967296",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": "/tmp/tensorrt_engine_cache/kcbert_onnx_trt",
        "trt_layer_norm_fp32_fallback": "1",
        "trt_profile_min_shapes": "input_ids:1x2,attention_mask:1x2,token_type_ids:1x2",
        "trt_profile_opt_shapes": "input_ids:32x64,attention_mask:32x64,token_type_ids:32x64",
        "trt_profile_max_shapes": "input_ids:32x300,attention_mask:32x300,token_type_ids:32x300",
    }


@pytest.fixture(scope="module")
def half_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample in FP16, from which TensorRT 10 and later take their types."""
    folder = tmp_path_factory.mktemp("half") / "export"
    onnx_from_checkpoint(checkpoint_from_folder(SAMPLES / "kcbert"), folder, precision="fp16")
    return folder


@pytest.mark.parametrize(
    ("release", "data_type", "options"),
    [
        ("24.04", 8, ["--fp16", "--minShapes=input_ids:1x2,"]),  # TensorRT 8.6 knows no INT64
        ("26.07", 9, ["--stronglyTyped", "--profile=3 --minShapes=input_ids:1x129,"]),
    ],
)
def test_a_script_builds_the_plan_in_place(
    sample_export: Path, half_export: Path, tmp_path: Path, release: str, data_type: int, options: list[str]
) -> None:
    source = half_export if release == "26.07" else sample_export
    request = Request("kcbert", source, engine="trt_fp16", graph="bls", build_script=release)
    scaffold(request, tmp_path / "models")
    engine = tmp_path / "models" / "kcbert_trt_fp16"
    script = engine / "build" / "build.sh"
    text = script.read_text(encoding="utf-8")
    assert f"nvcr.io/nvidia/tensorrt:{release}-py3" in text
    assert all(option in text for option in options)
    assert config_of(tmp_path / "models", "kcbert_trt_fp16").input[0].data_type == data_type
    assert os.access(script, os.X_OK)


def test_a_script_is_not_written_around_a_file_of_other_types(
    sample_export: Path, half_export: Path, tmp_path: Path
) -> None:
    plan = plan_folder(sample_export, tmp_path / "plan", "1x128")
    for source, release, options, why in (
        (sample_export, "26.07", {}, "model.onnx is fp32, and TensorRT 11 needs fp16 for a fp16 plan: export it with"),
        (half_export, "24.04", {}, "model.onnx is fp16, and TensorRT 8.6 needs fp32 for a fp16 plan: export it with"),
        (plan, "24.04", {}, "model.plan is a plan already; leave --build-script out"),
        (sample_export, "24.04", {"fixed_length": 128}, "--fixed-length is for ONNX files; the lengths of a plan are"),
        (sample_export, "24.04", {"layout": "packed"}, "--layout packed is for ONNX Runtime, TensorRT does not read"),
    ):
        with pytest.raises(UserError, match=why):
            scaffold(Request("kcbert", source, engine="trt_fp16", build_script=release, **options), tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_the_script_runs_and_moves_the_plan_to_its_place(half_export: Path, tmp_path: Path) -> None:
    """With a docker that runs it here, and a trtexec that writes a file: the shell's part is real."""
    request = Request("kcbert", half_export, engine="trt_fp16", graph="bls", build_script="26.07")
    scaffold(request, tmp_path / "models")
    engine = tmp_path / "models" / "kcbert_trt_fp16"
    said = tmp_path / "said"
    write_program(tmp_path / "container" / "trtexec", f'printf "%s\\n" "$@" >> {said}; printf plan > build/model.plan')
    write_program(
        tmp_path / "bin" / "docker",
        f'printf "%s\\n" "$@" > {said}; PATH="{tmp_path}/container:$PATH" exec sh build/build.sh',
    )
    path = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    subprocess.run([engine / "build" / "build.sh"], check=True, env=path, cwd=tmp_path)
    assert (engine / "1" / "model.plan").read_bytes() == b"plan"
    words = said.read_text(encoding="utf-8").splitlines()
    assert f"{engine}:/model" in words
    assert "/model/build/build.sh" in words
    assert "--onnx=build/model.onnx" in words
    assert sum(word.startswith("--minShapes=") for word in words) == 4


def write_program(file: Path, does: str) -> None:
    file.parent.mkdir()
    file.write_text(f"#!/bin/sh\n{does}\n", encoding="utf-8")
    file.chmod(0o755)


def test_the_record_of_a_plan_says_what_built_it(sample_export: Path, tmp_path: Path) -> None:
    built: Exported = exported_from_folder(plan_folder(sample_export, tmp_path / "plan", "1x300", "32x128"))
    assert built.made.record()["tensorrt"] == {
        "version": "8.5.3.1",
        "gpu": "NVIDIA H100 80GB HBM3",
        "compute_capability": "9.0",
        "profiles": [
            {"min": [1, 300], "opt": [1, 300], "max": [1, 300]},
            {"min": [32, 128], "opt": [32, 128], "max": [32, 128]},
        ],
    }
    assert (built.max_length, built.fixed_length) == (300, None)
    assert replace(built, folder=tmp_path).inputs["input_ids"] == TensorSpec("int32", ("batch", "sequence"))


def test_a_single_model_runs_the_plan_itself_on_each_gpu(sample_export: Path, tmp_path: Path) -> None:
    source = plan_folder(sample_export, tmp_path / "plan", "1x300", "1x128", "32x128")
    for graph in ("bls", "single"):
        scaffold(Request("kcbert", source, engine="trt_fp16", graph=graph), tmp_path / "models")
    single = tmp_path / "models" / "kcbert_trt_fp16_single"
    assert (single / "1" / "model.plan").read_bytes() == b"plan"
    assert {"plan_session.py", "plan.py", "cuda.py"} <= {file.name for file in (single / "1").iterdir()}
    assert config_of(tmp_path / "models", single.name).instance_group[0].kind == ModelInstanceGroup.KIND_GPU
    engine = steps_of(tmp_path / "models", single.name)["PlanEngine"]
    called = steps_of(tmp_path / "models", "kcbert_trt_fp16_bls")["Engine"]
    assert {**engine, "model": "kcbert_trt_fp16"} == {**called, "plan": "model.plan"}
    record = json.loads((single / "tbgen.json").read_text(encoding="utf-8"))
    assert record["imports"]["plan_engine.py"] == ["tensorrt"]
