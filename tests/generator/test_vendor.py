import hashlib
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from tbgen.export.errors import UserError
from tbgen.generator.steps import vendor
from tbgen.generator.steps.catalogue import STEP_FOLDER
from tbgen.generator.steps.vendor import this_platform, uses_tokenizers, vendor_into, vendor_tokenizers

OTHER = "aarch64" if platform.machine() == "x86_64" else "x86_64"
STEP = "from pathlib import Path\nimport tokenizers\n"


def wheel_file(folder: Path, architecture: str) -> None:
    """A wheel of the installed version as an index would have it, with a few bytes for its library."""
    name = f"tokenizers-{version('tokenizers')}"
    tag = f"cp310-abi3-manylinux2014_{architecture}"
    with zipfile.ZipFile(folder / f"{name}-{tag}.whl", "w") as wheel:
        wheel.writestr("tokenizers/__init__.py", "")
        wheel.writestr("tokenizers/tokenizers.abi3.so", f"ELF for {architecture}")
        wheel.writestr(f"{name}.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        wheel.writestr(f"{name}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: tokenizers\nVersion: {name[11:]}\n")
        wheel.writestr(f"{name}.dist-info/RECORD", "")


def test_the_steps_that_use_the_package() -> None:
    assert uses_tokenizers(STEP_FOLDER / "text_tokenizer.py")
    assert not uses_tokenizers(STEP_FOLDER / "text_classification.py")


def test_only_folders_that_use_it_get_it(tmp_path: Path) -> None:
    for name, text in (("a", STEP), ("b", "import json\n"), ("c", STEP)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "step.py").write_text(text, encoding="utf-8")
    vendor_into([tmp_path / name for name in "abc"], this_platform())
    assert sorted(folder.parent.name for folder in tmp_path.glob("*/vendor")) == ["a", "c"]
    assert (tmp_path / "c/vendor/tokenizers/tokenizers.abi3.so").stat().st_size > 1_000_000


def test_the_licence_comes_along(tmp_path: Path) -> None:
    vendor_tokenizers(tmp_path, this_platform())
    assert (tmp_path / "NOTICE").read_text(encoding="utf-8").startswith(f"tokenizers {version('tokenizers')}\n")
    assert "Apache License" in (tmp_path / "LICENSE").read_text(encoding="utf-8")


def test_a_servers_own_package_goes_first(sample_repository: Path, tmp_path: Path) -> None:
    for model in ("kcbert_onnx", "kcbert_onnx_bls"):
        shutil.copytree(sample_repository / model, tmp_path / model)
    brought = tmp_path / "kcbert_onnx_bls" / "1" / "vendor"
    (brought / "tokenizers").mkdir(parents=True, exist_ok=True)
    (brought / "tokenizers" / "__init__.py").write_text("raise ImportError", encoding="utf-8")
    code = (
        "import numpy, sys, tbgen, tokenizers\n"
        "with tbgen.run('.') as models:\n"
        "    models.infer('kcbert_onnx_bls', {'input_text': numpy.array([[b'a']], object)})\n"
        "print(tokenizers.__file__, *sys.path[-2:])\n"
    )
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()
    assert "site-packages" in printed[0]
    assert str(brought) in printed[1:]


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of wheels with one, which stands for that of PyPI; the folder that pip looks into."""
    wheel_file(tmp_path, OTHER)
    digest = hashlib.sha256(next(tmp_path.glob("*.whl")).read_bytes()).hexdigest()
    line = f"tokenizers=={version('tokenizers')} --hash=sha256:{digest}\n"
    (tmp_path / "wheels.txt").write_text(f"# known\n{line}", encoding="utf-8")
    monkeypatch.setattr(vendor, "_WHEELS", tmp_path / "wheels.txt")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path


def test_another_platforms_library_is_fetched_by_its_hash(known: Path, tmp_path: Path) -> None:
    vendor_tokenizers(known / "vendor", OTHER)
    assert (tmp_path / "vendor/tokenizers/tokenizers.abi3.so").read_bytes() == f"ELF for {OTHER}".encode()
    assert {file.name for file in (tmp_path / "vendor").iterdir()} == {"tokenizers", "NOTICE", "LICENSE"}


def test_a_wheel_with_another_hash_is_refused(known: Path) -> None:
    with next(known.glob("*.whl")).open("ab") as wheel:
        wheel.write(b"and more")
    with pytest.raises(UserError, match=r"could not be downloaded .*DO NOT MATCH THE HASHES"):
        vendor_tokenizers(known / "vendor", OTHER)


def test_a_version_whose_hash_is_not_known_is_refused(known: Path) -> None:
    (known / "wheels.txt").write_text("tokenizers==0.1 --hash=sha256:0\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"the hash of tokenizers .* is not known here; install one of 0\.1, or use"):
        vendor_tokenizers(known / "vendor", OTHER)


def test_the_installed_version_is_one_whose_wheels_are_known() -> None:
    lines = [line.split() for line in vendor._known_wheels()]
    assert f"tokenizers=={version('tokenizers')}" in {line[0] for line in lines}
    assert {len(line) for line in lines} == {3}  # of two processors


def test_a_failed_download_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    sentence = (
        f"tokenizers {version('tokenizers')} for {OTHER} could not be downloaded (ERROR: No matching distribution"
    )
    with pytest.raises(UserError, match=re.escape(sentence)):
        vendor_tokenizers(tmp_path / "vendor", OTHER)
    assert list(tmp_path.iterdir()) == []
