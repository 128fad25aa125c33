from pathlib import Path

import pytest

from tbgen.export.errors import UserError
from tbgen.generator.steps.environment import bring_environment, python_config_of

CONFIG = 'backend: "python"  # 내 메모\nmax_batch_size: 4\n# the end'
LINE = 'parameters { key: "EXECUTION_ENV_PATH" value { string_value: "/elsewhere" } }'


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "archive").write_bytes(b"packed")
    (tmp_path / "r" / "shop").mkdir(parents=True)
    (tmp_path / "r" / "shop" / "config.pbtxt").write_text(CONFIG, encoding="utf-8")
    return tmp_path / "r" / "shop"


def path_in(model: Path) -> str:
    return python_config_of(model).parameters["EXECUTION_ENV_PATH"].string_value


def test_a_config_keeps_its_comments(model: Path, tmp_path: Path) -> None:
    for _ in range(2):
        bring_environment(model, tmp_path / "archive")
        text = (model / "config.pbtxt").read_text(encoding="utf-8")
        assert text.startswith(f"{CONFIG}\nparameters {{")
        assert text.count("EXECUTION_ENV_PATH") == 1
        assert path_in(model) == "$$TRITON_MODEL_DIRECTORY/env.tar.gz"
    assert (model / "env.tar.gz").read_bytes() == b"packed"
    assert {entry.name for entry in tmp_path.iterdir()} == {"r", "archive"}


def test_a_config_that_names_another_environment_names_this_one(model: Path, tmp_path: Path) -> None:
    (model / "config.pbtxt").write_text(f"{CONFIG}\n{LINE}", encoding="utf-8")
    bring_environment(model, tmp_path / "archive")
    assert path_in(model) == "$$TRITON_MODEL_DIRECTORY/env.tar.gz"


def test_no_link_is_lost(model: Path, tmp_path: Path) -> None:
    (model / "config.pbtxt").rename(tmp_path / "shared")
    (model / "config.pbtxt").symlink_to(tmp_path / "shared")
    bring_environment(model, tmp_path / "archive")
    assert (model / "config.pbtxt").is_symlink()
    assert path_in(model) == "$$TRITON_MODEL_DIRECTORY/env.tar.gz"
    (model / "env.tar.gz").rename(tmp_path / "own.tar.gz")
    (model / "env.tar.gz").symlink_to(tmp_path / "own.tar.gz")
    with pytest.raises(UserError, match=r"env.tar.gz is a link to .*own.tar.gz, which would be lost"):
        bring_environment(model, tmp_path / "archive")
