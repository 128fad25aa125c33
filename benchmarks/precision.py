"""What each form of an engine file gains: `python -m benchmarks.precision`.

Times are of the kcbert-base shape on this machine's CPU, all forms in turn, round by round, in one process; the ratio
to FP32 is that of the fastest rounds. Agreement is the trained sample's, on sentences that it was not trained on.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.bare import columns_of
from benchmarks.models import checkpoint_of_shape
from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.exported import Exported
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.export.run import Run, onnx_run
from tbgen.generator.corpus import corpus_sentences
from tbgen.generator.presets import SAMPLES

FORMS = {
    "fp32": ("fp32", False),
    "fp32, fused": ("fp32", True),
    "fp16": ("fp16", False),
    "int8": ("int8", False),
    "int8, fused": ("int8", True),
}
SHAPES = ((1, 32), (1, 128), (8, 32), (16, 64))
ROUNDS = 15
ANY = 1e9  # random weights answer at random: only their times are used


def main() -> None:
    base, sample = Path(checkpoint_of_shape("base")), SAMPLES / "kcbert"
    with tempfile.TemporaryDirectory() as scratch:
        timed = {form: export(base, Path(scratch, "base", form), form, ANY) for form in FORMS}
        trained = {form: export(sample, Path(scratch, "sample", form), form, None) for form in FORMS}
        runs = {form: onnx_run(made.model) for form, made in timed.items()}
        seconds = {shape: fastest(runs, *shape) for shape in SHAPES}
        show(timed, trained, seconds)


def export(source: Path, folder: Path, form: str, tolerance: float | None) -> Exported:
    precision, optimize = FORMS[form]
    texts = corpus_sentences("test") if tolerance is None else ["금리는 동결"]
    return onnx_from_checkpoint(
        checkpoint_from_folder(source),
        folder,
        precision=precision,
        optimize=optimize,
        texts=texts,
        tolerance=tolerance,
    )


def fastest(runs: dict[str, Run], batch: int, length: int) -> dict[str, float]:
    """Seconds of the fastest round of each form."""
    ids = np.random.default_rng(0).integers(5, 3000, (batch, length))
    inputs = columns_of(ids)
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(ROUNDS):
        for form, run in runs.items():
            started = time.perf_counter()
            run(inputs)
            best[form] = min(best[form], time.perf_counter() - started)
    return best


def show(
    timed: dict[str, Exported], trained: dict[str, Exported], seconds: dict[tuple[int, int], dict[str, float]]
) -> None:
    columns = [f"{batch} x {length}" for batch, length in SHAPES]
    table = Table("form", "MB", *columns, "agreement", "largest difference", "by padding")
    for form, made in timed.items():
        parity = trained[form].parity
        ratios = [f"{found['fp32'] / found[form]:.2f} ({1000 * found[form]:.0f} ms)" for found in seconds.values()]
        agreement = f"{parity['decisions'] - parity['flips']} of {parity['decisions']}"
        size = f"{made.model.stat().st_size / 1e6:.0f}"
        table.add_row(form, size, *ratios, agreement, f"{parity['max_abs']:.2g}", f"{parity['padding_abs']:.2g}")
    Console(width=160).print(table)
    print(f"{os.cpu_count()} cores")


if __name__ == "__main__":
    main()
