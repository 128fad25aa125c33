"""Hold a plan's logits against PyTorch's, and time it: `python -m benchmarks.gpu.plans SHAPE NAME`.

Runs where TensorRT is installed, on what benchmarks.gpu.shapes wrote and `tbgen export tensorrt` built of it.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

from benchmarks.gpu.shapes import FOLDER, LENGTHS, random_tokens, say
from tbgen.export.exported import exported_from_folder
from tbgen.export.tensorrt.session import PlanSession, plan_run

REPEATS = 200


def measure(shape: str, name: str) -> None:
    """Logits against PyTorch's, then times for each profile's largest shape."""
    compare(shape, name)
    for graphs in (False, True):
        session = PlanSession(FOLDER / shape / name / "model.plan", graphs=graphs)
        for profile in session.profiles.values():
            rows, tokens = profile.most
            found = {"rows": rows, "tokens": tokens, **plan_times(session, rows, tokens)}
            say(shape=shape, what="plan", plan=name, graphs=graphs, profile=str(profile), **found)


def compare(shape: str, name: str) -> None:
    """The plan's logits against PyTorch's FP32 ones, beside PyTorch's own FP16 ones."""
    run = plan_run(FOLDER / shape / name / "model.plan")
    known = np.load(FOLDER / shape / "reference.npz")
    profiles = exported_from_folder(FOLDER / shape / name).made.profiles
    longest = max(profile.most[1] for profile in profiles)
    for length in (length for length in LENGTHS if length <= longest):
        tensors = ("input_ids", "attention_mask", "token_type_ids")
        answered = run({tensor: known[f"{tensor}_{length}"] for tensor in tensors})["outputs"]
        exact = known[f"fp32_{length}"]
        for label, logits in ((f"{name} plan", answered), ("torch fp16", known[f"fp16_{length}"])):
            differences = np.abs(logits - exact)
            say(
                shape=shape,
                what="against torch fp32",
                who=label,
                tokens=length,
                texts=len(exact),
                max_abs=float(differences.max()),
                mean_abs=float(differences.mean()),
                flips=int((logits.argmax(1) != exact.argmax(1)).sum()),
                spread=float(exact.std(axis=0).mean()),
            )


def plan_times(session: PlanSession, rows: int, tokens: int) -> dict[str, float]:
    """Milliseconds, medians: on the GPU with the copies, and as a caller waits for `run`."""
    inputs = random_tokens(rows, tokens)
    for _ in range(20):
        session.run(inputs)
    device, wall = [], []
    for _ in range(REPEATS):
        start = session.stream.event()
        session.begin(rows, tokens)
        end = session.stream.event()
        session.stream.wait()
        device.append(session.stream.milliseconds(start, end))
    for _ in range(REPEATS):
        began = time.perf_counter()
        session.run(inputs)
        wall.append((time.perf_counter() - began) * 1000)
    return {"gpu_ms": round(statistics.median(device), 3), "wall_ms": round(statistics.median(wall), 3)}


if __name__ == "__main__":
    measure(*sys.argv[1:])
