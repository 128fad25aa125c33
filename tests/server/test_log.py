"""Sentences from tritonserver's log."""

from __future__ import annotations

from tbgen.server.embedded.log import explanation, lines_to_show, load_failures, loads_under_way

MANAGER = 'E1122 21:36:15.950440 14654 model_repository_manager.cc:724] "'
LIFECYCLE = 'E1122 21:36:17.588685 14654 model_lifecycle.cc:642] "'
LOG = [
    'W1122 21:36:15.948726 14654 pinned_memory_manager.cc:273] "Unable to allocate pinned system memory, pinned memory'
    ' pool will not be available: CUDA driver version is insufficient for CUDA runtime version"',
    'E1122 21:36:15.948850 14654 server.cc:241] "CudaDriverHelper has not been initialized."',
    MANAGER + "failed to load model 'empty': at least one version must be available under the version policy of model"
    " 'empty'\"",
    LIFECYCLE + "failed to load 'broken' version 1: Internal: ModuleNotFoundError: No module named 'transformers'\\n\\n"
    'At:\\n  /models/broken/1/model.py(3): <module>\\n"',
    "I1122 21:36:17.588696 14654 model_lifecycle.cc:777] \"failed to load 'broken'\"",
    MANAGER
    + "Invalid argument: ensemble 'front' depends on 'broken' which has no loaded version. Model 'broken' loading"
    " failed with error: version 1 is at UNAVAILABLE state: Internal: ModuleNotFoundError: No module named"
    " 'transformers'\"",
    "error: creating server: Internal - failed to load all models",
]


def test_each_model_that_failed_has_its_cause() -> None:
    assert load_failures(LOG) == {
        "empty": "at least one version must be available under the version policy of model 'empty'",
        "broken": "ModuleNotFoundError: No module named 'transformers'",
    }


def test_a_load_is_under_way_until_it_has_succeeded_or_failed() -> None:
    begun = [f'I1122 21:36:17.588685 14654 model_lifecycle.cc:472] "loading: {name}:1"' for name in ("good", "broken")]
    assert loads_under_way(begun) == {"good", "broken"}
    loaded = "I1122 21:36:17.588696 14654 model_lifecycle.cc:839] \"successfully loaded 'good'\""
    assert loads_under_way([*begun, loaded]) == {"broken"}
    assert loads_under_way([*begun, loaded, *LOG, begun[0]]) == {"good"}


def test_an_ensemble_at_fault_itself_is_named() -> None:
    line = (
        'E1122 21:36:17.711565 1 model_repository_manager.cc:703] "Invalid argument: ensemble front contains models'
        ' that are not available or ambiguous: gone"'
    )
    assert load_failures([line]) == {"front": "contains models that are not available or ambiguous: gone"}


def test_the_lines_that_only_say_there_is_no_gpu_are_not_shown() -> None:
    assert lines_to_show(LOG)[0].endswith("version policy of model 'empty'\"")


def test_other_ends_are_explained_by_the_last_error_or_lines() -> None:
    assert explanation("I1122 a\nerror: creating server: Internal - failed to stat file /models\n") == (
        "failed to stat file /models"
    )
    assert explanation("failed to start HTTP service: Unavailable - Socket '127.0.0.1:8000' already in use \"\n") == (
        "failed to start HTTP service: Unavailable - Socket '127.0.0.1:8000' already in use"
    )
    assert explanation("I1122 one\nI1122 two\n+--+\nI1122 three\nI1122 four\n") == (
        "tritonserver ended: I1122 two / I1122 three / I1122 four"
    )
    assert explanation("") == "tritonserver ended: it wrote no log"
