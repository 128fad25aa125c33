"""The walk-through's recipe as a model repository: every text padded to 300 tokens, one request at a time, an ensemble.

A Python model around AutoTokenizer, the ONNX file behind it, no batching anywhere; on tbgen's server.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

LENGTH = 300
TOKENIZER, ENGINE, ENSEMBLE = "onnx_tokenizer", "kcbert_onnx", "kcbert_onnx_ensemble"
COLUMNS = ("input_ids", "attention_mask", "token_type_ids")
IDS = [{"name": name, "data_type": "TYPE_INT64", "dims": [LENGTH]} for name in COLUMNS]
TEXT = [{"name": "input_text", "data_type": "TYPE_STRING", "dims": [1]}]
LOGITS = [{"name": "outputs", "data_type": "TYPE_FP32", "dims": [3]}]
ONE_ON_CPU = [{"count": 1, "kind": "KIND_CPU"}]
LATEST = -1
STEPS = [
    {
        "model_name": TOKENIZER,
        "model_version": LATEST,
        "input_map": {"input_text": "input_text"},
        "output_map": {name: name for name in COLUMNS},
    },
    {
        "model_name": ENGINE,
        "model_version": LATEST,
        "input_map": {name: name for name in COLUMNS},
        "output_map": {"outputs": "outputs"},
    },
]
CONFIGS: dict[str, dict[str, Any]] = {
    TOKENIZER: {"backend": "python", "input": TEXT, "output": IDS, "instance_group": ONE_ON_CPU},
    ENGINE: {"platform": "onnxruntime_onnx", "input": IDS, "output": LOGITS, "instance_group": ONE_ON_CPU},
    ENSEMBLE: {"platform": "ensemble", "input": TEXT, "output": LOGITS, "ensemble_scheduling": {"step": STEPS}},
}


def write_walkthrough(repository: Path, *, model: Path, checkpoint: Path) -> None:
    """Write the three models into a new repository: `model` is the ONNX file, `checkpoint` holds the tokenizer."""
    for name, config in CONFIGS.items():
        version = repository / name / "1"
        version.mkdir(parents=True)
        message = ModelConfig(name=name, max_batch_size=1, **config)
        (version.parent / "config.pbtxt").write_text(text_format.MessageToString(message), encoding="utf-8")
    shutil.copyfile(
        Path(__file__).parent / "services" / "padded_tokenizer.py", repository / TOKENIZER / "1" / "model.py"
    )
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(checkpoint / file, repository / TOKENIZER / file)
    shutil.copyfile(model, repository / ENGINE / "1" / "model.onnx")
