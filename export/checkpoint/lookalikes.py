"""Folders and files that look like a checkpoint and are something else: what they are, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError
from tbgen.export.reading import read_json

# task_type of a PEFT adapter: the class of peft that loads it on its base.
_PEFT_CLASSES = {
    "SEQ_CLS": "AutoPeftModelForSequenceClassification",
    "TOKEN_CLS": "AutoPeftModelForTokenClassification",
    "QUESTION_ANS": "AutoPeftModelForQuestionAnswering",
    "FEATURE_EXTRACTION": "AutoPeftModelForFeatureExtraction",
}
_PROMPTS = {"PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING", "ADAPTION_PROMPT", "CPT"}


def _from_older(what: str, switch: str) -> str:
    """What to do with weights that transformers 5 no longer reads."""
    return (
        f'transformers 5 reads no {what} weights; with pip install "transformers<5": '
        f"AutoModelForSequenceClassification.from_pretrained(folder, {switch}=True).save_pretrained(folder)"
    )


_FLAX, _TENSORFLOW = _from_older("Flax", "from_flax"), _from_older("TensorFlow", "from_tf")
_LIGHTNING = (
    "write its state dict where it was trained, torch.save(Model.load_from_checkpoint(file).state_dict(), 'model.pt'), "
    "and name that: "
    "--source model.pt --tokenizer DIR (a prefix that all its names share is taken off)"
)
# What lies in a folder without weights that are read here (the first row that fits), and what it means.
_FOLDERS = (
    ("flax_model*.msgpack", _FLAX),
    ("tf_model*.h5", _TENSORFLOW),
    (
        "bert_model.ckpt.*",
        'it is Google\'s BERT of TensorFlow 1; with pip install "transformers<5": transformers-cli convert',
    ),
    ("*.gguf", "GGUF is llama.cpp's form; take the checkpoint that {found} was made from"),
    ("openvino_model.xml", "it is OpenVINO's form; take the checkpoint that it was made from"),
    ("*.onnx", "it holds a ready ONNX file: --source {found} --tokenizer {folder}"),
    ("onnx/*.onnx", "it holds a ready ONNX file: --source {found} --tokenizer {folder}"),
    ("*.ckpt", "{found} is a checkpoint of Lightning; " + _LIGHTNING),
    ("zero_to_fp32.py", "it is DeepSpeed's form; run python zero_to_fp32.py . pytorch_model.bin in it"),
    ("pytorch_model_fsdp*", "it is FSDP's form; run accelerate merge-weights DIR OUTPUT"),
    ("snapshots/*/config.json", "it is the hub's cache; name {parent}, or the model with --source owner/model"),
    ("*/config.json", "its folders {folders} have one; name one of them"),
)
# The ending of a file that is no source, and what to do with it.
FOREIGN_FILES = {
    ".safetensors": "name its folder, with config.json and the tokenizer in it",
    ".ckpt": f"it is a checkpoint of Lightning; {_LIGHTNING}",
    ".gguf": "GGUF is llama.cpp's form; take the checkpoint that it was made from",
    ".msgpack": _FLAX,
    ".h5": _TENSORFLOW,
    ".xml": "OpenVINO's form is not read; take the checkpoint that it was made from",
    ".pkl": "a pickle's code is not run; save the model in it with model.save_pretrained(folder)",
    ".json": "name its folder",
}


def refuse_lookalike(folder: Path, task: str | None) -> None:
    """Raise UserError for a folder that is a part of a model, whatever else lies in it."""
    if (folder / "adapter_config.json").is_file():
        raise UserError(_adapter_sentence(folder, read_json(folder, "adapter_config.json", "")))
    if task is None and any((folder / name).is_file() for name in ("model_head.pkl", "config_setfit.json")):
        raise UserError(
            f"{str(folder)!r} is a SetFit model, whose head (model_head.pkl) is a pickle of scikit-learn, which tbgen "
            "does not serve; its sentence vectors are served with --task embedding"
        )
    trained = (folder / "trainer_state.json").is_file()
    if trained and not any(file for form in ("tokenizer*", "vocab.*", "*.model") for file in folder.glob(form)):
        raise UserError(
            f"no tokenizer in {str(folder)!r}, which is a checkpoint of transformers' Trainer; write it there with "
            "tokenizer.save_pretrained(folder), as Trainer(processing_class=tokenizer) does"
        )


def _adapter_sentence(folder: Path, adapter: dict[str, Any]) -> str:
    """What to say of an adapter's folder: it is to be merged into its base, where that can be."""
    kind = str(adapter.get("peft_type") or "of no named kind")
    base = adapter.get("base_model_name_or_path") or adapter.get("model_name") or "a base that it does not name"
    what = f"{str(folder)!r} is an adapter ({kind}) of {base}, not a whole model"
    if kind in _PROMPTS:
        return f"{what}, and one that cannot be merged into its base; fine-tune the base itself, or with LoRA"
    auto = _PEFT_CLASSES.get(str(adapter.get("task_type")), "AutoPeftModelForSequenceClassification")
    return (
        f"{what}: merge it with peft, {auto}.from_pretrained(folder, num_labels=N).merge_and_unload()"
        ".save_pretrained(merged), with tokenizer.save_pretrained(merged) beside it, and name that folder"
    )


def cure(folder: Path, otherwise: str) -> str:
    """What to do about a folder without a checkpoint in it: what it holds instead, or `otherwise`."""
    for form, sentence in _FOLDERS:
        if found := sorted(folder.glob(form)):
            folders = ", ".join(file.parent.name for file in found[:4])
            return sentence.format(found=found[0], folder=folder, parent=found[0].parent, folders=folders)
    return otherwise
