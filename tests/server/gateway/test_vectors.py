"""Vectors as clients of the gateway want them."""

from __future__ import annotations

import numpy as np

from tbgen.server.gateway.vectors import cut


def test_vectors_of_length_1_are_cut_to_length_1() -> None:
    assert cut(np.array([[0.6, 0.8]], np.float32), 1).tolist() == [[1.0]]
    assert cut(np.array([[3e30, 4e30]], np.float32), 1).tolist() == [[np.float32(3e30)]]
