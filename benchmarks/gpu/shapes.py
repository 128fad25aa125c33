"""The KcBERT shapes with random weights, and the bundled sample: checkpoints, ONNX files, PyTorch's logits to hold
plans against, and PyTorch's times.

    python -m benchmarks.gpu.shapes large base sample

Runs where PyTorch sees the GPU. Writes SHAPE/{onnx,reference.npz} and results.jsonl to .cache/benchmarks/gpu.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bare import columns_of
from benchmarks.models import CACHE, checkpoint_of_shape
from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.generator.corpus import corpus_sentences
from tbgen.generator.presets import SAMPLES

FOLDER = CACHE / "gpu"
SIZES = [(1, 300), (1, 128), (32, 128), (32, 300)]  # texts, tokens
LENGTHS = (128, 300)
REPEATS = 60


def main(names: list[str]) -> None:
    """All shapes, one after the other."""
    for name in names:
        began = time.perf_counter()
        (FOLDER / name).mkdir(parents=True, exist_ok=True)
        checkpoint = SAMPLES / "kcbert" if name == "sample" else checkpoint_of_shape(name)
        exported = onnx_from_checkpoint(checkpoint_from_folder(checkpoint), FOLDER / name / "onnx", opset=15)
        say(shape=name, what="onnx", seconds=time.perf_counter() - began, parity=exported.parity)
        model = gpu_model(checkpoint)
        reference(FOLDER / name / "reference.npz", model, checkpoint, 512 if name == "sample" else 64)
        times(name, model)
        del model


def gpu_model(checkpoint: Path) -> Any:
    """The checkpoint in PyTorch on the GPU, FP32, with its fastest stock attention."""
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.backends.cuda.matmul.allow_tf32 = False
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, attn_implementation="sdpa")
    return model.eval().cuda()


def reference(file: Path, model: Any, checkpoint: Path, count: int) -> None:
    """Token arrays of real sentences at each length, and PyTorch's FP32 and FP16 logits for them."""
    import torch

    arrays: dict[str, np.ndarray] = {}
    for length in LENGTHS:
        inputs = token_arrays(checkpoint, sentences(count), length)
        arrays |= {f"{name}_{length}": array for name, array in inputs.items()}
        for dtype, label in ((torch.float32, "fp32"), (torch.float16, "fp16")):
            arrays[f"{label}_{length}"] = logits(model.to(dtype), inputs)
    model.float()
    np.savez(file, **arrays)


def logits(model: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """(texts, classes), 32 texts at a time."""
    import torch

    parts = []
    with torch.inference_mode():
        for start in range(0, len(inputs["input_ids"]), 32):
            batch = {name: torch.from_numpy(array[start : start + 32]).cuda() for name, array in inputs.items()}
            parts.append(model(**batch).logits.float().cpu().numpy())
    return np.concatenate(parts)


def sentences(count: int) -> list[str]:
    """Sentences of the bundled corpus that the sample was not trained on, and then the others."""
    return [*corpus_sentences("test"), *corpus_sentences("train")][:count]


def token_arrays(folder: Path, texts: list[str], length: int) -> dict[str, np.ndarray]:
    """int64 arrays (texts, length), padded to the length."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length, pad_id=tokenizer.token_to_id("[PAD]"))
    encodings = tokenizer.encode_batch(texts)
    columns = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
    return {name: np.array([getattr(e, column) for e in encodings], np.int64) for name, column in columns.items()}


def times(name: str, model: Any) -> None:
    """PyTorch FP16 in milliseconds: eager, and in a CUDA graph with a ready additive mask."""
    import torch

    model = model.half()
    for rows, tokens in SIZES:
        ids = torch.randint(10, 500, (rows, tokens), device="cuda")
        mask = torch.ones_like(ids)
        additive = torch.zeros((rows, 1, tokens, tokens), device="cuda", dtype=torch.float16)
        types = torch.zeros_like(ids)
        with torch.inference_mode():
            found = {"eager": median_ms(lambda: model(ids, mask, types))}  # noqa: B023
            found["cuda_graph"] = median_ms(graph_of(lambda: model(ids, additive, types)).replay)  # noqa: B023
        say(shape=name, what="torch fp16", rows=rows, tokens=tokens, **found)


def graph_of(run: Callable[[], object]) -> Any:
    """What a call does on the GPU, recorded."""
    import torch

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        run()
    return graph


def median_ms(run: Callable[[], object]) -> float:
    """The GPU's time for one call, median of many."""
    import torch

    for _ in range(10):
        run()
    found = []
    for _ in range(REPEATS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        found.append(start.elapsed_time(end))
    return statistics.median(found)


def random_tokens(rows: int, tokens: int) -> dict[str, np.ndarray]:
    """Token tensors (rows, tokens) INT32 of random ids, without padding."""
    return columns_of(np.random.default_rng(0).integers(10, 500, (rows, tokens), dtype=np.int32))


def say(**result: Any) -> None:
    """A line of results, on the terminal and in the file."""
    line = json.dumps(result, ensure_ascii=False)
    print(line, flush=True)
    with (FOLDER / "results.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
