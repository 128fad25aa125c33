"""The embedded server beside numpy 2: its wheel, and a numpy that its Python models can read, in a folder of their own.

The folder is a small virtual environment of the running one's Python: Triton's stub takes the first python3 of PATH for
its own, imports numpy from there, and all else from the running environment.
"""

from __future__ import annotations

import site
import sys
from pathlib import Path

from tbgen.export.errors import UserError
from tbgen.export.exchange import put_in_place
from tbgen.export.scratch import beside
from tbgen.generator.steps.pip import pip_failure

_WHEELS = Path(__file__).with_name("wheels.txt")
_PYTHONS = ((3, 10), (3, 11), (3, 12))  # for which there are both a stub in the wheel and a wheel of that numpy
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def private_folder() -> Path:
    """Where the server is, or would be: in this environment, which it belongs to, by what is in it."""
    known = [line.split()[0].replace("==", "-") for line in _WHEELS.read_text(encoding="utf-8").splitlines()[1:]]
    return Path(sys.prefix) / "share" / "tbgen" / "-".join(known)


def private_packages() -> Path | None:
    """The folder with the packages of an installed server; None without one, or with one of another Python."""
    packages = _packages_in(private_folder())
    return packages if packages.is_dir() else None


def refuse_python() -> None:
    """Raise UserError on a Python on which no server can be installed beside numpy 2."""
    if sys.version_info[:2] not in _PYTHONS:
        raise UserError(
            f"the embedded server runs on Python 3.10 to 3.12, and this is {VERSION}, for which no numpy before 2 has a"
            " wheel; all else of tbgen runs here: serve from an environment of one of those, or with Triton's container"
        )


def install_server() -> Path:
    """Have pip unpack the wheels, whose hashes are known, and put the folder in place whole. Raises UserError."""
    refuse_python()
    target = private_folder()
    with beside(target) as scratch:
        folder = scratch / target.name
        packages = _packages_in(folder)
        packages.mkdir(parents=True)
        what = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement", str(_WHEELS)]
        if reason := pip_failure("install", "--target", str(packages), *what):
            raise UserError(f"the embedded server was not installed ({reason}); try again where pip reaches its wheels")
        _write_environment(folder, packages)
        put_in_place(folder, target, scratch / "before")
    return target


def _packages_in(folder: Path) -> Path:
    """site-packages of a virtual environment of this Python."""
    return folder / "lib" / f"python{VERSION}" / "site-packages"


def _write_environment(folder: Path, packages: Path) -> None:
    """Make a folder with packages a virtual environment, which looks into the running one's packages last."""
    python = Path(sys.base_prefix) / "bin" / f"python{VERSION}"
    (folder / "bin").mkdir()
    (folder / "bin" / "python3").symlink_to(python)
    (folder / "pyvenv.cfg").write_text(f"home = {python.parent}\n", encoding="utf-8")
    lines = [f"import site; site.addsitedir({place!r})\n" for place in site.getsitepackages()]
    (packages / "tbgen.pth").write_text("".join(lines), encoding="utf-8")
