"""FastAPI around a transformers pipeline: `uvicorn fastapi_torch:app`, in the peer's own venv.

MODEL: the checkpoint's folder. PRECISION: fp32, or int8 (dynamically quantised). POOL: requests at work at once.
"""

import os

import torch
from fastapi_app import Text, app
from transformers import pipeline

classify = pipeline("text-classification", model=os.environ["MODEL"], device="cpu")
if os.environ["PRECISION"] == "int8":
    classify.model = torch.ao.quantization.quantize_dynamic(classify.model, {torch.nn.Linear}, dtype=torch.qint8)


@app.post("/classify")
def answer(text: Text) -> dict[str, str | float]:
    """The best class of a text and its probability."""
    return classify(text.text)[0]
