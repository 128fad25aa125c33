"""A repository's bill of materials."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export.files import sha256
from tbgen.generator.steps.vendor import this_platform, vendor_tokenizers

pytest.importorskip("cyclonedx")
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

SAMPLE = Path(__file__).parents[2] / "model_repository"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The sample's models, two of which bring a package."""
    folder = tmp_path / "models"
    shutil.copytree(SAMPLE, folder)
    for model in ("kcbert_tokenizer", "kcbert_onnx_bls"):
        shutil.rmtree(folder / model / "1" / "vendor", ignore_errors=True)
        vendor_tokenizers(folder / model / "1" / "vendor", this_platform())
    return folder


def test_every_file_stands_there_by_its_hash_and_the_package_with_its_licence(repository: Path) -> None:
    bill = json.loads(CliRunner().invoke(main, ["sbom", str(repository)]).output)
    models = {model["name"]: model["components"] for model in bill["components"]}
    assert models.keys() == {folder.name for folder in repository.iterdir()}
    steps = next(part for part in models["kcbert_onnx_bls"] if part["name"] == "1/steps.json")
    assert steps["hashes"] == [{"alg": "SHA-256", "content": sha256(repository / "kcbert_onnx_bls/1/steps.json")}]
    package = next(part for part in models["kcbert_tokenizer"] if part["type"] == "library")
    assert package["purl"].startswith("pkg:pypi/tokenizers@")
    assert package["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert any(part["type"] == "library" for part in package["components"]), "what is linked into it"
    assert any(part["name"] == "checkpoint" for part in models["kcbert_onnx"])


def test_it_is_what_cyclonedx_says_that_a_bill_is(repository: Path) -> None:
    (repository / "kcbert_onnx_bls" / "1" / "'\"<&>\u2028$(x) 한글 🔥.json").write_text("{}", encoding="utf-8")
    bill = CliRunner().invoke(main, ["sbom", str(repository)]).output
    assert JsonStrictValidator(SchemaVersion.from_version(json.loads(bill)["specVersion"])).validate_str(bill) is None


def test_it_is_the_same_for_the_same_files_and_every_reference_its_own(repository: Path) -> None:
    first, again = (CliRunner().invoke(main, ["sbom", str(repository)]).output for _ in range(2))
    assert first == again
    references = [line for line in first.splitlines() if '"bom-ref"' in line]
    assert len(references) == len(set(references))


def test_it_is_not_written_where_a_server_reads(repository: Path, tmp_path: Path) -> None:
    inside = CliRunner().invoke(main, ["sbom", str(repository), "-o", str(repository / "kcbert_onnx" / "sbom.json")])
    assert (inside.exit_code, "name one outside" in inside.output) == (1, True)
    outside = CliRunner().invoke(main, ["sbom", str(repository), "-o", str(tmp_path / "sbom.json")])
    assert outside.exit_code == 0, outside.output
    assert json.loads((tmp_path / "sbom.json").read_text(encoding="utf-8"))["bomFormat"] == "CycloneDX"


def test_a_folder_without_models_is_a_sentence(tmp_path: Path) -> None:
    asked = CliRunner().invoke(main, ["sbom", str(tmp_path)])
    assert (asked.exit_code, "no model in" in asked.output) == (1, True)
