"""Text tensors: UTF-8 bytes, as Triton has them, to str, as steps have them, and back."""

import numpy as np

# One numpy call instead of ravel, array and reshape, which for one text cost more than the coding.
DECODED = np.frompyfunc(bytes.decode, 1, 1)
SENTENCE = 4096  # characters that Triton is given of an error: what it is about may be as long as a client likes
ENCODED = np.frompyfunc(lambda value: str(value).encode("utf-8"), 1, 1)


def text_from_bytes(name: str, values: np.ndarray) -> np.ndarray:
    """Decode an array of UTF-8 bytes into an array of str of the same shape. Raises ValueError."""
    try:
        return np.asarray(DECODED(values))
    except UnicodeDecodeError as error:
        item = values.ravel().tolist().index(error.object) // max(1, values[0].size)
        raise ValueError(f"{name} is not valid UTF-8: {error.reason} at byte {error.start} of item {item}") from error


def bytes_from_text(values: np.ndarray) -> np.ndarray:
    """Encode an array of str into an array of UTF-8 bytes of the same shape. Raises TypeError for what is no text."""
    try:
        return np.asarray(ENCODED(values if values.dtype == object else values.astype(str)))
    except UnicodeEncodeError as error:  # a ValueError, which would lay a step's bug at the client's door
        raise TypeError(f"a step gave {error.object!r}, which is no text: {error.reason}") from error


def printable(text: str) -> str:
    """What Triton can send of a sentence: UTF-8, and not too long; a client's half of a surrogate pair is escaped."""
    return text[:SENTENCE].encode("utf-8", "backslashreplace").decode("utf-8")
