"""FastAPI around a transformers pipeline: `uvicorn fastapi_torch:app`, in the peer's own venv.

MODEL: the checkpoint's folder. PRECISION: fp32, or int8 (dynamically quantised). POOL: requests at work at once.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
import torch
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

classify = pipeline("text-classification", model=os.environ["MODEL"], device="cpu")
if os.environ["PRECISION"] == "int8":
    classify.model = torch.ao.quantization.quantize_dynamic(classify.model, {torch.nn.Linear}, dtype=torch.qint8)


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
    return classify(text.text)[0]
