"""What answers say of several values: each with its name, the largest first, as of classes."""

from __future__ import annotations

import numpy as np

from tbgen.server.gateway.models import FrontModel
from tbgen.server.gateway.tei_api import named_values


def test_values_of_a_regression_stand_largest_first() -> None:
    model = FrontModel("mine", "mine_onnx_bls", "bls", {}, {"settings": {"labels": ["기쁨", "분노"]}})
    answer = named_values(model, np.array([-0.5, 2.0, 0.25], dtype=np.float32))
    assert answer == [
        {"score": 2.0, "label": "분노"},
        {"score": 0.25, "label": "LABEL_2"},
        {"score": -0.5, "label": "기쁨"},
    ]
