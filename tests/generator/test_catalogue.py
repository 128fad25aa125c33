from pathlib import Path

from tbgen.generator.steps.catalogue import STEP_FOLDER, steps_here, with_neighbours


def test_steps_are_listed_wherever_their_call_is_written_and_what_they_share_is_not(tmp_path: Path) -> None:
    rows = [row.place for row in steps_here(tmp_path) if row.origin == "tbgen"]
    listed = set(rows)
    assert len(rows) == len(listed)
    assert {"Tokenizer", "Engine", "LocalEngine", "PlanEngine", "TextClassification"} <= listed
    assert not {"MicroBatches", "FixedShapes", "OwnProcessEngine", "TritonPythonModel"} & listed


def test_a_file_brings_what_it_needs_and_nothing_else() -> None:
    names = {file.name for file in with_neighbours(STEP_FOLDER / "engine_call.py")}
    assert names == {"engine_call.py", "micro_batches.py"}
    names = {file.name for file in with_neighbours(STEP_FOLDER / "local_engine.py")}
    assert names == {"local_engine.py", "own_process.py", "micro_batches.py"}
