"""Train a KcBERT-shaped classifier on a CSV of Korean sentences, and save it in both forms that tbgen reads."""

from __future__ import annotations

import os
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import transformers
from checkpoints import SHAPES, Base, base_named, classifier, save, tokenizer_for
from fitting import Recipe, confusion_of, fit, recipe_for
from labelled_text import Corpus, corpus_from_csv
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

CORPUS = Path(__file__).resolve().parent.parent / "generator" / "samples" / "korean_finance.csv"
DATA_HELP = (
    "CSV with the columns labels and kor_sentence; a column split (train, test) is heeded. Default: the sample's."
)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command(help=__doc__)
@click.option("--data", type=FILE, default=CORPUS, help=DATA_HELP)
@click.option("--base", default="sample", show_default=True, help=f"A folder, a hub id, or one of {', '.join(SHAPES)}.")
@click.option("-o", "--output", type=FOLDER, default=Path("kcbert-finance"), show_default=True, help="Folder to write.")
@click.option("--overwrite", is_flag=True, help="Replace the output folder.")
@click.option("--epochs", type=click.IntRange(min=1), help="Default: 4 with trained weights, 25 without.")
@click.option("--seed", default=0, show_default=True, help="The same seed gives the same weights on the same machine.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads.")
def main(data: Path, base: str, output: Path, overwrite: bool, epochs: int | None, seed: int, threads: int) -> None:
    """Read, train, report, save."""
    if output.exists() and not overwrite:
        raise click.ClickException(f"{str(output)!r} exists; name another folder, or allow it with --overwrite")
    console = Console()
    settle(seed, threads)
    corpus = corpus_from_csv(data, seed)
    console.print(sizes_of(corpus))
    start = base_named(base)
    console.print(f"{base}: {start.note}")
    recipe = recipe_for(start.weights is not None, start.config.hidden_size, epochs)
    model, tokenizer = trained(start, corpus, recipe, seed, console)
    confusion = confusion_of(model, tokenizer, corpus.held_out)
    console.print(confusion_table(confusion, corpus.labels))
    record = {"base": base, "seed": seed, "recipe": asdict(recipe), "train": len(corpus.train)} | result_of(confusion)
    console.print(f"accuracy on the held-out sentences: {record['accuracy']:.4f}")
    save(model, tokenizer, record, output)
    console.print(f"wrote {output / 'checkpoint'}, and {output / 'tokenizer_model'} with {output / 'model.pt'}")


def settle(seed: int, threads: int) -> None:
    """Make the run repeatable, and transformers quiet."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic matrix products need on a GPU
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def sizes_of(corpus: Corpus) -> str:
    """The sizes of both parts, and how many near-copies make the held-out part look easier than it is."""
    parts = f"{len(corpus.train)} sentences to train on, {len(corpus.held_out)} held out"
    return f"{parts} ({corpus.near_copies()} of them near-copies of one to train on)"


def trained(start: Base, corpus: Corpus, recipe: Recipe, seed: int, console: Console) -> tuple[Any, Any]:
    """The model and the tokenizer that training leaves."""
    tokenizer = tokenizer_for(start, [sentence.text for sentence in corpus.train])
    model = classifier(start, tokenizer, corpus.labels).to("cuda" if torch.cuda.is_available() else "cpu")
    with Progress(console=console) as progress:
        task = progress.add_task("training", total=recipe.epochs)
        mean = fit(model, tokenizer, corpus, recipe, random.Random(seed), lambda: progress.advance(task))
    return mean.cpu(), tokenizer


def result_of(confusion: np.ndarray) -> dict[str, Any]:
    """What the record says of the held-out part."""
    held_out = int(confusion.sum())
    return {
        "held_out": held_out,
        "accuracy": round(float(confusion.trace()) / held_out, 4),
        "confusion": confusion.tolist(),
    }


def confusion_table(confusion: np.ndarray, labels: tuple[str, ...]) -> Table:
    """A row for each label, a column for each answer."""
    table = Table("label", *(f"answered {label}" for label in labels), title="held-out sentences", title_justify="left")
    for label, row in zip(labels, confusion.tolist(), strict=True):
        table.add_row(label, *map(str, row))
    return table


if __name__ == "__main__":
    main()
