"""`tbgen deploy copy`: models into the repository of a running server, and back again when they do not serve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tbgen.export.errors import UserError
from tbgen.export.layout import TOKENIZER_JSON
from tbgen.export.reading import text_from_file
from tbgen.export.scratch import alone_in
from tbgen.generator.models.config import PYTHON_BACKENDS
from tbgen.generator.steps.load import STEPS_FILE, listing_from_text
from tbgen.server.client.smoke import smoke
from tbgen.server.deploy.live import Live
from tbgen.server.deploy.release import (
    ModelVersion,
    Store,
    TargetModel,
    Undo,
    any_version,
    check_config,
    config_of,
    model_versions,
)

DeployProgress = Callable[[str], None]


@dataclass(frozen=True)
class Change:
    """What becomes of one model: its next version, None when the target holds the same already."""

    release: ModelVersion
    standing: TargetModel
    version: int | None

    @property
    def new_config(self) -> bool:
        """Whether the shared config.pbtxt changes under a model that is there."""
        name, old = self.release.name, self.standing.config
        return old is not None and any_version(config_of(name, old)) != any_version(self.release.config)


def deployment_plan(repository: Path, store: Store, lives: Sequence[Live] = ()) -> list[Change]:
    """What a deployment would do, in its order. Raises UserError when something may not be changed under a server."""
    changes = []
    for release in model_versions(repository):
        standing = store.standing(release.name)
        if standing.config is not None:
            old = any_version(config_of(release.name, standing.config))
            check_config(release.name, old, any_version(release.config))
        # a number that failed once keeps its failure in the server
        known = max((live.newest(release.name) for live in lives), default=0)
        number = max([*standing.versions, known]) + 1 if standing.versions or known else release.version
        changes.append(Change(release, standing, number if _differs(release, standing) else None))
    _check_together(changes)
    return changes


def served_from_elsewhere(changes: Sequence[Change], live: Live) -> list[str]:
    """The models that the server answers for and the target does not hold: the server may read another place."""
    absent = [change.release.name for change in changes if not change.standing.versions]
    ready = {name for name, _, state, _ in live.index() if state == "READY"}
    return [name for name in absent if name in ready]


def _differs(release: ModelVersion, standing: TargetModel) -> bool:
    """Whether the target does not hold the same model."""
    change = Change(release, standing, None)
    return bool(
        standing.config is None
        or change.new_config
        or (release.versioned and release.hashes() != standing.hashes)
        or release.shared_hashes() != standing.shared_hashes
    )


def _check_together(changes: Sequence[Change]) -> None:
    """Raise UserError when an engine changes together with the vocabulary or the labels that other models read for it.

    They are loaded one after the other: for a moment requests would get wrong answers, though none would fail.
    """
    changed = [change for change in changes if change.version and change.standing.config is not None]
    engines = [change.release.name for change in changed if change.release.config.backend not in (*PYTHON_BACKENDS, "")]
    for change in changed:
        if engines and (what := _other_meaning(change)):
            raise UserError(
                f"{change.release.name!r} has other {what}, and {engines[0]!r} changes too: until both are loaded, "
                "answers would be wrong; deploy them under another name (tbgen scaffold OTHER_NAME --source CHECKPOINT)"
            )


def _other_meaning(change: Change) -> str | None:
    """What of a model must fit its engine and is another now: its vocabulary, its labels."""
    new, old = change.release.hashes(), change.standing.hashes
    if new.get(TOKENIZER_JSON) != old.get(TOKENIZER_JSON):
        return "tokens"
    steps = change.release.versioned.get(STEPS_FILE)
    if steps is None or change.standing.steps is None:
        return None
    return "labels" if _labels_of(text_from_file(steps)) != _labels_of(change.standing.steps) else None


def _labels_of(steps: str) -> list[object]:
    """The labels that each step of a steps.json has. Raises UserError."""
    return [step["settings"].get("labels") for step in listing_from_text(steps, f"a {STEPS_FILE}")["steps"]]


def locks(repository: Path, target: str, store: Store) -> list[AbstractContextManager[object]]:
    """What to enter, in this order, so that no other run puts models into a repository while it is copied to a store.

    Folders come in one order, whichever is copied into which: runs would else wait for each other for ever.
    """
    if not repository.is_dir():
        return [store]
    source = alone_in(repository, reading=True)
    if not Path(target).is_dir():
        return [source, store]
    here, there = ((found.st_dev, found.st_ino) for found in (repository.stat(), Path(target).stat()))
    return [source, store] if here < there else [store, source] if there < here else [store]


def deploy(
    changes: Sequence[Change],
    store: Store,
    lives: Sequence[Live] = (),
    *,
    keep: int = 2,
    on_progress: DeployProgress = lambda _: None,
) -> list[str]:
    """Publish the changes one after the other, have each loaded, ask the models, and return the names of those asked.

    Whatever fails, and also on Ctrl-C, everything is put back and the versions before are loaded again.
    lives: the servers that read the store. keep: how many versions of a model stay in the target, the new one included.
    """
    done: list[tuple[Change, list[Undo]]] = []
    try:
        for change in changes:
            version = change.version or change.standing.versions[-1]
            if change.version:
                on_progress(f"{change.release.name}: version {version}")
                done.append((change, []))
                store.publish(change.release, version, keep, done[-1][1])
            for live in lives:
                if not live.serves(change.release.name, version):
                    live.bring(change.release.name, version)
        folders = [change.release.folder for change in changes]
        asked = [_asked(live, folders, on_progress) for live in lives]
        return asked[0] if asked else []
    except BaseException as error:
        on_progress("Putting back the versions before")
        failed = [why for change, undo in reversed(done) for why in _put_back(change, undo, lives)]
        if isinstance(error, UserError) or (isinstance(error, OSError) and failed):
            outcome = f"all else is as before, but {failed[0]}" if failed else "everything is as before"
            raise UserError(f"{getattr(error, 'message', str(error)).rstrip('.')}; {outcome}") from error
        raise


def _asked(live: Live, folders: Sequence[Path], on_progress: DeployProgress) -> list[str]:
    """The names of the models that a server was asked for and that answered. Raises UserError for one that did not."""
    found = list[str]()
    for each in smoke(live.connection, folders):
        if each.wrong:
            raise UserError(each.wrong)
        if each.unknown:
            on_progress(f"{each.model} is not asked: {each.unknown}")
        else:
            found.append(each.model)
    return found


def _put_back(change: Change, undo: Sequence[Undo], lives: Sequence[Live]) -> list[str]:
    """Why files are not as before, and servers do not serve again what they served."""
    failed = []
    for step in reversed(undo):
        try:
            step()
        except OSError as error:
            failed.append(f"a file of {change.release.name} could not be put back: {error}")
    for live in lives:
        try:
            if change.standing.versions:
                live.bring(change.release.name, change.standing.versions[-1])
            else:
                live.drop(change.release.name)
        except UserError as error:
            failed.append(error.message)
    return failed
