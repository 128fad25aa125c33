"""What tbgen puts around the engine for --task polarity."""

from pathlib import Path

from tbgen import Step, Task

FILE = Path(__file__).parent / "polarity.py"
POLARITY = Task(
    head=lambda exported, _: (Step(FILE, "Polarity", {"classes": len(exported.labels)}),),
    like="text-classification",  # the checkpoints that it takes
)
