"""Small real files for every reader: checkpoints, an export, a model repository, a recipe, texts, a step."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnx
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from tbgen.cli.main import main
from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.generator.models.config import config_from_file, text_from_config
from tbgen.generator.scaffold import Request, scaffold
from tbgen.generator.steps.new_step import new_step
from tests.export.checkpoints import ROBERTA_TOKENS, bpe, checkpoint, unigram
from tests.export.sentence_folders import bi_encoder, written
from tests.generator.check.test_plan import plan


def make(name: str, folder: Path) -> Path:
    """The files that the readers of a name read, whole."""
    made = folder / name
    _MAKERS[name](made)
    return made


def _bert(folder: Path) -> None:
    checkpoint(folder, "bert")


def _slow(folder: Path) -> None:
    checkpoint(folder, "bert")
    words = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    (folder / "vocab.txt").write_text("\n".join(sorted(words, key=words.get)), encoding="utf-8")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": false}')


def _merges(folder: Path) -> None:
    checkpoint(folder, "roberta")
    bpe().model.save(str(folder))
    _without_fast(folder, "RobertaTokenizer")


def _pieces(folder: Path, family: str = "xlm-roberta", file: str = "sentencepiece.bpe.model") -> None:
    """Of a SentencePiece model, as XLM-R and others have it."""
    from transformers.utils.sentencepiece_model_pb2_new import ModelProto

    checkpoint(folder, family)
    proto = ModelProto()
    proto.trainer_spec.model_type = 1
    for token in _HEADS[family]:
        proto.pieces.add(piece=token, score=0.0)
    for token in sorted(unigram().get_vocab().keys() - {*ROBERTA_TOKENS.values()}):
        proto.pieces.add(piece=token, score=-1.0)
    (folder / file).write_bytes(proto.SerializeToString())
    _without_fast(folder, {"xlm-roberta": "XLMRobertaTokenizer", "albert": "AlbertTokenizer"}[family])


_HEADS = {"xlm-roberta": ("<unk>", "<s>", "</s>"), "albert": ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")}


def _added(folder: Path) -> None:
    """Tokens beside a slow tokenizer's vocabulary, and the roles of some."""
    _slow(folder)
    count = len((folder / "vocab.txt").read_text(encoding="utf-8").splitlines())
    (folder / "added_tokens.json").write_text(json.dumps({"[X]": count, "[Y]": count + 1}), encoding="utf-8")
    roles = {"unk_token": "[UNK]", "mask_token": {"content": "[MASK]", "lstrip": True}, "additional_special_tokens": []}
    (folder / "special_tokens_map.json").write_text(json.dumps(roles), encoding="utf-8")


def _adapter(folder: Path) -> None:
    """LoRA's, of a base that is elsewhere."""
    checkpoint(folder, "bert")
    said = {"peft_type": "LORA", "task_type": "SEQ_CLS", "base_model_name_or_path": "owner/model", "r": 8}
    (folder / "adapter_config.json").write_text(json.dumps(said), encoding="utf-8")


def _without_fast(folder: Path, name: str) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}), encoding="utf-8")


def _pickle(folder: Path) -> None:
    checkpoint(folder, "bert")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _state_dict(folder: Path) -> None:
    _pickle(folder)
    (folder / "pytorch_model.bin").rename(folder / "model.pt")


def _with_base(folder: Path) -> None:
    """Its shape is another folder's config.json."""
    _state_dict(folder)
    (folder / "base").mkdir()
    shutil.copy(folder / "config.json", folder / "base")


def _sparse(folder: Path) -> None:
    written(folder, "AutoModelForMaskedLM")


def _shards(folder: Path) -> None:
    checkpoint(folder, "bert")
    weights = load_file(folder / "model.safetensors")
    halves = [dict(list(weights.items())[start::2]) for start in (0, 1)]
    for number, half in enumerate(halves):
        save_file(half, folder / f"model-{number}.safetensors", metadata={"format": "pt"})
    index = {name: f"model-{number}.safetensors" for number, half in enumerate(halves) for name in half}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    (folder / "model.safetensors").unlink()


def _sentence(folder: Path) -> None:
    dense = {
        "in_features": 32,
        "out_features": 16,
        "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }
    bi_encoder(folder, ("Pooling", {"pooling_mode": "mean"}), ("Dense", dense))
    weights = load_file(folder / "2_Dense" / "model.safetensors")
    torch.save(weights, folder / "2_Dense" / "pytorch_model.bin")
    (folder / "2_Dense" / "model.safetensors").unlink()


def _export(folder: Path) -> None:
    checkpoint(folder.with_name("source"), "bert", "AutoModelForSequenceClassification", num_hidden_layers=1)
    onnx_from_checkpoint(checkpoint_from_folder(folder.with_name("source")), folder)


def _models(folder: Path) -> None:
    _export(folder.with_name("exported"))
    request = Request("m", folder.with_name("exported"), vendor=False, graph="both")
    scaffold(request, folder, comparing=False)
    (folder.parent / "target").mkdir()


def _in_sequence(folder: Path) -> None:
    """An export whose tokenizer has sequences of what it does before its model."""
    _export(folder)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["normalizer"] = {"type": "Sequence", "normalizers": [content["normalizer"], {"type": "NFC"}]}
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [content["pre_tokenizer"], {"type": "Whitespace"}]}
    file.write_text(json.dumps(content), encoding="utf-8")


def _apart(folder: Path) -> None:
    """Models whose weights lie in a file of their own."""
    _models(folder)
    file = folder / "m_onnx" / "1" / "model.onnx"
    onnx.save(onnx.load(file), file, save_as_external_data=True, location="model.onnx.data", size_threshold=0)


def _billed(folder: Path) -> None:
    """Models of which one brings a package, with the bill of what is linked into it."""
    _models(folder)
    vendor = folder / "m_tokenizer" / "1" / "vendor"
    (vendor / "tokenizers").mkdir(parents=True)
    (vendor / "NOTICE").write_text("tokenizers 1.0\n", encoding="utf-8")
    hashes, licences = [{"alg": "SHA-256", "content": "00" * 32}], [{"license": {"id": "MIT"}}]
    row = {"type": "library", "name": "regex", "version": "1.0", "purl": "pkg:cargo/regex@1.0", "bom-ref": "a"}
    bill = {"components": [row | {"hashes": hashes, "licenses": licences}, row | {"bom-ref": "b"}]}
    (vendor / "tokenizers.cyclonedx.json").write_text(json.dumps(bill), encoding="utf-8")


def _warmed(folder: Path) -> None:
    """Models with data to warm them up, and a file of labels."""
    _models(folder)
    file = folder / "m_onnx" / "config.pbtxt"
    config = config_from_file(file)
    config.output[0].label_filename = "labels.txt"
    (folder / "m_onnx" / "labels.txt").write_text("a\nb\nc\n", encoding="utf-8")
    (folder / "m_onnx" / "warmup").mkdir()
    warm = config.model_warmup.add(name="w", batch_size=1)
    for tensor in config.input:
        warm.inputs[tensor.name].data_type, warm.inputs[tensor.name].input_data_file = tensor.data_type, tensor.name
        warm.inputs[tensor.name].dims.extend([4])
        (folder / "m_onnx" / "warmup" / tensor.name).write_bytes(bytes(32))
    file.write_text(text_from_config(config), encoding="utf-8")


def _deployed(folder: Path) -> None:
    """Models, and in `target` what a deployment made of them."""
    _models(folder / "models")
    done = CliRunner().invoke(main, ["deploy", "copy", f"{folder}/models", f"{folder}/target", "--no-server"])
    assert not done.exit_code, done.output


def _interrupted(folder: Path) -> None:
    """A repository, and beside it what a killed run was about to put into it."""
    staging = folder / ".models.tbgen-killed"
    for place in (folder / "models" / "a", staging / "a"):
        place.mkdir(parents=True)
    (staging / ".tbgen-owner").touch()
    said = {"models": ["a"], "inodes": [(staging / "a").stat().st_ino], "stood": ["a"], "back": False}
    (staging / ".tbgen-journal").write_text(json.dumps(said), encoding="utf-8")


def _by_hand(folder: Path) -> None:
    """A Python model of somebody's own, which tells Triton its tensors."""
    (folder / "own" / "1").mkdir(parents=True)
    (folder / "own" / "config.pbtxt").write_text('backend: "python"', encoding="utf-8")
    (folder / "own" / "1" / "model.py").write_text(_OWN_MODEL, encoding="utf-8")


_OWN_MODEL = """
import json
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.set_max_batch_size(8)
        config.add_input({"name": "text", "data_type": "TYPE_STRING", "dims": [1]})
        config.add_output({"name": "size", "data_type": "TYPE_INT32", "dims": [1]})
        return config

    def initialize(self, args):
        self.config = json.loads(args["model_config"])

    def execute(self, requests):
        answers = []
        for request in requests:
            text = pb_utils.get_input_tensor_by_name(request, "text").as_numpy()
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("size", text.astype("int32"))]))
        return answers
"""


def _keys(folder: Path) -> None:
    folder.mkdir()
    (folder / "keys").write_text("first-key\nsecond-key\n", encoding="utf-8")


def _recipe_file(folder: Path) -> None:
    _export(folder)
    lines = ('name = "m"', 'source = "."', 'labels = ["a", "b", "c"]', 'engines = ["onnx"]', 'graph = "both"')
    more = ("vendor = false", "[weights]", '"model.safetensors" = "00"')
    (folder / "tbgen.toml").write_text("\n".join([*lines, *more]), encoding="utf-8")


def _text_files(folder: Path) -> None:
    folder.mkdir()
    (folder / "texts.jsonl").write_text('{"text": "좋다", "other": [1, {"a": null}]}', encoding="utf-8")
    (folder / "texts.csv").write_text('text,label\n좋다,1\n"a ""quoted""\n text",2\n', encoding="utf-8")


def _own_steps(folder: Path) -> None:
    folder.mkdir()
    new_step("own", "pre", folder)


_MAKERS: dict[str, Callable[[Path], object]] = {
    **{family: partial(checkpoint, family=family) for family in ("roberta", "albert", "deberta-v2", "modernbert")},
    "bert": _bert,
    "slow": _slow,
    "merges": _merges,
    "pieces": _pieces,
    "pieces of albert": partial(_pieces, family="albert", file="spiece.model"),
    "added": _added,
    "adapter": _adapter,
    "base": _with_base,
    "sparse": _sparse,
    "warmed": _warmed,
    "deployed": _deployed,
    "interrupted": _interrupted,
    "by hand": _by_hand,
    "plan": lambda folder: plan(folder / "m"),
    "keys": _keys,
    "sentence": _sentence,
    "shards": _shards,
    "pickle": _pickle,
    "state": _state_dict,
    "export": _export,
    "models": _models,
    "in sequence": _in_sequence,
    "apart": _apart,
    "billed": _billed,
    "recipe": _recipe_file,
    "texts": _text_files,
    "steps": _own_steps,
}
