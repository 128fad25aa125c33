"""A model as it lies in a repository on this disk, ready to be put into another one; and the rule for its config."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from tbgen.export.errors import UserError
from tbgen.export.files import sha256
from tbgen.export.reading import text_from_file
from tbgen.generator.models.config import PYTHON_BACKENDS, ModelConfig, config_from_text
from tbgen.generator.repository import CONFIG, MODEL_RECORD, NoModels

Undo = Callable[[], object]  # takes one step back

DEPLOYED = "tbgen.deployed.json"  # in an object store: what was put there, so that it need not be read again
MARKER = ("README", "Keeps this folder: object stores have no empty ones.\n")
UNCOMPARED = {CONFIG, MODEL_RECORD}  # the config is compared as a message; the record changes with tbgen's version


@dataclass(frozen=True)
class ModelVersion:
    """A model on this disk: the files of its newest version, and those that all versions share, by relative name."""

    name: str
    version: int
    versioned: Mapping[str, Path]
    shared: Mapping[str, Path]

    @property
    def folder(self) -> Path:
        return self.shared[CONFIG].parent

    @property
    def config(self) -> ModelConfig:
        """Its config.pbtxt. Raises UserError."""
        return config_of(self.name, text_from_file(self.shared[CONFIG]))

    def hashes(self) -> dict[str, str]:
        """Relative name -> SHA-256 of the version's files."""
        return hashes_of(self.versioned)

    def shared_hashes(self) -> dict[str, str]:
        """Relative name -> SHA-256 of the shared files that are compared by their bytes."""
        return hashes_of(self.shared, but=UNCOMPARED)


@dataclass(frozen=True)
class TargetModel:
    """A model in the target: its versions, its config, the hashes of its newest version's and its shared files.

    steps: the text of the newest version's steps.json.
    """

    versions: tuple[int, ...] = ()
    config: str | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)
    shared_hashes: Mapping[str, str] = field(default_factory=dict)
    steps: str | None = None


class Store(AbstractContextManager["Store", None]):
    """A model repository into which models are put; whoever reads it never sees half a model."""

    @abstractmethod
    def standing(self, model: str) -> TargetModel:
        """What the target holds of a model."""

    @abstractmethod
    def publish(self, release: ModelVersion, version: int, keep: int, undo: list[Undo]) -> None:
        """Show the model's new version; versions beyond the newest `keep` go.

        Each step adds to `undo` what takes it back.
        """


def model_versions(repository: Path) -> list[ModelVersion]:
    """The models of a repository in the order in which a server can load them: ensembles last.

    What links lead to is copied, if that lies in the repository. Raises UserError.
    """
    place = repository.resolve()
    entries = sorted(repository.glob("[!.]*")) if repository.is_dir() else []
    folders = [entry for entry in entries if entry.is_dir() or _leads_nowhere(entry)]
    if not folders:
        raise NoModels(repository)
    releases = [_release_from_folder(folder, place) for folder in folders]
    kinds = {
        release.name: (release.config.platform == "ensemble", release.config.backend in PYTHON_BACKENDS)
        for release in releases
    }
    return sorted(releases, key=lambda release: kinds[release.name])


def _release_from_folder(folder: Path, repository: Path) -> ModelVersion:
    """The newest version of a model folder. Raises UserError."""
    _refuse_outside(folder, repository)
    versions, versioned, shared = version_files(folder, repository)
    if CONFIG not in shared:
        raise UserError(f"{str(folder)!r} has no {CONFIG}, so it is no model that can be deployed")
    if not versions:
        raise UserError(f"{str(folder)!r} has no version folder, such as 1/")
    return ModelVersion(folder.name, versions[-1], versioned, shared)


def version_files(
    folder: Path, repository: Path | None = None
) -> tuple[tuple[int, ...], dict[str, Path], dict[str, Path]]:
    """Of a model's folder: its versions, and by relative name the files of the newest and those that all share.

    An empty folder counts as a file. repository: no link may lead out of it. Raises UserError.
    """
    versions = versions_among(each.name for each in folder.iterdir() if each.is_dir())
    names = {str(version) for version in versions}
    newest = str(versions[-1]) if versions else ""
    files = {str(file.relative_to(folder)): file for file in _files_below(folder, repository, ())}
    parts = {name: Path(name).parts for name in files if name not in names and name != DEPLOYED}
    return (
        versions,
        {str(Path(*rest)): files[name] for name, (first, *rest) in parts.items() if first == newest},
        {name: files[name] for name, (first, *_) in parts.items() if first not in names},
    )


def _files_below(folder: Path, repository: Path | None, above: tuple[Path, ...]) -> Iterator[Path]:
    """The files and empty folders below a folder, links followed; above: the folders that it lies in, resolved."""
    place = folder.resolve()
    if place in above:
        raise UserError(f"{folder} is a link to a folder that it lies in; remove it")
    entries = [entry for entry in sorted(folder.iterdir()) if entry.name != "__pycache__"]
    if not entries and above:
        yield folder
    for entry in entries:
        if repository:
            _refuse_outside(entry, repository)
        if entry.is_dir():
            yield from _files_below(entry, repository, (*above, place))
        elif entry.is_file():
            yield entry


def _refuse_outside(entry: Path, repository: Path) -> None:
    """Raise UserError for what is not copied: a link that leads out of the repository, or nowhere; no file at all."""
    if not (entry.is_file() or entry.is_dir()):
        what = f"is a link to {entry.readlink()}, which is not there" if entry.is_symlink() else "is no file"
        raise UserError(f"{entry} {what}, so it cannot be copied; remove it")
    if entry.is_symlink() and not entry.resolve().is_relative_to(repository):
        raise UserError(
            f"{entry} is a link to {entry.readlink()}, outside the repository, and what lies there is not copied; put "
            "the file or folder itself in its place"
        )


def _leads_nowhere(entry: Path) -> bool:
    """Whether an entry is a link to what is not there."""
    return entry.is_symlink() and not entry.exists()


def hashes_of(files: Mapping[str, Path], but: Collection[str] = ()) -> dict[str, str]:
    """Relative name -> SHA-256, without the names `but`."""
    return {name: _hash(file) for name, file in files.items() if name not in but}


def _hash(file: Path) -> str:
    """The SHA-256 of a file; that of nothing is not an empty folder's."""
    return "folder" if file.is_dir() else sha256(file)


def versions_among(names: Iterable[str]) -> tuple[int, ...]:
    """The version numbers among the names of a model's folders, ascending."""
    return tuple(sorted(int(name) for name in names if name.isdecimal() and name == str(int(name))))


def config_of(model: str, text: str) -> ModelConfig:
    """A config.pbtxt as a message. Raises UserError."""
    return config_from_text(text, f"the {CONFIG} of {model!r}")


def any_version(config: ModelConfig) -> ModelConfig:
    """The config without the choice of one version, which a deployment to an object store makes."""
    copy = ModelConfig()
    copy.CopyFrom(config)
    if len(copy.version_policy.specific.versions) == 1:
        copy.ClearField("version_policy")
    return copy


def check_config(name: str, old: ModelConfig, new: ModelConfig) -> None:
    """The rule for a config that changes, since all versions share one. Raises UserError.

    The new one is put in place right behind its version, and back when that is rolled back. So it may differ, but not
    in what others rely on while the two are loaded one after the other: the tensors, and the batch size that ensembles
    were checked against. And only where the newest version is served alone, else it would change the older ones too.
    """
    if old == new:
        return
    for side in ("input", "output"):
        if sorted(map(_tensor, getattr(old, side))) != sorted(map(_tensor, getattr(new, side))):
            raise UserError(
                f"{name!r} in the target has other {side}s: ensembles and clients that use it would fail; deploy it "
                "under another name (tbgen scaffold OTHER_NAME --source CHECKPOINT), move the clients, then remove the "
                "old one"
            )
    if new.max_batch_size < old.max_batch_size:
        raise UserError(
            f"{name!r} would take {new.max_batch_size} items at most instead of {old.max_batch_size}, which ensembles "
            "and clients may rely on; keep max_batch_size, or deploy it under another name"
        )
    if serves_several(old):
        raise UserError(
            f"{name!r} in the target serves several versions by its version_policy, and its {CONFIG} would change for "
            f"all of them; keep its {CONFIG}, or deploy it under another name"
        )


def _tensor(spec: object) -> tuple[str, int, tuple[int, ...]]:
    return spec.name, spec.data_type, tuple(spec.dims)  # type: ignore[attr-defined]


def serves_several(config: ModelConfig) -> bool:
    policy = config.version_policy
    return policy.HasField("all") or policy.latest.num_versions > 1 or len(policy.specific.versions) > 1
