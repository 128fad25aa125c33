"""Hidden states to one vector for each text."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from .numerics import NUMPY, at_length_one, json_column


class Embedding:
    """Pools the hidden states of each text's tokens, by the rules of sentence-transformers.

    Args:
        folder: the version folder; nothing is read from it.
        size: width of the hidden states.
        pooling: cls (the first token), mean, max, lasttoken, mean_sqrt_len_tokens or weightedmean of the text's tokens,
            or several of these, whose vectors are joined; none where the engine pools.
        normalize: scale each vector to length 1.
        dims: keep only the first so many numbers, before scaling (Matryoshka models).
        truncate_dim: keep only the first so many numbers of what comes out, which then has another length than 1.
        output_type: TYPE_FP32 or TYPE_FP16.
        data_type: of attention_mask.
        with_json: give json too, always (true) or to requests that ask for it (false); none where another step follows.
        skip_prompt: leave the tokens of the prompt out of the pooling; the step then takes prompt_length.
    """

    def __init__(
        self,
        folder: Path,  # noqa: ARG002
        *,
        size: int,
        pooling: str | Sequence[str] = "mean",
        normalize: bool = True,
        dims: int | None = None,
        truncate_dim: int | None = None,
        output_type: str = "TYPE_FP32",
        data_type: str = "TYPE_INT64",
        with_json: bool | None = None,
        skip_prompt: bool = False,
    ) -> None:
        modes = [pooling] if isinstance(pooling, str) else list(pooling)
        self.pools = [] if modes == ["none"] else [POOLINGS[mode] for mode in modes]
        self.normalize = normalize
        self.dims = dims or size * max(1, len(self.pools))
        self.truncate_dim = min(truncate_dim or self.dims, self.dims)
        self.dtype = NUMPY[output_type]
        self.inputs: dict[str, tuple[str, list[int]]] = {"outputs": ("TYPE_FP32", [size])}
        if self.pools:
            self.inputs = {"outputs": ("TYPE_FP32", [-1, size]), "attention_mask": (data_type, [-1])}
        if skip_prompt:
            self.inputs |= {"prompt_length": ("TYPE_INT32", [1])}
        self.outputs = {"embedding": (output_type, [self.truncate_dim])}
        self.with_json = with_json
        self.parameters: dict[str, dict[str, str]] = {}
        self.on_request: tuple[str, ...] = ()
        if with_json is not None:
            self.outputs |= {"json": ("TYPE_STRING", [1])}
            self.parameters = {"json": {"type": "boolean"}}
            self.on_request = () if with_json else ("json",)

    def __call__(
        self,
        outputs: np.ndarray,
        attention_mask: np.ndarray | None = None,
        prompt_length: np.ndarray | None = None,
        **asked: bool,
    ) -> dict[str, np.ndarray]:
        """outputs: (batch, length or more, size) hidden states, or (batch, size); prompt_length (batch, 1): tokens.

        Gives embedding (batch, dims); and json, a list of its numbers, if asked for.
        """
        vectors = outputs if attention_mask is None else self.pooled(outputs, attention_mask, prompt_length)
        vectors = vectors[:, : self.dims]
        if self.normalize:
            vectors = at_length_one(vectors)
        answer: dict[str, np.ndarray] = {"embedding": vectors[:, : self.truncate_dim].astype(self.dtype)}
        if self.with_json or asked.get("json"):
            answer["json"] = json_column(answer["embedding"].tolist())
        return answer

    def pooled(self, outputs: np.ndarray, mask: np.ndarray, prompt_length: np.ndarray | None) -> np.ndarray:
        """(batch, size x modes), of the tokens that the mask has and the prompt has not."""
        if prompt_length is not None:
            mask = mask * (np.arange(mask.shape[1]) >= prompt_length)
        states = outputs[:, : mask.shape[1]]
        return np.concatenate([pool(states, mask) for pool in self.pools], axis=1)


def first(states: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The state of each text's first token."""
    return states[np.arange(len(states)), mask.argmax(axis=1)]


def mean(states: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean over each text's tokens, by their weights."""
    return total(states, weights) / np.maximum(weights.sum(axis=1, keepdims=True, dtype=states.dtype), 1e-9)


def mean_root(states: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The sum over each text's tokens by the root of their number."""
    count = np.maximum(mask.sum(axis=1, keepdims=True, dtype=states.dtype), 1e-9)
    return np.asarray(total(states, mask) / np.sqrt(count))


def weighted_mean(states: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mean over each text's tokens, each weighing as much as its place: 1, 2, 3 and so on."""
    return mean(states, mask * np.arange(1, mask.shape[1] + 1))


def total(states: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The sum over each text's tokens, by their weights."""
    return np.asarray(np.einsum("nlh,nl->nh", states, weights.astype(states.dtype)))


def largest(states: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The largest number of each column over each text's tokens."""
    return np.asarray(np.where(mask[:, :, None] == 1, states, -np.inf).max(axis=1))


def last(states: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The state of each text's last token; zeros where it has none."""
    places = mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)
    return states[np.arange(len(states)), places] * mask.any(axis=1, keepdims=True)


POOLINGS: dict[str, Callable[..., np.ndarray]] = {
    "cls": first,
    "mean": mean,
    "max": largest,
    "lasttoken": last,
    "mean_sqrt_len_tokens": mean_root,
    "weightedmean": weighted_mean,
}
