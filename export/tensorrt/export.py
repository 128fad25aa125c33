"""From an export folder with an ONNX file to one with a plan, held against the ONNX file on real sentences."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError
from tbgen.export.exported import Exported, exported_from_folder, record_of
from tbgen.export.files import EXPORT_RECORD, copy_files, sha256, whole_folder, write_json
from tbgen.export.layout import MODEL_PLAN, TOKENIZER_JSON
from tbgen.export.parity.agreement import agreement_text
from tbgen.export.parity.parity import Encoder, Parity, parity
from tbgen.export.parity.sentences import TEXTS, gate_sentences
from tbgen.export.provenance import Build
from tbgen.export.run import onnx_run
from tbgen.export.tensorrt.builder import BuildProgress, plan_from_onnx
from tbgen.export.tensorrt.cuda import Gpu, gpu
from tbgen.export.tensorrt.plan import Plan, plan_from_file, tensorrt_package
from tbgen.export.tensorrt.profiles import Profile, buckets_of, check_profiles, default_profiles
from tbgen.export.tensorrt.session import plan_run
from tbgen.export.tensorrt.versions import traits_of

_COMPANIONS = (TOKENIZER_JSON, "special_tokens_map.json", "vocab.txt", "tokenizer_config.json", "config.json")
_TOLERANCE = {"fp32": 1e-3, "fp16": 0.1}  # largest difference of a logit


@dataclass(frozen=True)
class PlanGate:
    """What a plan must pass: texts are run through the ONNX file on the processor, and through the plan.

    texts: default: sentences that come along. tolerance: the largest difference of a logit; default: the precision's.
    agreement: the least share of equal decisions.
    """

    texts: Sequence[str] | None = None
    tolerance: float | None = None
    agreement: float = 0.995


def plan_from_export(
    exported: Exported,
    folder: Path,
    *,
    precision: str = "fp16",
    profiles: Sequence[Profile] | None = None,
    gate: PlanGate = PlanGate(),
    force: bool = False,
    on_progress: BuildProgress = lambda _text, _share: None,
    **build: Any,
) -> Exported:
    """Write `folder` with model.plan, the tokenizer, config.json and export.json; whole, or not at all.

    `profiles` default to those of the version (see `default_profiles`); `build`: further words of `plan_from_onnx`.
    Raises UserError, as that does, and for a drift.
    """
    if exported.packed:
        raise UserError(
            f"{str(exported.folder)!r} has the packed layout, which TensorRT does not read; export it padded"
        )
    if why := exported.made.why_not_plain:
        raise UserError(f"{exported.model.name} {why}; a plan is built from a plain ONNX export")
    traits = traits_of(tensorrt_package().__version__)
    gpu()
    chosen = list(profiles or default_profiles(exported.max_length, ranges=traits.ranges))
    check_profiles(chosen, exported.max_length)
    with whole_folder(folder, force=force) as new:
        plan_from_onnx(
            exported.model,
            new / MODEL_PLAN,
            precision=precision,
            profiles=chosen,
            on_progress=on_progress,
            **build,
        )
        on_progress("Comparing with the ONNX file", None)
        _describe_plan(exported, new, precision, gate)
    return exported_from_folder(folder)


def export_from_plan(
    exported: Exported,
    plan_file: Path,
    folder: Path,
    *,
    precision: str,
    gate: PlanGate = PlanGate(),
    force: bool = False,
) -> Exported:
    """An export folder around a ready plan, held against the ONNX file it was built from, as `plan_from_export`."""
    with whole_folder(folder, force=force) as new:
        shutil.copyfile(plan_file, new / MODEL_PLAN)
        _describe_plan(exported, new, precision, gate)
    return exported_from_folder(folder)


def _describe_plan(exported: Exported, folder: Path, precision: str, gate: PlanGate) -> None:
    """Compare the plan in `folder`, and write what belongs beside it. Raises UserError for a drift."""
    bound = _TOLERANCE.get(precision, 0.0) if gate.tolerance is None else gate.tolerance
    plan = plan_from_file(folder / MODEL_PLAN)
    readable = replace(exported, max_length=longest(plan.profiles), fixed_length=None)
    run = onnx_run(exported.model), plan_run(folder / MODEL_PLAN)
    asked = gate.texts or (TEXTS if precision == "fp32" else gate_sentences())
    held = replace(exported, made=replace(exported.made, precision=precision))
    found = parity(*run, Encoder(readable), asked, held)
    _refuse_drift(found, precision, bound, gate.agreement)
    copy_files(exported.folder, folder, _COMPANIONS)
    built = with_plan(exported, folder, plan, precision, card_of(gpu()))
    write_json(
        folder / EXPORT_RECORD, record_of(replace(built, parity={**asdict(found), "tolerance": found.bound(bound)}))
    )


def _refuse_drift(found: Parity, precision: str, tolerance: float, agreement: float) -> None:
    """Raise UserError when the plan's answers are not the ONNX file's; NaN fails every comparison."""
    most = found.bound(tolerance)
    close = found.max_abs <= most and found.agreement >= agreement
    if close and found.answers_hold:
        return
    if close:
        raise UserError(
            f"the answers of the {precision} plan are not the ONNX file's: {agreement_text(found.answers)}; nothing "
            "was written. Keep layers in FP32 with --keep-fp32, such as LayerNorm"
        )
    raise UserError(
        f"the {precision} plan differs from the ONNX file by {found.max_abs:g} in a logit (tolerance {most:g}) "
        f"and in {found.flips} of {found.decisions} decisions; nothing was written. Keep layers in FP32 with "
        "--keep-fp32, such as LayerNorm, or allow it with --tolerance"
    )


def with_plan(exported: Exported, folder: Path, plan: Plan, precision: str, card: Mapping[str, str]) -> Exported:
    """The record of a folder with a plan: its tensors, lengths and profiles."""
    buckets = buckets_of(plan.profiles)
    made = replace(
        exported.made,
        precision=precision,
        sha256=sha256(folder / MODEL_PLAN),
        tensorrt=Build(plan.version, plan.profiles, **card),
    )
    return replace(
        exported,
        folder=folder,
        model=folder / MODEL_PLAN,
        tokenizer=folder / TOKENIZER_JSON,
        max_length=longest(plan.profiles),
        fixed_length=buckets[0] if len(buckets) == 1 else None,
        inputs=plan.inputs,
        outputs=plan.outputs,
        made=made,
    )


def longest(profiles: Sequence[Profile]) -> int:
    """Most tokens that any profile reads."""
    return max(profile.most[1] for profile in profiles)


def card_of(card: Gpu) -> dict[str, str]:
    """A GPU as a plan's record names it."""
    return {"gpu": card.name, "compute_capability": card.compute_capability}
