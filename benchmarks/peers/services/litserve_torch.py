"""LitServe with its batching around a transformers model, in the peer's own venv: `litserve_torch.py PORT`.

MODEL: the checkpoint's folder. PRECISION: fp32, or int8 (dynamically quantised). BATCH, WAIT, WORKERS: LitServe's.
"""

import os
import sys

import litserve
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


class Classifier(litserve.LitAPI):
    """Texts to their best classes; the texts of a batch are padded to the longest of them."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        self.tokenizer = AutoTokenizer.from_pretrained(os.environ["MODEL"])
        self.model = AutoModelForSequenceClassification.from_pretrained(os.environ["MODEL"]).eval()
        if os.environ["PRECISION"] == "int8":
            self.model = torch.ao.quantization.quantize_dynamic(self.model, {torch.nn.Linear}, dtype=torch.qint8)

    def decode_request(self, request: dict[str, str]) -> str:
        return request["text"]

    def predict(self, texts: str | list[str]) -> dict | list[dict]:
        alone = isinstance(texts, str)
        inputs = self.tokenizer([texts] if alone else texts, padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            best = self.model(**inputs).logits.softmax(-1).max(-1)
        labels = self.model.config.id2label
        found = zip(best.values.tolist(), best.indices.tolist(), strict=True)
        answers = [{"label": labels[index], "score": score} for score, index in found]
        return answers[0] if alone else answers


if __name__ == "__main__":
    classifier = Classifier(max_batch_size=int(os.environ["BATCH"]), batch_timeout=float(os.environ["WAIT"]))
    workers = int(os.environ["WORKERS"])
    server = litserve.LitServer(classifier, accelerator="cpu", devices=1, workers_per_device=workers)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
