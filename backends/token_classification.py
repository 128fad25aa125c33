"""Token logits to entities: words or spans of each text with their label, score and place."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer as TokenizerFile

from .meter import labels_counted
from .numerics import check_token_ids, columns_from_rows, counts_of, json_column, softmax

Tensors = dict[str, np.ndarray]
Specs = dict[str, tuple[str, list[int]]]
STRATEGIES = ("none", "simple", "first", "average", "max")
COLUMNS: Specs = {
    "entities_word": ("TYPE_STRING", [-1]),
    "entities_label": ("TYPE_STRING", [-1]),
    "entities_score": ("TYPE_FP32", [-1]),
    "entities_start": ("TYPE_INT32", [-1]),
    "entities_end": ("TYPE_INT32", [-1]),
}


@dataclass(frozen=True)
class Entity:
    """A token, a word or a span of a text: what it says, its class and score, and where it lies, in characters."""

    word: str
    label: str
    score: float
    start: int
    end: int


@dataclass(frozen=True)
class Token:
    """A token of a text: its string, its place, the probabilities of its classes, whether it continues a word."""

    word: str
    start: int
    end: int
    scores: np.ndarray
    continues: bool


class TokenClassification:
    """Finds the entities of each text, by the rules of transformers' pipeline.

    Args:
        folder: the version folder, with tokenizer.json.
        labels: names of the classes, in the order of the logits.
        aggregation: none, simple, first, average or max, unless a request says otherwise.
        ignore_labels: classes that are no entities.
        data_type: of input_ids.
        unk_id: id of the unknown token, whose word is what stands in the text.
        extras: outputs to give always, which else a request must ask for: json.
    """

    def __init__(
        self,
        folder: Path,
        *,
        labels: Sequence[str],
        aggregation: str = "simple",
        ignore_labels: Sequence[str] = ("O",),
        data_type: str = "TYPE_INT64",
        unk_id: int | None = None,
        extras: Sequence[str] = (),
    ) -> None:
        self.tokenizer = TokenizerFile.from_file(str(folder / "tokenizer.json"))
        self.prefix = getattr(self.tokenizer.model, "continuing_subword_prefix", None) or ""
        self.labels = list(labels)
        entities = [label.split("-", 1)[-1] for label in labels]
        counted = dict(zip(unique := list(dict.fromkeys(entities)), labels_counted(unique), strict=True))
        self.counted = {
            name: counted[each] for label, each in zip(labels, entities, strict=True) for name in (label, each)
        }
        self.counts = dict.fromkeys(counted.values(), 0)
        self.aggregation = aggregation
        self.ignored = set(ignore_labels)
        self.unk_id = unk_id
        self.inputs = {
            "outputs": ("TYPE_FP32", [-1, len(labels)]),
            "input_ids": (data_type, [-1]),
            "offsets": ("TYPE_INT32", [-1, 2]),
            "special_tokens_mask": ("TYPE_INT32", [-1]),
            "tokenized_text": ("TYPE_STRING", [1]),
        }
        self.outputs: Specs = {"entities_count": ("TYPE_INT32", [1])} | COLUMNS
        self.outputs |= {"json": ("TYPE_STRING", [1])}
        self.with_json = "json" in extras
        self.on_request = () if self.with_json else ("json",)
        self.parameters = {
            "aggregation": {"type": "string", "enum": list(STRATEGIES)},
            "json": {"type": "boolean"},
        }

    def __call__(
        self,
        outputs: np.ndarray,
        input_ids: np.ndarray,
        offsets: np.ndarray,
        special_tokens_mask: np.ndarray,
        tokenized_text: np.ndarray,
        *,
        aggregation: str | None = None,
        **asked: bool,
    ) -> Tensors:
        """outputs: (batch, length or more, classes) logits. Gives entities_count (batch, 1) and the other entities_*
        tensors, (batch, most of any text): each text's entities first, in the order of the text, "" and 0 behind them;
        json beside if asked for.
        """
        check_token_ids(input_ids)
        if not outputs.shape[1] >= input_ids.shape[1] == offsets.shape[1] == special_tokens_mask.shape[1]:
            raise ValueError("outputs, input_ids, offsets and special_tokens_mask are not of one length")
        rule = aggregation or self.aggregation
        scores = softmax(outputs)
        rows = []
        for row, text in enumerate(tokenized_text[:, 0].tolist()):
            real = np.flatnonzero(special_tokens_mask[row] == 0)
            tokens = self.tokens(text, input_ids[row, real].tolist(), offsets[row, real].tolist(), scores[row, real])
            rows.append([entity for entity in self.entities(tokens, rule) if entity.label not in self.ignored])
        for entity in itertools.chain.from_iterable(rows):
            self.counts[self.counted[entity.label]] += 1
        answer = {"entities_count": counts_of(rows)} | columns_from_rows(rows, COLUMNS, "entities_")
        if self.with_json or asked.get("json"):
            answer["json"] = json_column([vars(entity) for entity in row] for row in rows)
        return answer

    def tokens(self, text: str, ids: list[int], places: list[list[int]], scores: np.ndarray) -> list[Token]:
        """The tokens of a text, special ones left out."""
        tokens = []
        for token_id, (start, end), row in zip(ids, places, scores, strict=True):
            word = self.tokenizer.id_to_token(token_id) or ""
            if token_id == self.unk_id:
                tokens.append(Token(text[start:end], start, end, row, False))
            else:
                tokens.append(Token(word, start, end, row, self.continues(word, text, start)))
        return tokens

    def continues(self, word: str, text: str, start: int) -> bool:
        """Whether a token belongs to the word before it: by the vocabulary's mark, else because no space parts them."""
        if self.prefix:
            return word.startswith(self.prefix)
        return start > 0 and not any(character.isspace() for character in text[start - 1 : start + 1])

    def entities(self, tokens: Sequence[Token], rule: str) -> list[Entity]:
        """Tokens as they are (none), or joined into spans, word by word but for `simple`."""
        if rule in ("none", "simple"):
            single = [self.entity(token.word, [token], token.scores) for token in tokens]
            return single if rule == "none" else self.spans(single)
        words = [self.entity(self.text_of(word), word, SCORES[rule](word)) for word in words_of(tokens)]
        return self.spans(words)

    def entity(self, word: str, tokens: Sequence[Token], scores: np.ndarray) -> Entity:
        """The best class of a word with these scores."""
        best = int(scores.argmax())
        return Entity(word, self.labels[best], float(scores[best]), tokens[0].start, tokens[-1].end)

    def spans(self, entities: Sequence[Entity]) -> list[Entity]:
        """Neighbours of one class as one entity, unless a B- label begins a new one; its score is their mean."""
        groups: list[list[Entity]] = []
        for entity in entities:
            if groups and tag_of(entity.label) == tag_of(groups[-1][-1].label) and not entity.label.startswith("B-"):
                groups[-1].append(entity)
            else:
                groups.append([entity])
        return [
            Entity(
                self.decoded([entity.word for entity in group]),
                group[0].label.split("-", 1)[-1],
                sum(entity.score for entity in group) / len(group),
                group[0].start,
                group[-1].end,
            )
            for group in groups
        ]

    def text_of(self, tokens: Sequence[Token]) -> str:
        """The text that a word's tokens stand for."""
        return self.decoded([token.word for token in tokens])

    def decoded(self, tokens: list[str]) -> str:
        """The text that token strings stand for."""
        decoder = self.tokenizer.decoder
        return str(decoder.decode(tokens)) if decoder else " ".join(tokens)

    def trim(self, answer: Tensors) -> Tensors:
        """One request's entities, as wide as its own texts need."""
        width = int(answer["entities_count"].max(initial=0))
        return {name: answer[name][:, :width] for name in COLUMNS}


# How a word's scores follow from its tokens': those of the first, of the surest, or the mean.
SCORES = {
    "first": lambda tokens: tokens[0].scores,
    "max": lambda tokens: max(tokens, key=lambda token: token.scores.max()).scores,
    "average": lambda tokens: np.mean([token.scores for token in tokens], axis=0),
}


def words_of(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """The tokens of each word: one that begins it and those that continue it."""
    begun = itertools.accumulate(int(not token.continues) for token in tokens)
    for _, pairs in itertools.groupby(zip(begun, tokens, strict=False), key=lambda pair: pair[0]):
        yield [token for _, token in pairs]


def tag_of(label: str) -> str:
    """A label without its B- or I-."""
    return label[2:] if label.startswith(("B-", "I-")) else label
