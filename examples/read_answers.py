"""A client that reads answers of any number: python examples/read_answers.py MODEL TEXT... [--url localhost:8001]

For any task that takes input_text, such as token-classification or sparse-embedding. Needs tritonclient[grpc] alone.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import tritonclient.grpc as triton

COUNTS = ("entities_count", "answer_count", "top_count", "token_count", "mask_count")


def rows_from_result(result: triton.InferResult) -> list[dict[str, Any]]:
    """What each item was answered, its padding left out: tensors as wide as the count says, text as str."""
    names = [output.name for output in result.get_response().outputs]
    tensors = {name: result.as_numpy(name) for name in names}
    counts = next((tensors[name][:, 0] for name in COUNTS if name in tensors), None)
    return [
        {
            name: plain(array[item], counts[item] if counts is not None else None, name)
            for name, array in tensors.items()
        }
        for item in range(len(next(iter(tensors.values()))))
    ]


def plain(values: np.ndarray, count: int | None, name: str) -> Any:
    """One item's values of a tensor: the first `count` of those that come in any number (their names share a stem)."""
    stems = ("entities_", "answer_", "top_", "token", "filled_text")
    kept = values[:count] if count is not None and name.startswith(stems) and name not in COUNTS else values
    texts = np.vectorize(bytes.decode, otypes=[object])(kept) if kept.dtype == object and kept.size else kept
    return texts.tolist()[0] if texts.shape == (1,) and (name in COUNTS or count is None) else texts.tolist()


def ask(client: triton.InferenceServerClient, model: str, texts: list[str], **parameters: Any) -> list[dict[str, Any]]:
    """The answers of a model to texts, one dict a text."""
    tensor = triton.InferInput("input_text", [len(texts), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[text.encode("utf-8")] for text in texts], dtype=object))
    return rows_from_result(client.infer(model, [tensor], parameters=parameters or None))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--url", default="localhost:8001")
    given = parser.parse_args()
    with triton.InferenceServerClient(given.url) as connection:
        for text, answer in zip(given.texts, ask(connection, given.model, given.texts), strict=True):
            print(text, answer)
