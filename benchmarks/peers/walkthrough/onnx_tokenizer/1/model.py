"""The walk-through's tokenizer for Triton's Python backend: AutoTokenizer, each request alone, padded to 300."""

from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from transformers import AutoTokenizer

COLUMNS = ("input_ids", "attention_mask", "token_type_ids")


class TritonPythonModel:
    """One text in, three arrays of 300 out."""

    def initialize(self, args: dict[str, str]) -> None:  # noqa: ARG002
        self.tokenizer = AutoTokenizer.from_pretrained(Path(__file__).parents[1])

    def execute(self, requests: list) -> list:
        return [self.answer(request) for request in requests]

    def answer(self, request: object) -> object:
        texts = pb_utils.get_input_tensor_by_name(request, "input_text").as_numpy().ravel()
        encoded = self.tokenizer(
            [text.decode("utf-8") for text in texts],
            padding="max_length",
            max_length=300,
            truncation=True,
            return_token_type_ids=True,
            return_tensors="np",
        )
        tensors = [pb_utils.Tensor(name, encoded[name].astype(np.int64)) for name in COLUMNS]
        return pb_utils.InferenceResponse(output_tensors=tensors)
