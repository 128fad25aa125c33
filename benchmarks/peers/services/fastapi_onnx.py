"""FastAPI around ONNX Runtime and tokenizers: `uvicorn fastapi_onnx:app`, in the peer's own venv.

MODEL: the folder with model.onnx, tokenizer.json and config.json. POOL: requests at work at once. THREADS: of each run.
"""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel
from tokenizers import Tokenizer

FOLDER = Path(os.environ["MODEL"])
labels = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))["id2label"]
tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(os.environ["THREADS"])
session = onnxruntime.InferenceSession(FOLDER / "model.onnx", options, providers=["CPUExecutionProvider"])


class Text(BaseModel):
    """What a client sends."""

    text: str


@asynccontextmanager
async def pool(_: FastAPI) -> AsyncIterator[None]:
    """As many threads for the endpoint as POOL says."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = int(os.environ["POOL"])
    yield


app = FastAPI(lifespan=pool)


@app.get("/ready")
def ready() -> bool:
    """Whether the model is loaded."""
    return True


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
