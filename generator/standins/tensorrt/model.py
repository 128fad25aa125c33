"""Stands in for NVIDIA's C++ tensorrt backend: the same config.pbtxt, refusals and answers, in Python.

The embedded server lays this file into its backend directory as `tensorrt/model.py`, with the rulebooks beside it;
every model whose configuration says `backend: "tensorrt"` or `platform: "tensorrt_plan"` is then served by it, one
process an instance, on its GPU.
It runs in the interpreter that tbgen is installed in, together with the package tensorrt that built the plan.

Apart from NVIDIA's: when requests joined by the dynamic batcher fit no profile, they are run one by one; ragged
batches, batch_input and sequence batching are refused.
"""

from __future__ import annotations

import asyncio  # noqa: F401 - Triton's stub imports it at the first request, which would wait for it
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from tbgen.export.errors import UserError
from tbgen.export.tensorrt.plan import plan_from_file
from tbgen.export.tensorrt.profiles import profile_for
from tbgen.export.tensorrt.session import PlanSession

if not __package__:  # a server's backend is imported by its bare name; then it is the package of what lies beside it
    __path__ = __spec__.submodule_search_locations = [str(Path(__file__).parent)]
    __package__ = __name__

from .rules import tensorrt as rules  # type: ignore[import-not-found]  # of tbgen.generator, laid beside this file
from .rules.problem import not_served, refuse  # type: ignore[import-not-found]

Arrays = dict[str, np.ndarray]


class TritonPythonModel:
    """One instance of a plan: an execution context a profile, its checked configuration, joined runs."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Fill in inputs, outputs and batching of a configuration that lacks its inputs or outputs."""
        config = auto_complete_model_config.as_dict()
        if not (config["input"] and config["output"]):
            plan = plan_from_file(rules.plan_file(config, Path(pb_utils.get_model_dir())))
            rules.complete_config(config, plan)
            auto_complete_model_config.set_max_batch_size(config["max_batch_size"])
            for tensor in config["input"]:
                auto_complete_model_config.add_input(tensor)
            for tensor in config["output"]:
                auto_complete_model_config.add_output(tensor)
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Load the plan and check the configuration against it. Raises ValueError, in NVIDIA's words, and UserError."""
        config = json.loads(args["model_config"])
        if args["model_instance_kind"] != "GPU":
            refuse([rules.no_gpu(config, "instance_group")])
        file = rules.plan_file(config, Path(args["model_repository"]) / args["model_version"])
        self.session = PlanSession(
            file,
            device=int(args["model_instance_device_id"]),
            profiles=rules.profile_numbers(config, args["model_instance_name"]),
            graphs=bool(config.get("optimization", {}).get("cuda", {}).get("graphs")),
        )
        refuse(not_served(config, rules.NOT_SERVED))
        refuse(rules.problems(config, self.session.plan))
        self.name = args["model_instance_name"]
        self.batching = config["max_batch_size"] > 0
        self.outputs = [tensor["name"] for tensor in config["output"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request, in order; requests of equal item shapes share one run."""
        groups: dict[Any, list[int]] = defaultdict(list)
        parts = [{tensor.name(): tensor.as_numpy() for tensor in request.inputs()} for request in requests]
        for index, arrays in enumerate(parts):
            groups[tuple(array.shape[1:] for array in arrays.values()) if self.batching else index].append(index)
        answers: list[Any] = [None] * len(requests)
        for indices in groups.values():
            wanted = [set(requests[index].requested_output_names()) for index in indices]
            joined = self.answer_group([parts[index] for index in indices], wanted)
            for index, answer in zip(indices, joined, strict=True):
                answers[index] = answer
        return answers

    def answer_group(self, parts: Sequence[Arrays], wanted: Sequence[set[str]]) -> list[Any]:
        """Run the requests of a group joined, or one by one where no profile takes them together."""
        rows = sum(len(next(iter(part.values()))) for part in parts)
        tokens = next(iter(parts[0].values())).shape[1]
        if profile_for(self.session.profiles.items(), rows, tokens) is None:
            if len(parts) == 1:
                return [self.refusal(rules.no_profile(self.name, self.session.profiles, rows, tokens))]
            return [self.answer_group([part], [names])[0] for part, names in zip(parts, wanted, strict=True)]
        try:
            return self.answer_joined(parts, wanted)
        except UserError as error:
            return [self.refusal(f"unable to enqueue for inference {self.name}: {error}")] * len(parts)

    def answer_joined(self, parts: Sequence[Arrays], wanted: Sequence[set[str]]) -> list[Any]:
        """Join along the batch axis, run once, split again."""
        joined = parts[0] if len(parts) == 1 else {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}
        values = self.session.run(joined)
        counts = [len(next(iter(part.values()))) for part in parts]
        return [
            self.response({name: values[name][end - count : end] for name in self.outputs if name in names})
            for names, count, end in zip(wanted, counts, np.cumsum(counts), strict=True)
        ]

    def response(self, values: Mapping[str, np.ndarray]) -> Any:
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in values.items()])

    def refusal(self, sentence: str) -> Any:
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(sentence, pb_utils.TritonError.INVALID_ARG))
