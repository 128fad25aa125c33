"""A ready TensorRT plan with a tokenizer folder beside it: read and tried on its GPU before it is believed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tbgen.export.checkpoint.checkpoint import ModelReading
from tbgen.export.errors import MissingExtra, UserError
from tbgen.export.exported import Exported, exported_from_folder, record_of
from tbgen.export.files import EXPORT_RECORD, whole_folder, write_json
from tbgen.export.layout import MODEL_PLAN
from tbgen.export.ready.adapt import are_inputs
from tbgen.export.ready.companions import companions_from_folder, positions, ready_export, write_companions
from tbgen.export.ready.tryout import try_out
from tbgen.export.run import Run
from tbgen.export.tensorrt.cuda import gpu
from tbgen.export.tensorrt.export import card_of, export_from_plan, longest, with_plan
from tbgen.export.tensorrt.plan import Plan, plan_from_file
from tbgen.export.tensorrt.session import plan_run
from tbgen.export.tokenizers.tokenizer import check_vocabulary


@dataclass(frozen=True)
class LoadedPlan:
    """A plan on the GPU: what is in it, how it is run, and the card that it was built for, as it is recorded."""

    plan: Plan
    run: Run
    card: Mapping[str, str]


def _loaded_plan(file: Path) -> LoadedPlan:
    """Load a plan. Raises UserError where that cannot be: it can be read by TensorRT alone, on its own GPU."""
    try:
        return LoadedPlan(plan_from_file(file), plan_run(file), card_of(gpu()))
    except MissingExtra as error:
        raise UserError(
            f"{str(file)!r} can be read by TensorRT alone, on the GPU that it was built for; run this there: "
            f"{error.message}"
        ) from error


def export_from_plan_file(
    plan_file: Path,
    tokenizer: Path,
    folder: Path,
    *,
    precision: str,
    task: str | None = None,
    labels: Sequence[str] | None = None,
    force: bool = False,
    load: Callable[[Path], LoadedPlan] = _loaded_plan,
) -> Exported:
    """An export folder around a plan built elsewhere, beside whose tokenizer there need be no more than a config.json.

    Where `tokenizer` is the export folder of the ONNX file that the plan was built from, the plan is held against it;
    otherwise it is run on the tokenizer's last id and on its longest text. A plan does not tell its precision. Raises
    UserError: no TensorRT, no GPU, a plan of another version, tensors, a width or a length that do not fit.
    """
    if not plan_file.is_file():
        raise UserError(f"no plan {str(plan_file)!r}")
    if (tokenizer / EXPORT_RECORD).is_file():
        return export_from_plan(exported_from_folder(tokenizer), plan_file, folder, precision=precision, force=force)
    beside = companions_from_folder(tokenizer, task=task, labels=labels)
    loaded = load(plan_file)
    _check_plan(loaded.plan, beside, plan_file)
    outputs = {name: loaded.plan.outputs[name] for name in beside.row.outputs}
    with whole_folder(folder, force=force) as new:
        write_companions(beside, new)
        if "vocab_size" in beside.config:
            # a GPU reads beyond a table without a word
            check_vocabulary(beside.tokenizer.tokenizer, beside.config["vocab_size"])
        shutil.copyfile(plan_file, new / MODEL_PLAN)
        exported = ready_export(
            beside,
            new / MODEL_PLAN,
            inputs=loaded.plan.inputs,
            outputs=outputs,
            asked_length=None,
            shown=str(plan_file),
        )
        built = with_plan(exported, new, replace(loaded.plan, outputs=outputs), precision, loaded.card)
        try_out(built, loaded.run, str(plan_file))
        made = replace(built.made, source={plan_file.name: built.made.sha256}, chosen=beside.explanation)
        write_json(new / EXPORT_RECORD, record_of(replace(built, made=made)))
    return exported_from_folder(folder)


def _check_plan(plan: Plan, beside: ModelReading, file: Path) -> None:
    """Raise UserError for a plan that steps cannot stand around: its names and types are fixed once it is built."""
    wanted, given = beside.row.outputs, plan.outputs
    if not are_inputs(plan.inputs) or not set(wanted) <= set(given):
        raise UserError(
            f"{str(file)!r} takes {', '.join(plan.inputs)} and gives {', '.join(given)}; task {beside.task!r} needs "
            f"input_ids, attention_mask, perhaps token_type_ids, and {', '.join(wanted)}: build it from an ONNX file "
            "with these names (tbgen export tensorrt --source FILE.onnx -o FOLDER)"
        )
    types = {spec.dtype for spec in plan.inputs.values()}, {given[name].dtype for name in wanted}
    if types[0] not in ({"int32"}, {"int64"}) or types[1] != {"float32"}:
        raise UserError(
            f"{str(file)!r} takes {', '.join(sorted(types[0]))} and gives {', '.join(sorted(types[1]))}; build it with "
            "int32 or int64 inputs and float32 outputs"
        )
    most = positions(beside.config)
    if most and longest(plan.profiles) > most:
        raise UserError(
            f"{str(file)!r} is built for {longest(plan.profiles)} tokens, its config.json says {most} positions; they "
            "belong to two models"
        )
