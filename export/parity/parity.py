"""Does an engine answer as PyTorch does? Logits, decisions and padding compared on real texts of unequal length."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tbgen.export.checkpoint.checkpoint import Checkpoint
from tbgen.export.errors import UserError, require
from tbgen.export.parity.agreement import GROUP, agreement, batch_size
from tbgen.export.parity.sentences import pair_of
from tbgen.export.precision.half import half_run
from tbgen.export.run import Run, Tensors, cuda_here, gpu_run, onnx_run
from tbgen.export.tasks.model_kind import ModelKind
from tbgen.export.tasks.table import graph_of_export, model_of
from tbgen.export.tokenizers.tokenizer import COLUMNS, TYPES, tokenizer_from_file

if TYPE_CHECKING:
    from tbgen.export.exported import Exported

_NEAR = {"fp32": 1e-4, "fp16": 0.01, "int8": 0.01}  # numbers of the reference as near as this may change places
_ORDINARY = (
    10.0  # logits up to here are held to a bound as it stands; FP32 has seven digits, for larger ones fewer decimals
)


@dataclass(frozen=True)
class Parity:
    """What a comparison found, in logits.

    `flips` of `decisions` came out differently: labels, answer borders, filled-in words.
    `padding_abs` is the engine against itself: the same text alone and beside a long one.
    `largest`: of the reference's logits, by which a bound is larger where they are large.
    `answers`: what is made of the logits, by its name (agreement.py): what was found, and the least it must be.
    """

    texts: int
    max_abs: float
    mean_abs: float
    decisions: int
    flips: int
    padding_abs: float
    answers: dict[str, tuple[float, float]] = field(default_factory=dict)
    largest: float = 0.0

    def bound(self, tolerance: float) -> float:
        """The most that a logit may differ: the tolerance of ordinary logits, and in proportion of larger ones."""
        return tolerance * scale_of(self.largest)

    @property
    def answers_hold(self) -> bool:
        """Whether all that is made of the logits is within its bound; NaN never is."""
        return all(found >= least for found, least in self.answers.values())

    def holds(self, tolerance: float, agreement: float) -> bool:
        """Whether all that was found is within the bounds; NaN never is."""
        most = self.bound(tolerance)
        close = self.max_abs <= most and self.padding_abs <= most
        return close and self.agreement >= agreement and self.answers_hold

    @property
    def agreement(self) -> float:
        """The share of equal decisions; 1 where the task decides nothing."""
        return 1.0 - self.flips / self.decisions if self.decisions else 1.0


def engine_parity(
    checkpoint: Checkpoint, exported: Exported, texts: Sequence[str], *, reference: Run | None = None
) -> Parity:
    """Compare an export's engine file with PyTorch on its checkpoint. Raises UserError, as `engine_run` does."""
    return parity(reference or torch_run(checkpoint), engine_run(exported), Encoder(exported), texts, exported)


def engine_run(exported: Exported) -> Run:
    """An export's ONNX file as a function, FP16 rounded as on a GPU; its twin where it needs one that is not here.

    Raises UserError.
    """
    if exported.made.for_gpus and cuda_here():
        return gpu_run(exported.model)
    return (half_run if exported.made.precision == "fp16" else onnx_run)(exported.model)


def parity(reference: Run, engine: Run, encode: Encoder, texts: Sequence[str], exported: Exported) -> Parity:
    """Compare two ways to the same outputs: in groups padded together, and the engine also text by text."""
    if not texts:
        raise UserError("no texts to compare on")
    row, problem = graph_of_export(exported), exported.problem
    differences, shifts, numbers, decisions = _Figures(), _Figures(), _Figures(), 0
    margins: list[np.ndarray] = []  # of the decisions that came out differently
    for group in groups(texts, batch_size(exported, 2)):  # two at least, so that there is padding
        inputs = encode(group)
        mask = inputs["attention_mask"].astype(bool)
        expected, answered = reference(inputs), engine(inputs)
        for name in row.outputs:
            want, have = _real_rows(expected[name], mask, row), _real_rows(answered[name], mask, row)
            for a, b in zip(want, have, strict=True):
                numbers.take(np.abs(a))
                differences.take(np.abs(a.astype(np.float64) - b))
                choices, again = decide(a, row, problem), decide(b, row, problem)
                decisions += choices.size
                margins.append(margins_of(a, again)[choices != again])
        for index, text in enumerate(group):
            shifts.take(_padding_difference(engine, encode([text]), answered, index, row))
    near = near_of(exported) * scale_of(numbers.largest)
    return Parity(
        texts=len(texts),
        max_abs=figure(differences.largest),
        mean_abs=figure(differences.total / differences.numbers),
        decisions=decisions,
        flips=int((~(np.concatenate(margins) <= near)).sum()),
        padding_abs=figure(shifts.largest),
        answers=agreement(reference, engine, encode, texts, exported),
        largest=figure(numbers.largest),
    )


@dataclass
class _Figures:
    """The largest of many differences, their sum and their number, none of them kept; NaN where there is one."""

    largest: float = 0.0
    total: float = 0.0
    numbers: int = 0

    def take(self, differences: np.ndarray) -> None:
        """The differences of one more text."""
        self.largest = float(np.maximum(self.largest, differences.max()))
        self.total += float(differences.sum())
        self.numbers += differences.size


def groups(texts: Sequence[str], size: int = GROUP) -> Iterator[Sequence[str]]:
    """The texts in groups, longest beside shortest, so that padding really happens."""
    order = sorted(texts, key=len)
    mixed = [order[i // 2] if i % 2 else order[-1 - i // 2] for i in range(len(order))]
    return (mixed[i : i + size] for i in range(0, len(mixed), size))


class Encoder:
    """Texts to the tensors of an engine: (texts, longest), or (texts, N) for one of fixed length N."""

    def __init__(self, exported: Exported) -> None:
        tokenizer = tokenizer_from_file(exported.tokenizer)
        side = (tokenizer.truncation or {}).get("direction", "right")
        tokenizer.enable_truncation(exported.fixed_length or exported.max_length, direction=side)
        tokenizer.encode_special_tokens = exported.reading.get("split_special_tokens", False)
        tokenizer.enable_padding(pad_id=exported.pad_id, length=exported.fixed_length)
        self.tokenizer = tokenizer
        self.typed = exported.reading.get("token_types", True)
        self.inputs = exported.inputs
        self.pair = graph_of_export(exported).pair

    def ids(self, text: str) -> list[int]:
        """The token ids of one text, or of its pair, without padding."""
        tensors = self([text])
        return [int(number) for number in tensors["input_ids"][0][tensors["attention_mask"][0].astype(bool)]]

    def item(self, text: str | tuple[str, str]) -> str | tuple[str, str]:
        """A text as it is read; for a task on pairs with its partner, unless a pair is given."""
        return pair_of(text) if self.pair and isinstance(text, str) else text

    def __call__(self, texts: Sequence[str | tuple[str, str]]) -> Tensors:
        """The tensors of a group of texts or pairs."""
        items = [self.item(text) for text in texts]
        encodings = self.tokenizer.encode_batch(items)
        tensors = {
            name: np.array([getattr(encoding, COLUMNS[name]) for encoding in encodings], dtype=spec.dtype)
            for name, spec in self.inputs.items()
        }
        return tensors if self.typed else {name: t * (name != TYPES) for name, t in tensors.items()}


def _real_rows(output: np.ndarray, mask: np.ndarray, row: ModelKind) -> list[np.ndarray]:
    """One array per text, without the numbers at padded tokens, which mean nothing. Raises UserError for other rows."""
    if len(output) != len(mask):
        raise UserError(f"the engine answers {len(mask)} texts with {len(output)} rows; export its file again")
    return [numbers[kept] if row.per_token else numbers for numbers, kept in zip(output, mask, strict=True)]


def decide(numbers: np.ndarray, row: ModelKind, problem: str) -> np.ndarray:
    """What a task makes of one text's numbers: the best class, the classes above zero, or nothing for hidden states and
    for a pair's one score, which counts beside those of other pairs.
    """
    if row.width == "hidden" or problem == "regression" or (row.pair and numbers.shape == (1,)):
        return np.empty(0)
    if row.width == "labels" and problem == "multi_label_classification":
        return numbers > 0
    return np.atleast_1d(numbers.argmax(-1))


def near_of(exported: Exported) -> float:
    """How near two numbers of the reference are that may change places, by the precision."""
    return _NEAR[exported.made.precision]


def margins_of(numbers: np.ndarray, choices: np.ndarray) -> np.ndarray:
    """By how much the reference's own logits of one text hold these choices worse than its own."""
    if choices.dtype == bool:  # each class is above 0 or not
        return np.abs(numbers)
    if not choices.size:
        return np.zeros(0)
    rows = numbers.reshape(len(choices), -1)
    return np.asarray(rows.max(axis=1) - rows[np.arange(len(rows)), choices])


def scale_of(largest: float) -> float:
    """What a bound is multiplied by where the largest number is so large: 1, or a tenth of it above 10."""
    return max(1.0, largest / _ORDINARY) if math.isfinite(largest) else 1.0


def _padding_difference(engine: Run, alone: Tensors, together: Tensors, index: int, row: ModelKind) -> np.ndarray:
    """How far the text at `index` of a group moves when it is asked alone."""
    outputs = engine(alone)
    kept = alone["attention_mask"][0].astype(bool)
    found = []
    for name in row.outputs:
        mine, theirs = outputs[name][0], together[name][index]
        found.append(np.abs(mine[kept] - theirs[: len(kept)][kept]) if row.per_token else np.abs(mine - theirs))
    return np.concatenate([difference.ravel() for difference in found])


def figure(value: float) -> float:
    """A measured number as it is recorded: three digits."""
    return float(f"{value:.3g}") if math.isfinite(value) else value


def torch_run(checkpoint: Checkpoint) -> Run:
    """PyTorch on the checkpoint itself, with transformers' own masks: nothing of the export is in it."""
    from tbgen.export.checkpoint.pytorch import model_from_checkpoint

    return model_run(model_from_checkpoint(checkpoint), checkpoint.task)


def model_run(model: Any, task: str) -> Run:
    """A loaded transformers model as a function of numpy arrays."""
    torch = require("torch", extra="onnx")
    fields = model_of(task).outputs

    def run(inputs: Tensors) -> Tensors:
        with torch.inference_mode():
            answer = model(**{name: torch.from_numpy(tensor.astype(np.int64)) for name, tensor in inputs.items()})
        return {name: answer[field].numpy() for name, field in fields.items()}

    return run
