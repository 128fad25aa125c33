"""Every reader of a file from outside: the files that are damaged, how, and what reads them."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import onnx
from click.testing import CliRunner
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tbgen.cli.main import main
from tbgen.cli.options import FILE_THERE
from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.checkpoint.pytorch import model_from_checkpoint
from tbgen.export.errors import NoSuchName
from tbgen.export.ready.companions import companions_from_folder
from tbgen.export.ready.onnx_file import export_from_onnx
from tbgen.export.sources import Source
from tbgen.generator.client_code import LANGUAGES
from tbgen.generator.publishing import finish_interrupted
from tbgen.generator.recipe import recipe_from_file
from tbgen.generator.resolve import resolve
from tbgen.generator.scaffold import Request, scaffold
from tbgen.generator.texts import TextFile
from tbgen.generator.update import requests_from_records
from tbgen.server.gateway.serving import keys_from_file
from tbgen.server.verify.verify import scaffold_named
from tests.faults import damage

Damage = Callable[[bytes, random.Random], bytes]
Read = Callable[[Path], object]


@dataclass(frozen=True)
class Reader:
    """A reader: the files that are damaged, below a folder of `make`'s, how, and what reads them."""

    make: str
    files: tuple[str, ...]
    damage: Damage
    read: Read


def command(*words: str) -> Read:
    """A command of tbgen's, its words with {} for the folder."""

    def read(folder: Path) -> None:
        done = CliRunner().invoke(main, [word.replace("{}", str(folder)) for word in words])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        if done.exit_code:
            lines = [line for line in done.output.splitlines() if line.strip()]
            raise click.ClickException(lines[-1] if lines else "no sentence")

    return read


def _load(folder: Path) -> None:
    model_from_checkpoint(checkpoint_from_folder(folder))


def _companions(folder: Path) -> None:
    companions_from_folder(folder)
    _load(folder)


def _state(folder: Path) -> None:
    model_from_checkpoint(Source(str(folder / "model.pt"), tokenizer=folder).checkpoint())


def _ready(folder: Path) -> None:
    shutil.rmtree(folder / "taken", ignore_errors=True)
    export_from_onnx(folder / "model.onnx", folder, folder / "taken")


def _ready_apart(folder: Path) -> None:
    shutil.rmtree(folder / "taken", ignore_errors=True)
    export_from_onnx(folder / "m_onnx" / "1" / "model.onnx", folder.with_name("exported"), folder / "taken")


def _ready_converted(folder: Path) -> None:
    shutil.rmtree(folder / "taken", ignore_errors=True)
    export_from_onnx(folder / "model.onnx", folder, folder / "taken", precision="fp16", optimize=True)


def _based(folder: Path) -> None:
    source = Source(str(folder / "model.pt"), tokenizer=folder, base=str(folder / "base"))
    model_from_checkpoint(source.checkpoint())


def _api_keys(folder: Path) -> None:
    keys_from_file(FILE_THERE.convert(folder / "keys", None, None))


def _finish(folder: Path) -> None:
    """What a killed run left, which is away afterwards."""
    with TemporaryDirectory() as own:
        whole = Path(shutil.copytree(folder, Path(own) / "copy", symlinks=True, copy_function=os.link))
        finish_interrupted(whole / "models")


def _scaffold(folder: Path) -> None:
    shutil.rmtree(folder / "models", ignore_errors=True)
    scaffold(Request("m", folder, vendor=False, graph="both"), folder / "models", comparing=False)


def _records(folder: Path) -> None:
    for name in ("m", "m_onnx", "m_tokenizer"):
        requests_from_records(folder, name, None)
        with suppress(NoSuchName):  # it has the engines alone
            scaffold_named(name, folder)


def _recipe(folder: Path) -> None:
    for request in recipe_from_file(folder / "tbgen.toml").requests:
        resolve(request)


def _texts(name: str, folder: Path) -> None:
    list(TextFile(folder / name).texts())


def _each(*reads: Read) -> Read:
    """One after the other, whatever each refuses."""

    def read(folder: Path) -> None:
        refused: list[click.ClickException] = []
        for one in reads:
            try:
                one(folder)
            except click.ClickException as error:
                refused.append(error)
        if refused:
            raise refused[0]

    return read


def _config_damage(content: bytes, chance: random.Random) -> bytes:
    """A config.pbtxt with other fields, lines or bytes."""
    if chance.random() < 0.4:
        return damage.text_damage(content, chance)
    config = text_format.Parse(content.decode("utf-8"), ModelConfig())
    damage.message_damage(config, chance)
    return text_format.MessageToString(config).encode("utf-8", "surrogatepass")


def _onnx_damage(content: bytes, chance: random.Random) -> bytes:
    """An ONNX file with other fields or bytes."""
    if chance.random() < 0.4:
        return damage.byte_damage(content, chance)
    model = onnx.ModelProto.FromString(content)
    damage.message_damage(model.graph if chance.random() < 0.7 else model, chance)
    return model.SerializeToString()


_CHECK = command("check", "{}", "--weights")
_RUN = _each(*(command("run", f"m_onnx_{graph}", "좋다", "-r", "{}") for graph in ("bls", "ensemble")))
_MODELS = _each(
    _CHECK,
    _RUN,
    command("client", "m_onnx_bls", "--lang", "curl", "-r", "{}"),
    command("deploy", "copy", "{}", "{}/../target", "--no-server", "--dry-run"),
    _records,
)
_KINDS = ("image", "compose", "kubernetes", "kserve", "helm")
_WITH_IMAGE = ("compose", "kubernetes", "kserve", "helm")
_OTHERS = _each(
    command("show", "m_onnx_bls", "-r", "{}", "--svg", "{}/../drawn.svg"),
    command("show", "m_onnx_ensemble", "-r", "{}", "--json"),
    command("sbom", "{}", "-o", "{}/../bill.json"),
    command("deploy", "haproxy", "{}", "-o", "{}/../haproxy", "--server", "triton"),
    *(
        command(
            *("deploy", kind, "{}", "-o", f"{{}}/../{kind}", "--force"),
            *(["--image", "ghcr.io/you/m:1"] if kind in _WITH_IMAGE else []),
        )
        for kind in _KINDS
    ),
    *(command("client", "m_onnx_ensemble", "--lang", each, "-r", "{}") for each in LANGUAGES),
)

_CONFIGS = tuple(f"{name}/config.pbtxt" for name in ("m_onnx", "m_onnx_bls", "m_onnx_ensemble", "m_tokenizer"))
_RECORDS = ("m_onnx/tbgen.json", "m_onnx_bls/tbgen.json")
_LISTS = ("m_onnx_bls/1/steps.json", "m_tokenizer/1/steps.json")
READERS = {
    "config.json": Reader("bert", ("config.json",), damage.json_damage, _companions),
    "tokenizer files": Reader("bert", ("tokenizer.json", "tokenizer_config.json"), damage.json_damage, _load),
    "slow tokenizer files": Reader("slow", ("tokenizer_config.json", "vocab.txt"), damage.text_damage, _load),
    "merges": Reader("merges", ("vocab.json", "tokenizer_config.json"), damage.json_damage, _load),
    "merges.txt": Reader("merges", ("merges.txt",), damage.text_damage, _load),
    "pieces": Reader("pieces", ("sentencepiece.bpe.model",), damage.byte_damage, _load),
    **{
        f"config.json of {family}": Reader(family, ("config.json", "tokenizer.json"), damage.json_damage, _companions)
        for family in ("roberta", "albert", "deberta-v2", "modernbert")
    },
    "sentence-transformers": Reader(
        "sentence",
        (
            *("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"),
            *("1_Pooling/config.json", "2_Dense/config.json"),
        ),
        damage.json_damage,
        _load,
    ),
    "weights index": Reader("shards", ("model.safetensors.index.json",), damage.json_damage, _load),
    "safetensors": Reader("bert", ("model.safetensors",), damage.safetensors_damage, _load),
    "pickles": Reader("pickle", ("pytorch_model.bin",), damage.pickle_damage, _load),
    "pickle of a module": Reader("sentence", ("2_Dense/pytorch_model.bin",), damage.pickle_damage, _load),
    "state dict": Reader("state", ("model.pt",), damage.pickle_damage, _state),
    "ONNX": Reader("export", ("model.onnx",), _onnx_damage, _ready),
    "export.json": Reader("export", ("export.json",), damage.json_damage, _scaffold),
    "tokenizer.json of an export": Reader("in sequence", ("tokenizer.json",), damage.json_damage, _scaffold),
    **{
        f"{name}, {which} commands": Reader("models", files, how, read)
        for name, files, how in (
            ("config.pbtxt", _CONFIGS, _config_damage),
            ("tbgen.json", _RECORDS, damage.json_damage),
            ("steps.json", _LISTS, damage.json_damage),
        )
        for which, read in (("seven", _MODELS), ("other", _OTHERS))
    },
    "tbgen.json, diff": Reader("models", _RECORDS, damage.json_damage, command("diff", "m", "-r", "{}")),
    "weights apart": Reader("apart", ("m_onnx/1/model.onnx",), _onnx_damage, _each(_CHECK, _ready_apart)),
    "the bill of a package": Reader(
        "billed", ("m_tokenizer/1/vendor/tokenizers.cyclonedx.json",), damage.json_damage, command("sbom", "{}")
    ),
    "a model's files": Reader(
        "models", ("m_onnx/1/model.onnx", "m_tokenizer/1/tokenizer.json"), damage.byte_damage, _each(_CHECK, _RUN)
    ),
    "tokens beside a vocabulary": Reader(
        "added", ("added_tokens.json", "special_tokens_map.json"), damage.json_damage, _load
    ),
    "pieces of albert": Reader("pieces of albert", ("spiece.model",), damage.byte_damage, _load),
    "sparse sentence-transformers": Reader(
        "sparse",
        ("modules.json", "sentence_bert_config.json", "1_SpladePooling/config.json"),
        damage.json_damage,
        _load,
    ),
    "adapter": Reader("adapter", ("adapter_config.json",), damage.json_damage, _load),
    "config.json of a base": Reader("base", ("base/config.json",), damage.json_damage, _based),
    "ONNX that is converted": Reader("export", ("model.onnx",), _onnx_damage, _ready_converted),
    "data of a warm-up": Reader("warmed", ("m_onnx/warmup/input_ids", "m_onnx/labels.txt"), damage.byte_damage, _CHECK),
    "config.pbtxt with a warm-up": Reader("warmed", ("m_onnx/config.pbtxt",), _config_damage, _CHECK),
    "record of a plan": Reader("plan", ("m/tbgen.json",), damage.json_damage, _CHECK),
    "plan": Reader("plan", ("m/1/model.plan",), damage.byte_damage, _CHECK),
    "model.py by hand": Reader("by hand", ("own/1/model.py",), damage.text_damage, command("check", "{}")),
    "target of a deployment": Reader(
        "deployed",
        tuple(f"target/{name}" for name in ("m_onnx/config.pbtxt", "m_onnx/tbgen.json", "m_onnx_bls/1/steps.json")),
        damage.text_damage,
        command("deploy", "copy", "{}/models", "{}/target", "--no-server", "--dry-run"),
    ),
    "journal": Reader("interrupted", (".models.tbgen-killed/.tbgen-journal",), damage.json_damage, _finish),
    "keys of the gateway": Reader("keys", ("keys",), damage.text_damage, _api_keys),
    "recipe": Reader("recipe", ("tbgen.toml",), damage.text_damage, _recipe),
    "jsonl": Reader("texts", ("texts.jsonl",), damage.json_damage, partial(_texts, "texts.jsonl")),
    "csv": Reader("texts", ("texts.csv",), damage.byte_damage, partial(_texts, "texts.csv")),
    "steps of one's own": Reader("steps", ("own.py",), damage.text_damage, command("step", "test", "{}/own.py")),
}
