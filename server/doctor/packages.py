"""Python and the packages of tbgen's extras: what each enables, whether its version is one that tbgen runs with."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, distributions, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from tbgen.server.doctor.part import BROKEN, MISSING, WORKS, MachinePart
from tbgen.server.doctor.questions import ask

# What an extra of pyproject.toml is for.
EXTRAS = {
    "onnx": "checkpoints: tbgen scaffold, export, verify",
    "gpu": "ONNX engines on NVIDIA's GPUs, in place of onnx and server",
    "server": "the embedded server: tbgen serve, verify, bench, tune",
    "tensorrt": "plans: tbgen export tensorrt",
    "rtx": "tbgen check --tensorrt, without a GPU",
    "sentence": "checkpoints of sentence-transformers",
    "report": "pages and plots of tbgen bench",
    "s3": "tbgen deploy copy to s3://",
    "gs": "tbgen deploy copy to gs://",
    "deploy": "tbgen deploy compose, kubernetes, helm, kserve",
    "conda": "tbgen env pack --conda",
    "sbom": "tbgen sbom",
    "gateway": "tbgen gateway",
}


def package_parts() -> Iterator[MachinePart]:
    """Python with tbgen's own requirements, a part for each extra, and the client."""
    needed = [Requirement(line) for line in _requirements()]
    own = [each for each in needed if _is_for(each, "")]
    yield _part("Python", f"{platform.python_version()} at {sys.executable}", own, "tbgen itself", "tbgen")
    for extra, enables in EXTRAS.items():
        if more := [each for each in needed if _is_for(each, extra) and each not in own]:
            yield _part(f"tbgen[{extra}]", "", more, enables, f"tbgen[{extra}]")
    answers = [ask("module", f"tritonclient.{protocol}") for protocol in ("grpc", "http")]
    failure = next((each.failure for each in answers if each.failure), "")
    mend = "pip install --upgrade 'tritonclient[grpc,http]' protobuf grpcio" if failure else ""
    says = failure or f"{installed_version('tritonclient')}, gRPC and HTTP"
    yield MachinePart("tritonclient", BROKEN if failure else WORKS, says, "tbgen infer, bench, verify, deploy", mend)


def _requirements() -> list[str]:
    """What tbgen needs, as pip reads it; nothing where it runs from its source and no pip has put it there."""
    try:
        return requires("tbgen") or []
    except PackageNotFoundError:
        return []


def _is_for(requirement: Requirement, extra: str) -> bool:
    """Whether an extra needs it here; "": tbgen itself."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _part(name: str, here: str, needed: list[Requirement], enables: str, package: str) -> MachinePart:
    """Whether requirements are met by what is installed."""
    found = {each.name: installed_version(each.name) for each in needed}
    absent = [name for name, there in found.items() if not there]
    wrong = [
        f"{each.name} {found[each.name]}, where tbgen needs {each.specifier}"
        for each in needed
        if found[each.name] and not each.specifier.contains(found[each.name], prereleases=True)
    ]
    mend = f"pip install --upgrade '{package}'"
    if wrong:
        return MachinePart(name, BROKEN, "; ".join(wrong), enables, mend)
    if absent:
        return MachinePart(name, MISSING, f"not installed: {', '.join(absent)}", enables, mend)
    says = [*filter(None, [here]), *(f"{each} {there}" for each, there in found.items())]
    return MachinePart(name, WORKS, ", ".join(says), enables)


def installed_version(name: str) -> str:
    """The version of an installed package, for onnxruntime of whichever build of it is there; empty without one."""
    if name == "onnxruntime":
        name = next(iter(packages_of_module(name)), name)
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def packages_of_module(name: str) -> list[str]:
    """The packages that put a module into the folder that it is imported from; what others have is hidden."""
    spec = PathFinder.find_spec(name)
    if spec is None or spec.origin is None:
        return []
    there = distributions(path=[str(Path(spec.origin).parents[1])])
    return sorted({each.name for each in there if any(file.parts[0] == name for file in each.files or ())})
