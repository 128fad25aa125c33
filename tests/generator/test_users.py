from pathlib import Path

import pytest

from tbgen.export.errors import UserError
from tbgen.generator.scaffold import Request, scaffold


@pytest.fixture(scope="module")
def exports(sample_export: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sample with open lengths, and with 64 tokens; in FP32, and in half precision."""
    from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
    from tbgen.export.onnx.export import onnx_from_checkpoint
    from tbgen.generator.presets import SAMPLES

    folder = tmp_path_factory.mktemp("exports")
    checkpoint = checkpoint_from_folder(SAMPLES / "kcbert")
    for name, options in {
        "short": {"fixed_length": 64},
        "half": {"precision": "fp16"},
        "short half": {"fixed_length": 64, "precision": "fp16"},
    }.items():
        onnx_from_checkpoint(checkpoint, folder / name, **options)  # type: ignore[arg-type]
    return {"open": sample_export, **{path.name: path for path in folder.iterdir()}}


def test_a_second_engine_shares_the_tokenizer(exports: dict[str, Path], tmp_path: Path) -> None:
    scaffold(Request("kcbert", exports["open"]), tmp_path / "r")
    scaffold(Request("kcbert", exports["half"], engine="onnx_fp16"), tmp_path / "r")
    scaffold(Request("kcbert", exports["open"]), tmp_path / "r")
    assert (tmp_path / "r" / "kcbert_onnx_fp16_ensemble").exists()
    assert [path.name for path in (tmp_path / "r").glob("*_tokenizer")] == ["kcbert_tokenizer"]


def test_an_engine_on_tensorrt_has_a_tokenizer_of_its_own(exports: dict[str, Path], tmp_path: Path) -> None:
    scaffold(Request("kcbert", exports["open"], engine="onnx_trt"), tmp_path / "r")
    assert [path.name for path in (tmp_path / "r").glob("*_tokenizer")] == ["kcbert_onnx_trt_tokenizer"]


@pytest.mark.parametrize(
    ("changed", "user", "used"),
    [
        ({"source": "short half", "engine": "onnx_fp16"}, "kcbert_onnx_ensemble", "kcbert_tokenizer"),
        ({"source": "short", "graph": "bls"}, "kcbert_onnx_ensemble", "kcbert_onnx"),
        ({"source": "short", "graph": "ensemble"}, "kcbert_onnx_bls", "kcbert_onnx"),
    ],
)
def test_a_model_is_not_changed_under_those_that_stay(
    changed: dict[str, str], user: str, used: str, exports: dict[str, Path], tmp_path: Path
) -> None:
    scaffold(Request("kcbert", exports["open"]), tmp_path / "r")
    request = Request("kcbert", **changed | {"source": exports[changed["source"]]})  # type: ignore[arg-type]
    with pytest.raises(UserError) as error:
        scaffold(request, tmp_path / "r")
    assert error.value.message.startswith(f"{tmp_path / 'r' / user} runs {used} as it stands")
    scaffold(request, tmp_path / "r", force=True)


def test_all_that_uses_it_may_be_written_anew(exports: dict[str, Path], tmp_path: Path) -> None:
    scaffold(Request("kcbert", exports["open"]), tmp_path / "r")
    scaffold(Request("kcbert", exports["short"]), tmp_path / "r")
