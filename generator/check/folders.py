"""Rules on names, version folders and files: the model's name, its backend, what each version must hold."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model
from tbgen.generator.models.config import SHARED_BACKEND
from tbgen.generator.repository import CONFIG
from tbgen.generator.rules.core.complete import BACKENDS, FILE_BACKENDS, NOT_VERSIONS, version_of
from tbgen.generator.rules.problem import missing_file

_ENSEMBLE = "ensemble"  # the platform that has no backend
_PLATFORMS = {(row.name, row.platform) for row in BACKENDS if row.platform}
_STRICT_BACKENDS = {name for name, _ in _PLATFORMS}
# What people write for a backend or a platform, in small letters and digits alone -> the backend that they mean.
_SLIPS = {
    "onnx": "onnxruntime",
    "onnxrt": "onnxruntime",
    "ort": "onnxruntime",
    "trt": "tensorrt",
    "plan": "tensorrt",
    "torch": "pytorch",
    "libtorch": "pytorch",
    "torchscript": "pytorch",
    "tf": "tensorflow",
    "savedmodel": "tensorflow",
    "graphdef": "tensorflow",
    "py": "python",
    "trtllm": "tensorrtllm",
    **{row.platform.replace("_", ""): row.name for row in BACKENDS if row.platform},
}
_FUZZY = 5  # letters of a name from which on one or two other letters are a slip, and no other name
# The other backends that NVIDIA's containers have, or had.
_NO_FILE_BACKENDS = ("dali", "fil", "identity", "repeat", "square", "tensorrtllm", "vllm", SHARED_BACKEND)
_NO_FILE = (  # of a Python model
    "Failed to preinitialize Python stub: Python model file not found in '{file}'. Triton (2.51) then waits "
    "for the stub without end, and never becomes ready"
)


def _named_as_its_folder(model: Model) -> Iterator[Finding]:
    """`name` must be the folder's."""
    if model.config.name != model.name:
        says = f"unexpected directory name '{model.name}' for model '{model.config.name}', directory name must equal "
        yield model.refused("name", f"{says}model name", f'write name: "{model.name}", or leave the field out')


def _no_dangling_links(model: Model) -> Iterator[Finding]:
    """Triton stops at a link that leads nowhere, whatever its name."""
    for entry in (entry for entry in sorted(model.folder.iterdir()) if not entry.exists()):
        says = f"failed to stat file {entry}"
        yield model.refused(model.file(entry), says, "mend the link, or bring its target along")


def _has_a_backend(model: Model) -> Iterator[Finding]:
    """A backend must be named, or be told by a platform or a file; the pair must fit."""
    config, platform, backend = model.config, model.config.platform, model.config.backend
    if not backend and not platform and not config.default_model_filename:
        says = (
            f"Invalid model name: Could not determine backend for model '{model.name}' with no backend in model "
            "configuration. Expected model name of the form 'model.<backend_name>'."
        )
        mend = f"no model? Move the folder out of the repository. A model: say backend in its {CONFIG}"
        yield model.refused("", says, mend)
    elif not backend and platform != _ENSEMBLE:
        says = f"unexpected platform type '{platform}' for {config.name}"
        yield model.refused("platform", says, _instead_of_platform(platform))
    elif backend and platform == _ENSEMBLE:
        says = f"Ensemble model '{config.name}' must have platform type 'ensemble' and empty backend type"
        yield model.refused("backend", says, "remove backend")
    elif (platform and (backend, platform) not in _PLATFORMS) and backend in _STRICT_BACKENDS:
        says = f"unexpected 'platform' and 'backend' pair, got:{platform}, {backend}"
        known = " or ".join(sorted(p for b, p in _PLATFORMS if b == backend))
        yield model.refused("platform", says, f"write platform: {known}, or remove it")


def _instead_of_platform(platform: str) -> str:
    """What to write for a platform that Triton does not know."""
    if _plain(platform) == _ENSEMBLE:
        return f'write platform: "{_ENSEMBLE}"'
    if backend := _backend_meant(platform):
        alike = sorted(known for name, known in _PLATFORMS if name == backend)
        also = f", or platform: {' or '.join(map(repr, alike))}".replace("'", '"') if alike else ""
        return f'write backend: "{backend}"{also}'
    return f"write backend, or one of the platforms {', '.join(sorted(known for _, known in _PLATFORMS))}"


def _plain(name: str) -> str:
    """A name in small letters and digits alone."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _backend_meant(name: str) -> str | None:
    """The known backend of which a name is a slip; None for a name that may be another backend's."""
    written, known = _plain(name), {_plain(each): each for each in (*FILE_BACKENDS, *_NO_FILE_BACKENDS)} | _SLIPS
    if written in known:
        return known[written]
    long = [each for each in known if len(each) >= _FUZZY and abs(len(each) - len(written)) <= 2]
    near = difflib.get_close_matches(written, long, 1, 0.8)
    return known[near[0]] if near else None


def _a_backend_that_exists(model: Model) -> Iterator[Finding]:
    """A backend's name that no container has is a custom one, or a slip."""
    name = model.config.backend
    library = model.config.runtime or f"libtriton_{name}.so"
    known = not name or name in (*FILE_BACKENDS, *_NO_FILE_BACKENDS)
    if model.text is None or any(file.name == library for file in model.folder.rglob("*")):
        return
    if known:
        if model.config.runtime:
            says = f"loads only where the server's backend has {library}; the embedded server's have none but their own"
            yield model.advice("runtime", says, "remove runtime, or bring that file along in the model's folder")
        return
    says = f"unable to find backend library for backend '{name}', try specifying runtime on the model configuration."
    if _plain(name) == _ENSEMBLE:
        yield model.refused("backend", says, f'write platform: "{_ENSEMBLE}", and no backend')
    elif meant := _backend_meant(name):
        yield model.refused("backend", says, f'write backend: "{meant}"')
    else:
        yield model.advice("backend", says, f"a server without the backend {name} does not load this model")


def _agents_that_exist(model: Model) -> Iterator[Finding]:
    """Repository agents are libraries of the server's own; Triton (2.51) dies of a list without one."""
    agents, where = model.config.model_repository_agents.agents, "model_repository_agents"
    if model.config.HasField(where) and not agents:
        yield model.refused(where, "with no agent in it the server is killed by SIGSEGV", f"remove {where}")
    for agent in agents:
        says = f"unable to find 'libtritonrepoagent_{agent.name}.so' for repo agent '{agent.name}'"
        yield model.advice(where, f"{says}, where the server has none, as the embedded one", f"remove {where}")


def _has_versions(model: Model) -> Iterator[Finding]:
    """At least one folder named by a number, of those that the version policy wants."""
    if not (model.config.backend or model.config.platform):
        return
    wanted = model.config.version_policy.specific.versions
    missing = [version for version in wanted if version not in model.versions]
    if not model.versions:
        says = f"at least one version must be available under the version policy of model '{model.name}'"
        where = "version_policy" if model.config.HasField("version_policy") else ""
        yield model.refused(where, says, _remedy_for_version(model, missing))
    elif missing:
        says = f"version {missing[0]} is specified for model '{model.name}', but the version directory is not present"
        mend = f"add the folder {missing[0]}, or remove it from version_policy"
        yield model.advice("version_policy", says, mend)


def _remedy_for_version(model: Model, missing: list[int]) -> str:
    """What to do about a model of which no version can be loaded."""
    if model.text is None:
        return "no model? Move the folder out of the repository: Triton takes every folder in it for one"
    if missing:
        return f"add the folder {missing[0]}, or name a version that is there"
    return "add a folder named 1 (an ensemble's may be empty, but git and object stores lose empty folders)"


def _ignored_folders(model: Model) -> Iterator[Finding]:
    """Folders that look like versions and are passed over, or are taken for another one."""
    for name in model.folders:
        version = version_of(name)
        if name in NOT_VERSIONS or str(version) == name or (version is None and not name[:1].isdigit()):
            continue
        says = f"'{name}' is read as version {version}, whose files are looked for in '{version}'"
        if version is None:
            says = f"ignore version directory '{name}' which contains leading zeros in its directory name"
        yield model.advice(model.file(model.folder / name), says, "name it by a plain number, or move it out")


def _has_its_file(model: Model) -> Iterator[Finding]:
    """Each version that is loaded holds the backend's file."""
    config = model.config
    if config.backend not in FILE_BACKENDS or model.is_ensemble or config.platform == _ENSEMBLE:
        return
    for file in map(model.engine_file, model.versions):
        if not (file.is_file() or file.is_dir()):
            said = model.lines.at("default_model_filename")
            where = "default_model_filename" if said else model.file(file.parent)
            says = _NO_FILE.format(file=file) if config.backend == "python" else missing_file(model.values, file)
            yield model.refused(where, says, _remedy_for_file(file))


def _remedy_for_file(file: Path) -> str:
    """What is there instead."""
    there = sorted(entry.name for entry in file.parent.iterdir()) if file.parent.is_dir() else []
    alike = [name for name in there if Path(name).suffix == file.suffix]
    if alike:
        return f'write default_model_filename: "{alike[0]}", or name that file {file.name}'
    return f"put {file.name} into the folder {file.parent.name}"


RULES = (
    _named_as_its_folder,
    _no_dangling_links,
    _has_a_backend,
    _a_backend_that_exists,
    _agents_that_exist,
    _has_versions,
    _ignored_folders,
    _has_its_file,
)
