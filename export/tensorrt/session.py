"""A TensorRT plan on the GPU as a function of batches of any size; an error is a sentence for the user."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tbgen.backends.plan import AXES, Profile
from tbgen.backends.plan_session import PlanSession as Runner
from tbgen.export.errors import UserError
from tbgen.export.run import Tensors
from tbgen.export.tensorrt.plan import plan_errors, tensorrt_package


class PlanSession(Runner):
    """The runner of plans. Raises UserError (no GPU, no TensorRT, another version's plan)."""

    def __init__(
        self, file: Path, *, device: int = 0, profiles: Sequence[int] | None = None, graphs: bool = False
    ) -> None:
        tensorrt_package()
        with plan_errors():
            super().__init__(file, device=device, profiles=profiles, graphs=graphs)

    def run(self, tensors: Mapping[str, np.ndarray]) -> Tensors:
        with plan_errors():
            return super().run(tensors)


def plan_run(file: Path) -> Callable[[Tensors], Tensors]:
    """A plan as a function of numpy arrays of any number of rows: cut and padded to its profiles' shapes."""
    session = PlanSession(file)
    profiles = list(session.profiles.values())

    def run(tensors: Tensors) -> Tensors:
        rows, tokens = next(iter(tensors.values())).shape
        fitting = [profile for profile in profiles if profile.most[1] >= tokens]
        if not fitting:
            raise UserError(f"no profile of the plan reads {tokens} tokens: {', '.join(map(str, profiles))}")
        profile = min(fitting, key=lambda profile: (profile.most[0] < rows, profile.most[1] * profile.least[0]))
        parts = [
            _padded_run(
                session, profile, {name: array[start : start + profile.most[0]] for name, array in tensors.items()}
            )
            for start in range(0, rows, profile.most[0])
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return run


def _padded_run(session: PlanSession, profile: Profile, tensors: Tensors) -> Tensors:
    """Run a batch that is no larger than a profile's largest, filled up to its smallest."""
    rows, tokens = next(iter(tensors.values())).shape
    extra = ((0, max(profile.least[0] - rows, 0)), (0, max(profile.least[1] - tokens, 0)))
    answers = session.run({name: np.pad(array, extra) for name, array in tensors.items()})
    trims = {name: tuple(spec.shape[1:2]) == (AXES[1],) for name, spec in session.plan.outputs.items()}
    return {name: array[:rows, :tokens] if trims[name] else array[:rows] for name, array in answers.items()}
