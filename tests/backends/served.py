"""A task's steps around a real ONNX file, run without Triton: what an ensemble and a BLS model would answer."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from tbgen.backends.request_parameters import parameters_from_json
from tbgen.export.exported import Exported
from tbgen.export.run import flat_tensors
from tbgen.export.tasks.table import TASKS
from tbgen.export.tasks.task import Step
from tbgen.generator.data_types import NUMPY
from tbgen.generator.engines.table import ENGINES
from tbgen.generator.models.graph import graphs_of_task, models_of
from tbgen.generator.models.long_text import task_for
from tbgen.generator.models.write import write_models
from tbgen.generator.steps.chain import chain_on_request, chain_parameters, chain_tensors, run_steps
from tbgen.generator.steps.load import steps_from_folder

Tensors = dict[str, np.ndarray]


class Served:
    """The models that scaffold would write for a task, their steps constructed from the written folders.

    `graphs` are those that serve the task. The BLS call asks ONNX Runtime instead of Triton; all else is real.
    """

    def __init__(
        self,
        folder: Path,
        task: str,
        exported: Exported,
        options: dict[str, Any] | None = None,
        pre: tuple[Step, ...] = (),
        post: tuple[Step, ...] = (),
        long_text: str | None = None,
    ) -> None:
        self.session, self.exported = session(exported.model), exported
        row = task_for(task, TASKS[task], long_text)
        self.graphs = graphs_of_task(row)
        models = models_of(
            "m",
            exported,
            task=row,
            engine=ENGINES["onnx"],
            graphs=self.graphs,
            pre=pre,
            post=post,
            options=options,
        )
        write_models(models, folder, {})
        self.parts = {
            path.name: steps_from_folder(path / "1")
            for path in folder.iterdir()
            if (path / "1" / "steps.json").exists()
        }
        for step in self.parts["m_onnx_bls"]:
            if type(step).__name__ == "Engine":
                step.request = self.run
        for step in self.parts["m_onnx_single"]:
            if type(step).__name__ == "LocalEngine":
                step.load()

    def run(self, tensors: Tensors, *_: Any) -> Tensors:
        """One call of the engine."""
        names = [output.name for output in self.session.get_outputs()]
        taken = flat_tensors(tensors) if self.exported.packed else tensors
        return dict(zip(names, self.session.run(names, taken), strict=True))

    def ask(self, graph: str, tensors: Tensors, **parameters: Any) -> Tensors:
        """The answer of a graph to one request."""
        if graph in ("bls", "single"):
            return self.part(f"m_onnx_{graph}", tensors, parameters)
        tokens = self.part("m_tokenizer", tensors, parameters)
        engine = self.run({name: tokens[name] for name in self.exported.inputs})
        return self.part("m_postprocess", tensors | tokens | engine, parameters)

    def part(self, name: str, tensors: Tensors, parameters: dict[str, Any]) -> Tensors:
        """What one Python model gives: the checks of its declared parameters, types and dims included."""
        steps = self.parts[name]
        inputs, outputs = chain_tensors(steps)
        rules = chain_parameters(steps)
        checked = parameters_from_json(json_of(parameters), rules, parameters)
        done = run_steps(steps, {key: tensors[key] for key in inputs}, checked)
        given = [key for key in outputs if key in done or key not in chain_on_request(steps)]
        for key, (data_type, dims) in ((key, outputs[key]) for key in given):
            assert done[key].dtype == NUMPY[data_type], key
            assert len(done[key].shape) == 1 + len(dims), key
            assert all(size in (-1, real) for size, real in zip(dims, done[key].shape[1:], strict=True)), key
        return {key: done[key] for key in given}


def json_of(parameters: dict[str, Any]) -> str:
    """Request parameters as Triton hands them to a model."""
    import json

    return json.dumps(parameters)


@cache
def session(model: Path) -> onnxruntime.InferenceSession:
    """ONNX Runtime on an engine file, with one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def column(*texts: str) -> np.ndarray:
    """Texts as a (texts, 1) tensor."""
    return np.array([[text] for text in texts], dtype=object)


def rows(answer: Tensors, item: int, count: str, *names: str) -> list[tuple[Any, ...]]:
    """One item's answers, by the shape rule: the first `count` columns of each named tensor."""
    most = int(answer[count][item, 0])
    return list(zip(*(answer[name][item, :most].tolist() for name in names), strict=True))
