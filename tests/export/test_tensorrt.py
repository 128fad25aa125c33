"""The builder's part that needs no GPU: refusals, names, whole files. The rest ran as docs/how-to/tensorrt.md says."""

import ctypes
import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

from tbgen.backends.plan import output_spec
from tbgen.backends.plan_session import shape_of, size_of
from tbgen.cli.main import main
from tbgen.export.errors import MissingExtra, UserError
from tbgen.export.exported import Exported, TensorSpec
from tbgen.export.tensorrt.builder import (
    cache_name,
    check_precision,
    check_types,
    gibibytes,
    node_name,
    parse_failure,
    plan_from_onnx,
)
from tbgen.export.tensorrt.cuda import Gpu, gpu
from tbgen.export.tensorrt.export import plan_from_export
from tbgen.export.tensorrt.profiles import profile_from_text

FIXED = [profile_from_text("1x128")]


def has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


no_tensorrt = pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed")


@no_tensorrt
def test_without_tensorrt_the_extra_is_named_and_nothing_written(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match=r"tensorrt is not installed; .* pip install 'tbgen\[tensorrt\]'"):
        plan_from_onnx(exported.model, tmp_path / "model.plan", profiles=FIXED)
    with pytest.raises(MissingExtra):
        plan_from_export(exported, tmp_path / "plan")
    assert not list(tmp_path.iterdir())


@no_tensorrt
def test_the_command_says_it_in_a_sentence(exported: Exported, tmp_path: Path) -> None:
    told = CliRunner().invoke(
        main, ["export", "tensorrt", "--source", str(exported.folder), "-o", str(tmp_path / "plan"), "--shape", "1x32"]
    )
    assert (told.exit_code, told.output.count("\n")) == (1, 1)
    assert told.output.startswith("Error: tensorrt is not installed")
    assert not (tmp_path / "plan").exists()


@pytest.mark.skipif(has_driver(), reason="there is a GPU driver")
def test_without_a_gpu_it_is_said_in_a_sentence() -> None:
    with pytest.raises(UserError, match=r"no GPU: libcuda\.so\.1 is not on this machine"):
        gpu()


def test_only_fp16_and_fp32_plans_are_built() -> None:
    with pytest.raises(UserError, match="no precision 'int8' for a plan; there are fp16, fp32"):
        check_precision("int8", ())
    with pytest.raises(UserError, match="an fp32 plan has none"):
        check_precision("fp32", ["LayerNorm"])


def graph(file: Path, kind: int) -> Path:
    """A file with two nodes and a weight of a type."""
    weight = helper.make_tensor("weight", kind, [2], np.array([1, 2], np.float32))
    nodes = [
        helper.make_node("Add", ["x", "weight"], ["sum"], name="/layer.0/Add"),
        helper.make_node("Relu", ["sum"], ["y"], name="/layer.0/Relu"),
    ]
    tensors = [helper.make_tensor_value_info(name, kind, [2]) for name in ("x", "y")]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", tensors[:1], tensors[1:], [weight])), file)
    return file


def test_from_tensorrt_10_on_the_types_are_the_files(tmp_path: Path) -> None:
    single, half = graph(tmp_path / "a.onnx", TensorProto.FLOAT), graph(tmp_path / "b.onnx", TensorProto.FLOAT16)
    check_types(single, "fp32", (), "10.16.1")
    check_types(half, "fp16", (), "10.16.1")
    with pytest.raises(UserError, match=r"a\.onnx is fp32: export it with --precision fp16"):
        check_types(single, "fp16", (), "10.16.1")
    with pytest.raises(UserError, match="name FP32 layers when exporting it"):
        check_types(half, "fp16", ["LayerNorm"], "11.4.0")


class OldError:
    """A parser's error as TensorRT 8 gives it."""

    def node(self) -> int:
        return 1

    def desc(self) -> str:
        return "Assertion failed:\n  no such operator"


class NewError(OldError):
    """As TensorRT 10 does."""

    def node_name(self) -> str:
        return "/layer.0/Relu"


@pytest.mark.parametrize(("error", "name"), [(OldError(), "/layer.0/Relu (Relu)"), (NewError(), "/layer.0/Relu")])
def test_a_node_that_does_not_parse_is_named(tmp_path: Path, error: OldError, name: str) -> None:
    class Parser:
        num_errors = 1

        def get_error(self, index: int) -> OldError:
            assert index == 0
            return error

    told = parse_failure(Parser(), graph(tmp_path / "a.onnx", TensorProto.FLOAT), [])
    assert told == f"node {name!r}: Assertion failed: no such operator"
    assert node_name(tmp_path / "a.onnx", 7) == "number 7"


def test_tactics_are_kept_for_each_version_and_gpu() -> None:
    card = Gpu("NVIDIA H100 80GB HBM3", "9.0")
    assert cache_name("8.5.3.1", card) == "tensorrt-8.5.3.1-NVIDIA-H100-80GB-HBM3-9.0.cache"


def test_a_workspace_has_a_size() -> None:
    assert gibibytes(1.5) == 3 << 29
    for value in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="GiB is no size"):
            gibibytes(value)


class Engine:
    """Says of its tensors what TensorRT 8.5.3.1 said, on an H100, of plans with the profiles in the comments."""

    def __init__(self, **shapes: tuple[int, ...]) -> None:
        self.shapes = shapes

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def get_tensor_dtype(self, name: str) -> object:  # noqa: ARG002
        return type("DataType", (), {"name": "FLOAT"})


@pytest.mark.parametrize(
    ("ids", "said", "first", "shape"),
    [
        ((-1, -1), (1, 3), "1x300", ("batch", 3)),  # 1x300, 1x128, 32x128
        ((-1, 128), (1, 3), "1x128", ("batch", 3)),  # 1x128, 32x128
        ((1, 300), (1, 3), "1x300", (1, 3)),  # 1x300
        ((32, 128), (32, 3), "32x128", (32, 3)),  # 32x128
        ((-1, -1), (-1, 3), "1-32x2-300", ("batch", 3)),
        ((-1, -1), (1, 300, 768), "1x300", ("batch", "sequence", 768)),
    ],
)
def test_an_outputs_axes_are_open_where_the_inputs_are(
    ids: tuple[int, ...], said: tuple[int, ...], first: str, shape: tuple[int | str, ...]
) -> None:
    spec = output_spec(Engine(input_ids=ids, outputs=said), "outputs", "input_ids", profile_from_text(first))
    assert spec == TensorSpec("float32", shape)


def test_sizes_follow_from_rows_and_tokens() -> None:
    spec = TensorSpec("int32", ("batch", "sequence"))
    assert shape_of(spec, 4, 128) == (4, 128)
    assert size_of(spec, 4, 128) == 2048
    assert size_of(TensorSpec("float32", ("batch", 3)), 32, 128) == 384
