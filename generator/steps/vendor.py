"""What a model folder brings along so that nothing must be installed where Triton runs: the package tokenizers."""

from __future__ import annotations

import platform as machine
import re
import shutil
import zipfile
from collections.abc import Sequence
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from tbgen.export.errors import UserError
from tbgen.export.reading import imports_in
from tbgen.export.scratch import scratch
from tbgen.generator.repository import VENDOR
from tbgen.generator.request import PLATFORMS as PLATFORMS
from tbgen.generator.steps.pip import pip_failure
from tbgen.generator.version import SOURCES

_PACKAGE = "tokenizers"
_WHEELS = Path(__file__).with_name("wheels.txt")
_OTHER_NAMES = {"AMD64": "x86_64", "arm64": "aarch64"}  # as Windows and macOS say it
NOTICE = """{name} {version}
Copyright The HuggingFace Inc. team, https://github.com/huggingface/tokenizers
Unmodified; licensed under the Apache License, Version 2.0, whose text is in LICENSE.
The libraries that are linked into it, with their licences, are listed in {name}.cyclonedx.json, if it is there.
"""


def this_platform() -> str:
    """The processor of this machine, as --platform and the names of wheels say it."""
    return _OTHER_NAMES.get(machine.machine(), machine.machine())


def vendor_into(folders: Sequence[Path], platform: str) -> None:
    """Give each version folder whose Python files import the package a folder `vendor` with it. Raises UserError.

    model.py looks there last, so a server's own package is used where there is one.
    """
    needing = [folder for folder in folders if any(uses_tokenizers(file) for file in sorted(folder.glob("*.py")))]
    for folder in needing:
        if folder is needing[0]:
            vendor_tokenizers(folder / VENDOR, platform)
        else:
            shutil.copytree(needing[0] / VENDOR, folder / VENDOR)


def uses_tokenizers(file: Path) -> bool:
    """Whether a Python file imports the package."""
    return any(name.partition(".")[0] == _PACKAGE for name in imports_in(file))


def vendor_tokenizers(folder: Path, platform: str) -> None:
    """Put the installed version of the package, built for Linux on `platform`, into `folder`, with its licence.

    One library serves every Python 3: its ABI is the stable one. Raises UserError when it could not be downloaded.
    """
    installed = distribution(_PACKAGE)
    if _is_built_for(installed, platform):
        _copy_package(installed, folder)
        return
    with scratch() as unpacked:
        wheel = _downloaded_wheel(installed.version, platform, unpacked)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked)
        _copy_package(next(iter(distributions(name=_PACKAGE, path=[str(unpacked)]))), folder)


def _is_built_for(installed: Distribution, platform: str) -> bool:
    """Whether an installed package is a wheel for glibc Linux on `platform` with the stable ABI."""
    tags = re.findall(r"^Tag: (\S+)$", installed.read_text("WHEEL") or "", re.MULTILINE)
    return any(re.fullmatch(rf"cp3\d+-abi3-(many)?linux\w*_{platform}", tag) for tag in tags)


def _downloaded_wheel(version: str, platform: str, folder: Path) -> Path:
    """The wheel of another platform, fetched by pip from wherever pip is set up to fetch, and only the one whose hash
    is known. Raises UserError.
    """
    line = next((line for line in _known_wheels() if line.startswith(f"{_PACKAGE}=={version} ")), None)
    if line is None:
        known = ", ".join(each.partition(" ")[0].rpartition("=")[2] for each in _known_wheels())
        raise UserError(
            f"the hash of {_PACKAGE} {version} for {platform} is not known here; install one of {known}, or use "
            "--no-vendor and install it where Triton runs"
        )
    (folder / "requirement.txt").write_text(line, encoding="utf-8")
    target = ["--platform", f"manylinux2014_{platform}", "--implementation", "cp", "--python-version", "3.10"]
    what = ["--only-binary=:all:", "--no-deps", "--abi", "abi3", *target, "--require-hashes"]
    what += ["--requirement", str(folder / "requirement.txt")]
    if reason := pip_failure("download", "--dest", str(folder), *what):
        raise UserError(
            f"{_PACKAGE} {version} for {platform} could not be downloaded ({reason}); try again where pip reaches it, "
            "or leave it out (--no-vendor)"
        )
    return next(folder.glob("*.whl"))


def _known_wheels() -> list[str]:
    """The lines of wheels.txt, the oldest version first."""
    return [line for line in _WHEELS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


def _copy_package(source: Distribution, folder: Path) -> None:
    """The package's modules and library, the licence, a notice, and the list of what is linked in."""
    package = Path(str(source.locate_file(_PACKAGE)))
    for file in package.rglob("*"):
        if file.suffix in (".py", ".so"):
            copied = folder / _PACKAGE / file.relative_to(package)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copied)
    (folder / "NOTICE").write_text(NOTICE.format(name=_PACKAGE, version=source.version), encoding="utf-8")
    # The wheel brings no licence file; its metadata says Apache-2.0, and so is tbgen.
    (folder / "LICENSE").write_text(_apache_licence(), encoding="utf-8")
    if linked := source.read_text(f"sboms/{_PACKAGE}-python.cyclonedx.json"):
        (folder / f"{_PACKAGE}.cyclonedx.json").write_text(linked, encoding="utf-8")


def _apache_licence() -> str:
    """The licence's text, from tbgen's own metadata; a source tree has none, or a second set without it."""
    found = (each.read_text("licenses/LICENSE") for each in distributions(name="tbgen"))
    return next(filter(None, found), "") or (SOURCES / "LICENSE").read_text(encoding="utf-8")
