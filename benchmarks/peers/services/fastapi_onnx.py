"""FastAPI around ONNX Runtime and tokenizers: `uvicorn fastapi_onnx:app`, in the peer's own venv.

MODEL: the folder with model.onnx, tokenizer.json and config.json. POOL: requests at work at once. THREADS: of each run.
"""

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
from fastapi_app import Text, app
from tokenizers import Tokenizer

FOLDER = Path(os.environ["MODEL"])
labels = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))["id2label"]
tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(os.environ["THREADS"])
session = onnxruntime.InferenceSession(FOLDER / "model.onnx", options, providers=["CPUExecutionProvider"])


@app.post("/classify")
def answer(text: Text) -> dict[str, str | float]:
    """The best class of a text and its probability."""
    encoding = tokenizer.encode(text.text)
    columns = {
        "input_ids": encoding.ids,
        "attention_mask": encoding.attention_mask,
        "token_type_ids": encoding.type_ids,
    }
    (logits,) = session.run(None, {name: np.array([values], dtype=np.int64) for name, values in columns.items()})[0]
    softmax = np.exp(logits - logits.max())
    best = int(softmax.argmax())
    return {"label": labels[str(best)], "score": float(softmax[best] / softmax.sum())}
