"""Weights rounded to 8 bits so that the products keep their values on real inputs: what rounding one row leaves over is
made good by the rows rounded after it, as far as their inputs go together (GPTQ, Frantar et al., 2022; written as the
nearest-plane algorithm, which needs no inverse).
"""

from __future__ import annotations

import numpy as np

# 7 of the 8 bits, as 2 products of a weight and an activation must fit into 16: with more, processors without VNNI
# overflow silently, and the answers depend on the machine.
MOST = 64
_DAMPING = 0.01  # of the mean variance, so that what the samples never showed is rounded as it would be without them
_BLOCK = 64


def round_weights(weights: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(inputs, columns) weights as int8 of that shape, and (columns,) float32 scales; covariance (inputs, inputs)."""
    scales = np.abs(weights).max(axis=0) / MOST
    scales[scales == 0] = 1.0
    order = np.argsort(np.diag(covariance), kind="stable")  # from the last: the loudest, while all others can mend it
    exact, factor = (weights / scales)[order], _lower_factor(covariance[np.ix_(order, order)])
    steps, errors = np.empty(exact.shape, dtype=np.int8), np.zeros_like(exact)
    for start in reversed(range(0, len(exact), _BLOCK)):
        end = min(start + _BLOCK, len(exact))
        carried = factor[end:, start:end].T @ errors[end:]
        for row in reversed(range(start, end)):
            over = carried[row - start] + factor[row + 1 : end, row] @ errors[row + 1 : end]
            steps[row] = np.clip(np.rint(exact[row] + over / factor[row, row]), -MOST, MOST)
            errors[row] = exact[row] - steps[row]
    answer = np.empty_like(steps)
    answer[order] = steps
    return answer, scales.astype(np.float32)


def _lower_factor(covariance: np.ndarray) -> np.ndarray:
    """The lower Cholesky factor, damped so that there is one."""
    return np.linalg.cholesky(covariance + np.eye(len(covariance)) * (_DAMPING * np.diag(covariance).mean() or 1.0))
