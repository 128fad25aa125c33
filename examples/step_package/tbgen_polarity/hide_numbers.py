"""Phone and account numbers out of a text before it is read: --pre hide-numbers."""

import re

import numpy as np

NUMBER = re.compile(r"\d[\d-]{7,}\d")


class HideNumbers:
    """Puts a sign in the place of each long number."""

    inputs = {"input_text": ("TYPE_STRING", [1])}
    outputs = {"input_text": ("TYPE_STRING", [1])}

    def __init__(self, folder, *, sign="#"):  # noqa: ARG002
        self.sign = sign

    def __call__(self, input_text):
        return {"input_text": np.array([[NUMBER.sub(self.sign, text)] for text in input_text[:, 0]], dtype=object)}
