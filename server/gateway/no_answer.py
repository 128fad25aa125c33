"""What a client is told that gets no answer: a status and one sentence, in the shape that its kind of client reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

RETRY_AFTER = 1  # seconds; what waits in a model is refused after four

ErrorShape = Callable[[int, str], dict[str, Any]]


class NoAnswer(Exception):
    """No answer: an HTTP status, the sentence, and whether it is worth asking again in a moment."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message

    @property
    def headers(self) -> Mapping[str, str]:
        """What stands beside the sentence."""
        if self.status == 408:  # what is still to come of the body is not read
            return {"connection": "close"}
        return {"retry-after": str(RETRY_AFTER)} if self.status in (429, 503) else {}


_OPENAI_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
_OPENAI_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
_TEI_TYPES = {413: "Validation", 422: "Tokenizer", 424: "Backend", 429: "Overloaded", 503: "Unhealthy"}


def openai_shape(status: int, message: str) -> dict[str, Any]:
    """As OpenAI's clients read it."""
    kind = _OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": _OPENAI_CODES.get(status)}}


def tei_shape(status: int, message: str) -> dict[str, Any]:
    """As clients of TEI and of Hugging Face's inference API read it."""
    return {"error": message, "error_type": _TEI_TYPES.get(status, "Validation" if status < 500 else "Backend")}


def every_shape(status: int, message: str) -> dict[str, Any]:
    """TEI's, and as Cohere's clients read it (`message`), and Jina's (`detail`)."""
    return {**tei_shape(status, message), "message": message, "detail": message}
