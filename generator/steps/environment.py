"""An execution environment: packages for the Python of a server's stub, in an archive that a model brings along."""

from __future__ import annotations

import gzip
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

from tbgen.export.errors import NoSuchName, UserError
from tbgen.export.files import write_whole
from tbgen.export.reading import text_from_file
from tbgen.export.scratch import scratch, temporary_folder
from tbgen.generator.models.config import PYTHON_BACKENDS, ModelConfig, config_from_file, text_from_config
from tbgen.generator.repository import CONFIG, model_folders
from tbgen.generator.steps.pip import pip_failure

ARCHIVE = "env.tar.gz"
EXECUTION_ENV, _PLACE = "EXECUTION_ENV_PATH", f"$$TRITON_MODEL_DIRECTORY/{ARCHIVE}"
# What glibc the wheels may want: NVIDIA's containers have 2.35 (Ubuntu 22.04) and later.
_WHEELS = ("manylinux2014", "manylinux_2_28", "manylinux_2_34")
ARRAYS = "numpy<2"  # what the stub itself needs; the embedded server's, and those before 24.12, read numpy 1 alone
# Triton unpacks the archive, sources bin/activate, and starts the stub, which finds its Python by the PATH.
_ACTIVATE = """\
# Sourced by Triton's Python backend: makes this folder an environment of the server's own Python {version}.
tbgen_env="$(cd -- "$(dirname -- "${{BASH_SOURCE[0]}}")/.." && pwd)"
tbgen_python="$(readlink -f -- "$(command -v python{version} || command -v python3)")"
if [ -z "$tbgen_python" ]; then
    echo "this environment needs Python {version} on the server's PATH" >&2
    return 1
fi
ln -sfn -- "$tbgen_python" "$tbgen_env/bin/python3"
printf 'home = %s\\ninclude-system-site-packages = false\\n' "$(dirname -- "$tbgen_python")" > "$tbgen_env/pyvenv.cfg"
export VIRTUAL_ENV="$tbgen_env" PATH="$tbgen_env/bin:$PATH"
"""


def pack_environment(archive: Path, packages: Sequence[str], *, python: tuple[int, int], platform: str) -> None:
    """Write an archive with the packages (as pip names them) and numpy for that Python and processor.

    Only wheels: nothing is built, so any machine can pack for any server. The same packages give the same bytes.
    Raises UserError when pip finds none.
    """
    version = f"{python[0]}.{python[1]}"
    with scratch() as folder:
        root = folder / "env"
        _install(packages, root / "lib" / f"python{version}" / "site-packages", version=version, platform=platform)
        (root / "bin").mkdir()
        (root / "bin" / "activate").write_text(_ACTIVATE.format(version=version), encoding="utf-8")
        _write_archive(root, archive)


def _install(packages: Sequence[str], folder: Path, *, version: str, platform: str) -> None:
    """Have pip unpack wheels of the packages, and what they need, into a folder. Raises UserError."""
    own_numpy = any(package.strip().lower().startswith("numpy") for package in packages)
    wanted = [*packages, *([] if own_numpy else [ARRAYS])]
    target = [option for wheels in _WHEELS for option in ("--platform", f"{wheels}_{platform}")]
    target += ["--implementation", "cp", "--python-version", version, "--only-binary=:all:", "--target", str(folder)]
    if reason := pip_failure("install", "--no-compile", *target, *wanted):
        raise UserError(f"no wheels of {', '.join(wanted)} for Python {version} on {platform}: {reason}")


def _write_archive(root: Path, archive: Path) -> None:
    """A .tar.gz of a folder's content, without times and owners."""
    with (
        archive.open("wb") as file,
        gzip.GzipFile("", "wb", 6, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for entry in sorted(root.rglob("*")):
            tar.add(entry, arcname=str(entry.relative_to(root)), recursive=False, filter=_anonymous)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """A member of an archive without what differs from run to run."""
    entry.mtime = entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


def python_config_of(model: Path) -> ModelConfig:
    """The config of a Python model's folder. Raises UserError for any other folder."""
    file = model / CONFIG
    if not file.is_file():
        known = [each.name for each in model_folders(model.parent)]
        raise NoSuchName("model", model.name, known, model.parent)
    config = config_from_file(file)
    if config.backend not in PYTHON_BACKENDS:
        raise UserError(
            f"{model.name!r} runs on {config.backend or config.platform!r}; only Python models have packages"
        )
    return config


def bring_environment(model: Path, archive: Path) -> None:
    """Put an archive into a Python model's folder, and say so in its config; each whole or not at all.

    Raises UserError.
    """
    config, place = python_config_of(model), model / ARCHIVE
    if place.is_symlink():
        raise UserError(f"{place} is a link to {place.readlink()}, which would be lost; remove it, or name --archive")
    with temporary_folder(model.parent.resolve().parent, ".tbgen-env-") as folder:
        shutil.copyfile(archive, folder / ARCHIVE)
        (folder / ARCHIVE).replace(place)
    if EXECUTION_ENV not in config.parameters or config.parameters[EXECUTION_ENV].string_value != _PLACE:
        file = model / CONFIG
        write_whole(file, _naming_archive(text_from_file(file), config).encode("utf-8"))


def _naming_archive(text: str, config: ModelConfig) -> str:
    """A config's text that names the archive; one that named none is left as it was, with its comments."""
    if EXECUTION_ENV in config.parameters:
        config.parameters[EXECUTION_ENV].string_value = _PLACE
        return text_from_config(config)
    line = ModelConfig()
    line.parameters[EXECUTION_ENV].string_value = _PLACE
    return text.rstrip("\n") + "\n" + text_from_config(line)
