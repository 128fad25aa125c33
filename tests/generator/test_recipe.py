import dataclasses
import shutil
from pathlib import Path

import pytest

from tbgen.export.errors import UserError
from tbgen.generator.recipe import Recipe, recipe_from_file, text_from_recipe
from tbgen.generator.resolve import source_of
from tbgen.generator.scaffold import Request, scaffold
from tests.generator.test_scaffold import hashes

RECIPE = """\
# What `tbgen scaffold` reads in this folder; paths are relative to it.
name = "shop"
source = "../checkpoints/상점"
repository = "model_repository"
labels = ["부정", "중립", "긍정"]
engines = ["onnx"]
graph = "bls"
long_text = "windows"
pre = ["steps/clean.py:Clean url=false"]
platform = "aarch64"

[weights]  # SHA-256; without this table any weights will do
"model.safetensors" = "00"
"""


def recipe(folder: Path, text: str) -> Path:
    (folder / "tbgen.toml").write_text(text, encoding="utf-8")
    return folder / "tbgen.toml"


def test_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    found = recipe_from_file(recipe(tmp_path, RECIPE))
    assert found.repository == tmp_path / "model_repository"
    assert found.requests == (
        Request(
            "shop",
            tmp_path / "../checkpoints/상점",
            labels=("부정", "중립", "긍정"),
            engine="onnx",
            graph="bls",
            long_text="windows",
            platform="aarch64",
            pre=(f"{tmp_path}/steps/clean.py:Clean url=false",),
            weights={"model.safetensors": "00"},
        ),
    )


def test_written_and_read_again(tmp_path: Path) -> None:
    assert text_from_recipe(recipe_from_file(recipe(tmp_path, RECIPE)), tmp_path) == RECIPE


def test_the_same_repository_elsewhere(sample_export: Path, tmp_path: Path) -> None:
    for machine in ("one", "two"):
        shutil.copytree(sample_export, tmp_path / machine / "export")
        request = Request("shop", tmp_path / machine / "export", graph="bls", labels=("나쁨", "보통", "좋음"))
        request = dataclasses.replace(request, weights=source_of(request).weights())
        where = Recipe((request,), tmp_path / machine / "r")
        file = recipe(tmp_path / machine, text_from_recipe(where, tmp_path / machine))
        found = recipe_from_file(file)
        scaffold(found.requests[0], found.repository)
    assert hashes(tmp_path / "one" / "r") == hashes(tmp_path / "two" / "r")
    assert (tmp_path / "one" / "tbgen.toml").read_bytes() == (tmp_path / "two" / "tbgen.toml").read_bytes()


def test_other_weights_are_refused(sample_export: Path, tmp_path: Path) -> None:
    request = Request("shop", sample_export, weights={"model.safetensors": "00"})
    with pytest.raises(UserError, match=r"model.safetensors is not the one that the recipe was written for"):
        scaffold(request, tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('name = "a"\ngrahp = "bls"', "no key 'grahp'. Keys: "),
        ('name = "a"\nfixed_length = "300"', "must be a whole number, not '300'"),
        ('name = "a"\nengines = ["onnx", 1]', "must be a list of strings"),
        ('name = "a"\nengines = []', "is empty"),
        ('graph = "bls"', "does not say the name of the models"),
        ("name = ", "is not TOML"),
    ],
)
def test_a_wrong_recipe_is_a_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        recipe_from_file(recipe(tmp_path, text))
    assert sentence in error.value.message


def test_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`tbgen init` writes one"):
        recipe_from_file(tmp_path / "tbgen.toml")
