"""Small real parts that the tests share: tokenizers, texts, the sample checkpoint."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tbgen.cli import show
from tbgen.export.checkpoint.checkpoint import checkpoint_from_folder
from tbgen.export.onnx.export import onnx_from_checkpoint
from tbgen.generator.corpus import corpus_sentences
from tbgen.generator.presets import SAMPLES
from tbgen.generator.scaffold import Request, scaffold
from tests.once import made_once


def pytest_configure() -> None:
    """Let commands that tests start hear Ctrl-C, which those of a background job do not; and say nothing late."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    show.PATIENCE = 3600.0  # a command is no other because the machine is slow


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run first the folder whose files take longest, and last those that are soon done: then no process ends alone."""
    items.sort(key=lambda item: ("triton" not in item.path.parts, "generator" in item.path.parts))


@pytest.fixture(scope="session")
def word_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer.json that splits on spaces: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, then a..z 4..29."""
    vocab = {
        token: index for index, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz"])
    }
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    folder = tmp_path_factory.mktemp("word_tokenizer")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def held_out() -> list[str]:
    """The sentences of the bundled corpus that the sample checkpoint was not trained on."""
    return corpus_sentences("test")


@pytest.fixture(scope="session")
def sample_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample checkpoint exported to ONNX in the padded layout; without torch its tests are skipped."""
    pytest.importorskip("torch")
    return made_once(
        tmp_path_factory,
        "sample_export",
        lambda folder: onnx_from_checkpoint(checkpoint_from_folder(SAMPLES / "kcbert"), folder),
    )


@pytest.fixture(scope="session")
def packed_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample checkpoint exported to ONNX in the packed layout; without torch its tests are skipped."""
    pytest.importorskip("torch")
    return made_once(
        tmp_path_factory,
        "packed_export",
        lambda folder: onnx_from_checkpoint(checkpoint_from_folder(SAMPLES / "kcbert"), folder, layout="packed"),
    )


@pytest.fixture(scope="session")
def sample_repository(packed_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `tbgen scaffold kcbert` writes, the weights too."""
    return made_once(
        tmp_path_factory, "model_repository", lambda folder: scaffold(Request("kcbert", packed_export), folder)
    )
