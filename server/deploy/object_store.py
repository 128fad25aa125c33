"""A model repository in an object store: no renames and no empty folders, so an order that never shows half a model."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path, PurePosixPath
from typing import Any

from tbgen.export.errors import UserError
from tbgen.export.reading import json_from_text, text_from_bytes
from tbgen.export.values import A_TEXT, damage_of, object_of
from tbgen.generator.models.config import SHARED_BACKEND, ModelConfig, text_from_config
from tbgen.generator.repository import CONFIG
from tbgen.generator.rules.core.complete import BACKENDS, FILE_BACKENDS
from tbgen.generator.steps.load import STEPS_FILE
from tbgen.server.deploy.release import (
    DEPLOYED,
    MARKER,
    ModelVersion,
    Store,
    TargetModel,
    Undo,
    any_version,
    config_of,
    versions_among,
)

# The file without which a version cannot be loaded, by backend or platform; it is uploaded last.
_ENTRIES = {**FILE_BACKENDS, **{row.platform: row.file for row in BACKENDS}, SHARED_BACKEND: STEPS_FILE}
SECOND = 1.1  # object stores tell times in whole seconds, and a polling server compares them


class ObjectStore(Store):
    """A model repository in an object store, by fsspec, as a context manager; it has no renames and no empty folders.

    A config.pbtxt is one object, so it appears whole, and it names the one version to serve. A new version is uploaded
    beside those, and the config that names it comes last: no server, one that starts just then included, sees half of
    it. A new model's config comes first and the file without which nothing can be loaded last.
    """

    def __init__(self, files: Any, root: str) -> None:
        self.files = files
        self.root = PurePosixPath(root)
        self.outdated: list[str] = []  # goes when all has gone well: what is deleted cannot be put back

    def __enter__(self) -> ObjectStore:
        self.files.invalidate_cache()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        for name in self.outdated if error is None else ():
            self.remove(name)
        self.files.invalidate_cache()

    def standing(self, model: str) -> TargetModel:
        """What the target holds of a model; hashes only of what a deployment put there."""
        config = self.read(model, CONFIG)
        deployed = _record_from_bytes(self.read_bytes(model, DEPLOYED) or b"{}")
        versions = self.versions(model)
        steps = self.read(model, f"{versions[-1]}/{STEPS_FILE}") if versions else None
        return TargetModel(versions, config, deployed.get("files", {}), deployed.get("shared", {}), steps)

    def versions(self, model: str) -> tuple[int, ...]:
        self.files.invalidate_cache()
        try:
            found = self.files.ls(str(self.root / model), detail=False)
        except FileNotFoundError:
            return ()
        return versions_among(PurePosixPath(each.rstrip("/")).name for each in found)

    def publish(self, release: ModelVersion, version: int, keep: int, undo: list[Undo]) -> None:
        """Upload the new version, then the config that names it."""
        model = release.name
        before = self.standing(model)
        undo.append(lambda: self.remove(f"{model}/{version}"))
        shared = {_object_name(name, file): file for name, file in release.shared.items()}
        undo += [self.keep(model, name, before) for name in (*shared, DEPLOYED)]
        pinned = _pinned_text(release.config, version)
        if before.config is None:
            self.write(model, CONFIG, pinned)
        else:
            self.pin_standing(model, before)
            self.outdated += [f"{model}/{version}" for version in self.prunable(model, before, keep)]
        for name, file in _entry_last(release):
            self.put(model, f"{version}/{_object_name(name, file)}", file)
        if not release.versioned:
            self.write(model, f"{version}/{MARKER[0]}", MARKER[1])
        for name, file in shared.items():
            if name != CONFIG:
                self.put(model, name, file)
        if before.config is not None:
            time.sleep(SECOND)
            self.write(model, CONFIG, pinned)
            undo.append(lambda: time.sleep(SECOND))
        deployed = {"files": release.hashes(), "shared": release.shared_hashes()}
        self.write(model, DEPLOYED, json.dumps(deployed, indent=2) + "\n")  # last: what it says is there is served

    def pin_standing(self, model: str, standing: TargetModel) -> None:
        """Make sure that the config in the store names the version that is served now."""
        if standing.versions:
            text = standing.config or ""
            named = _named_text(config_of(model, text), standing.versions[-1])
            if config_of(model, named) != config_of(model, text):
                self.write(model, CONFIG, named)
                time.sleep(SECOND)

    def keep(self, model: str, name: str, standing: TargetModel) -> Undo:
        """What puts a shared file back as it is now, the config pinned to the version that it serves."""
        before = self.read_bytes(model, name)
        if before is None:
            return lambda: self.remove(f"{model}/{name}")
        if name == CONFIG and standing.versions:
            before = _named_text(config_of(model, standing.config or ""), standing.versions[-1]).encode("utf-8")
        path = str(self.root / model / name)
        return lambda: self.files.pipe_file(path, before)

    def prunable(self, model: str, standing: TargetModel, keep: int) -> list[int]:
        """Versions beyond the newest `keep`, the one that comes included; never one that the config names."""
        named = set(config_of(model, standing.config or "").version_policy.specific.versions)
        return [version for version in standing.versions[: 1 - keep] if version not in named]

    def read(self, model: str, name: str) -> str | None:
        found = self.read_bytes(model, name)
        return None if found is None else text_from_bytes(found, f"{model}/{name} in the target")

    def read_bytes(self, model: str, name: str) -> bytes | None:
        """The bytes of an object; None when there is none."""
        try:
            found: bytes = self.files.cat_file(str(self.root / model / name))
        except FileNotFoundError:
            return None
        return found

    def remove(self, name: str) -> None:
        """Remove an object, or all below a name; none there is as good."""
        self.files.invalidate_cache()
        with contextlib.suppress(FileNotFoundError):
            self.files.rm(str(self.root / name), recursive=True)

    def put(self, model: str, name: str, file: Path) -> None:
        """Upload a file; an empty folder as a note in it."""
        if file.is_dir():
            self.write(model, name, MARKER[1])
        else:
            self.files.put_file(str(file), str(self.root / model / name))

    def write(self, model: str, name: str, text: str) -> None:
        self.files.pipe_file(str(self.root / model / name), text.encode("utf-8"))


def _object_name(name: str, file: Path) -> str:
    """The name of the object that a file becomes, or that keeps an empty folder."""
    return f"{name}/{MARKER[0]}" if file.is_dir() else name


def _pinned_text(config: ModelConfig, version: int) -> str:
    """The text of a config that names the one version to serve."""
    copy = any_version(config)
    copy.version_policy.specific.versions.append(version)
    return text_from_config(copy)


def _record_from_bytes(content: bytes) -> dict[str, dict[str, str]]:
    """What a deployment left of itself; nothing where it cannot be read, so that all files count as others."""
    try:
        record = json_from_text(text_from_bytes(content, DEPLOYED), DEPLOYED)
    except UserError:
        return {}
    return {} if damage_of(record, {}, dict.fromkeys(("files", "shared"), object_of(A_TEXT))) else record


def _named_text(config: ModelConfig, version: int) -> str:
    """The text of a config that names which versions to serve: as it does already, or else that one."""
    if config.version_policy.HasField("specific"):
        return text_from_config(config)
    return _pinned_text(config, version)


def _entry_last(release: ModelVersion) -> list[tuple[str, Path]]:
    """A version's files, the one without which it cannot be loaded at the end."""
    config = release.config
    entry = config.default_model_filename or _ENTRIES.get(config.backend or config.platform, "")
    return sorted(release.versioned.items(), key=lambda item: (item[0] == entry, item[0]))
