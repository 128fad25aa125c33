"""A tokenizer.json as the tokenizers library reads it, tried in a process of its own, which some of them end."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from functools import lru_cache

# Bounds of the process; a vocabulary of 250,000 words takes some 500 MB and 2 s.
_BOUNDS = {resource.RLIMIT_AS: 4 << 30, resource.RLIMIT_CPU: 10, resource.RLIMIT_CORE: 0}
_TEXTS = ("", "a", "한국어 texts, with\tall kinds: 12 😀 e\u0301 \ufdfa\n" * 8)
_UNREADABLE = 3  # the process' exit status
_ENDS: dict[int, str] = {
    signal.SIGXCPU: "it takes over 10 s of the processor",
    signal.SIGABRT: "it ends the process, or takes over 4 GB of memory",
}


@lru_cache(maxsize=4)  # the steps of a model, and the models of a repository, have the same
def failure_of_tokenizer(text: str) -> str:
    """Why the library cannot read a tokenizer.json with this text, or ends a process that encodes with it; "" if not.

    What it raises for a text alone is no failure here: a request's own. Raises UserError, which is not cached, where
    something else ended the process.
    """
    from tbgen.export.errors import UserError  # the process itself needs nothing of tbgen

    done = subprocess.run([sys.executable, __file__], input=text.encode("utf-8"), capture_output=True, check=False)
    if done.returncode == _UNREADABLE:
        return done.stdout.decode("utf-8")
    if done.returncode == -signal.SIGKILL:
        raise UserError(
            "the process that tries a tokenizer.json was killed, as a machine does whose memory is full; run it again "
            "where more is free"
        )
    return _ENDS.get(-done.returncode, "it ends the process") if done.returncode < 0 else ""


def _try() -> None:
    """The process: the library ends it by a signal, or a bound does."""
    for bound, most in _BOUNDS.items():
        hard = resource.getrlimit(bound)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(bound, (least, hard))  # at the hard one of the processor's time SIGKILL comes, as of others
    from tokenizers import Tokenizer

    text = sys.stdin.buffer.read().decode("utf-8")
    try:
        tokenizer = Tokenizer.from_str(text)
    except BaseException as error:  # noqa: BLE001 - a panic of Rust is no Exception
        sys.stdout.buffer.write((str(error) or type(error).__name__).encode("utf-8", "backslashreplace"))
        sys.exit(_UNREADABLE)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    for each in _TEXTS:
        tokenizer.decode(tokenizer.encode(each).ids)
        tokenizer.encode(each, each)


if __name__ == "__main__":
    _try()
