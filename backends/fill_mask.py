"""Vocabulary logits at the masks of a text to the tokens that fit there best."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer as TokenizerFile

from .numerics import EMPTY, check_token_ids, json_column, softmax

Tensors = dict[str, np.ndarray]
Specs = dict[str, tuple[str, list[int]]]
COLUMNS: Specs = {
    "tokens": ("TYPE_STRING", [-1, -1]),
    "token_ids": ("TYPE_INT32", [-1, -1]),
    "token_scores": ("TYPE_FP32", [-1, -1]),
    "filled_text": ("TYPE_STRING", [-1, -1]),
}

# What transformers' clean_up_tokenization replaces, in its order.
ENDS = ("n't", "'m", "'s", "'ve", "'re")
SPACED = (*((f" {mark}", mark) for mark in ".?!,"), (" ' ", "'"), *((f" {end}", end) for end in ENDS))
MOST_TOKENS = (
    32_768  # named in a call: each is a text of its own, and a few hundred masks would be hundreds of megabytes
)


class FillMask:
    """Names the best tokens for each mask of each text, and the text with each in its place.

    Args:
        folder: the version folder, with tokenizer.json.
        mask_id: id of the mask token.
        pad_id: id that fills input_ids behind a text.
        size: how many tokens the vocabulary has.
        clean_up: take the spaces before punctuation out of texts made of tokens, as clean_up_tokenization_spaces asks.
        top_k: how many tokens to name unless a request says otherwise.
        data_type: of input_ids.
        extras: outputs to give always, which else a request must ask for: json.
    """

    def __init__(
        self,
        folder: Path,
        *,
        mask_id: int,
        pad_id: int,
        size: int,
        top_k: int = 5,
        data_type: str = "TYPE_INT64",
        clean_up: bool = False,
        extras: Sequence[str] = (),
    ) -> None:
        self.tokenizer = TokenizerFile.from_file(str(folder / "tokenizer.json"))
        self.mask_id, self.pad_id, self.top_k, self.clean_up = mask_id, pad_id, top_k, clean_up
        mask, cut = str(self.tokenizer.id_to_token(mask_id)), self.tokenizer.truncation or {}
        self.example = {"input_text": with_mask("{}", mask, cut.get("direction", "right"))}
        self.inputs = {"outputs": ("TYPE_FP32", [-1, size]), "input_ids": (data_type, [-1])}
        self.outputs: Specs = {"mask_count": ("TYPE_INT32", [1])} | COLUMNS
        self.outputs |= {"json": ("TYPE_STRING", [1])}
        self.with_json = "json" in extras
        self.on_request = () if self.with_json else ("json",)
        self.parameters = {
            "top_k": {"type": "integer", "minimum": 1, "maximum": min(size, 1000)},
            "targets": {"type": "string"},
            "json": {"type": "boolean"},
        }

    def __call__(
        self,
        outputs: np.ndarray,
        input_ids: np.ndarray,
        *,
        top_k: int | None = None,
        targets: str | None = None,
        **asked: bool,
    ) -> Tensors:
        """outputs: (batch, length or more, vocabulary) logits. Gives mask_count (batch, 1) and tokens, token_ids,
        token_scores, filled_text, each (batch, most masks of any text, k), best first. `targets`: tokens to choose
        from, parted by spaces. Raises ValueError for a text without a mask, and for targets that the vocabulary lacks.
        """
        check_token_ids(input_ids)
        width = min(outputs.shape[1], input_ids.shape[1])
        at_mask = input_ids[:, :width] == self.mask_id
        counts = at_mask.sum(axis=1)
        if not counts.all():
            mask = self.tokenizer.id_to_token(self.mask_id)
            raise ValueError(f"input_text of item {int(counts.argmin())} has no {mask} in the tokens that are read")
        scores = softmax(outputs[:, :width][at_mask])
        ids = best_ids(scores, top_k or self.top_k, self.target_ids(targets))
        if ids.size > MOST_TOKENS:
            raise ValueError(
                f"input_text: {len(ids)} masks with {ids.shape[1]} tokens for each; at most {MOST_TOKENS} are named"
            )
        rows, positions = np.nonzero(at_mask)
        slots = np.arange(len(rows)) - (counts.cumsum() - counts)[rows]
        found = {
            "tokens": np.array([self.decoded([[i] for i in row], False) for row in ids.tolist()], object),
            "token_ids": ids,
            "token_scores": np.take_along_axis(scores, ids, axis=1),
            "filled_text": np.array(
                [
                    self.filled(input_ids[row], position, best, counts[row] == 1)
                    for row, position, best in zip(rows, positions, ids, strict=True)
                ],
                dtype=object,
            ),
        }
        answer = {"mask_count": counts[:, None].astype(np.int32)}
        for name, (data_type, _) in COLUMNS.items():
            answer[name] = np.full((len(counts), counts.max(), ids.shape[1]), *EMPTY[data_type])
            answer[name][rows, slots] = found[name]
        if self.with_json or asked.get("json"):
            answer["json"] = json_from_answer(answer)
        return answer

    def target_ids(self, targets: str | None) -> np.ndarray | None:
        """The ids of the tokens that may be chosen; None for all. Raises ValueError."""
        if targets is None:
            return None
        ids = {token: self.tokenizer.token_to_id(token) for token in targets.split()}
        missing = [token for token, token_id in ids.items() if token_id is None]
        if missing or not ids:
            raise ValueError(f"parameter targets: not in the vocabulary: {', '.join(missing) or 'nothing is named'}")
        return np.unique([token_id for token_id in ids.values() if token_id is not None])

    def filled(self, ids: np.ndarray, position: int, choices: np.ndarray, single: bool) -> list[str]:
        """The text with each choice in the mask's place; special tokens stay where other masks do."""
        texts = []
        for choice in choices:
            ids = ids.copy()
            ids[position] = choice
            texts.append(ids[ids != self.pad_id].tolist())
        return self.decoded(texts, single)

    def decoded(self, rows: list[list[int]], skip_special: bool) -> list[str]:
        """The texts that rows of ids stand for."""
        texts = self.tokenizer.decode_batch(rows, skip_special_tokens=skip_special)
        for spaced, text in SPACED if self.clean_up else ():
            texts = [each.replace(spaced, text) for each in texts]
        return list(texts)

    def trim(self, answer: Tensors) -> Tensors:
        """One request's tokens, for as many masks as its own texts have."""
        most = int(answer["mask_count"].max(initial=0))
        return {name: answer[name][:, :most] for name in COLUMNS}


def with_mask(text: str, mask: str, side: str) -> str:
    """A text with a mask at the end that is read however long it is; side: where long texts are cut, left or right."""
    return f"{text} {mask}" if side.lower() == "left" else f"{mask} {text}"


def best_ids(scores: np.ndarray, count: int, allowed: np.ndarray | None) -> np.ndarray:
    """(masks, count) ids of the highest scores, best first, among the allowed ones."""
    allowed = np.arange(scores.shape[1]) if allowed is None else allowed
    chosen = scores[:, allowed]
    count = min(count, len(allowed))
    part = np.argpartition(-chosen, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(chosen, part, axis=1), axis=1, kind="stable")
    return np.asarray(allowed[np.take_along_axis(part, order, axis=1)])


def json_from_answer(answer: Tensors) -> np.ndarray:
    """(batch, 1) JSON: for each mask a list of {token, id, score, text}, best first."""
    texts = []
    for row, count in enumerate(answer["mask_count"][:, 0]):
        columns = [answer[name][row, :count].tolist() for name in COLUMNS]
        masks = [zip(*mask, strict=True) for mask in zip(*columns, strict=True)]
        listed = [
            [dict(zip(("token", "id", "score", "text"), choice, strict=True)) for choice in mask] for mask in masks
        ]
        texts.append(listed)
    return json_column(texts)
