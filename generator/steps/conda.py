"""A conda environment as the execution environment of a model: packed whole, its Python included, by conda-pack."""

from __future__ import annotations

import warnings
from pathlib import Path

from tbgen.export.errors import UserError, require


def pack_conda(prefix: Path, archive: Path, *, python: tuple[int, int]) -> None:
    """Write an archive of the conda environment in the folder `prefix`, for a stub of that Python.

    Raises UserError: no conda environment, another Python, no numpy, or conda-pack's own reason. MissingExtra.
    """
    _check_prefix(prefix, f"{python[0]}.{python[1]}")
    conda_pack = require("conda_pack", extra="conda")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # says that it looks for the prefix itself, where conda's cache is empty
        try:
            conda_pack.pack(prefix=str(prefix), output=str(archive), format="tar.gz", force=True)
        except conda_pack.CondaPackException as error:
            raise UserError(f"conda-pack refuses {str(prefix)!r}: {' '.join(str(error).split())}") from error


def _check_prefix(prefix: Path, version: str) -> None:
    """Raise UserError unless a folder is a conda environment with that Python and numpy, which the stub imports."""
    if not (prefix / "conda-meta").is_dir():
        raise UserError(
            f"no conda environment in {str(prefix)!r}: it has no folder conda-meta; `conda env list` shows where they "
            "are"
        )
    found = [file.parent for file in prefix.glob("lib/python3.*/os.py")]
    wanted = next((folder for folder in found if folder.name == f"python{version}"), None)
    cure = f"make one with: conda create -n NAME python={version} 'numpy<2' ..."
    if wanted is None:
        has = ", ".join(folder.name.removeprefix("python") for folder in found) or "none"
        raise UserError(f"the server's stub needs Python {version}, {str(prefix)!r} has {has}; {cure}")
    if not (wanted / "site-packages" / "numpy").is_dir():
        raise UserError(f"the server's stub needs numpy, {str(prefix)!r} has none; {cure}")
