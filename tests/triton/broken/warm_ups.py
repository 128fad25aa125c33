"""Warm-up samples, which Triton makes and sends while it loads a model."""

from __future__ import annotations

import numpy as np

from tests.triton.broken.changes import add, both, edit, put, warm_up
from tests.triton.good_models import engine, ensemble, ids_graph, pair, python, ragged

FILE = 'input_data_file: "data.bin"'
IDS = {"key": "ids", "type": "TYPE_INT64", "dims": "2"}
SAMPLE = 'model_warmup {{ name: "w" batch_size: 1 {} }}\n'
INPUT = 'inputs {{ key: "{}" value {{ data_type: {} dims: [ {} ] zero_data: true }} }} '
TEXT, MORE = INPUT.format("text", "TYPE_STRING", 1), INPUT.format("more", "TYPE_FP32", 2)
OPTIONAL = edit(
    "output {", 'input {\n  name: "mask"\n  data_type: TYPE_INT64\n  dims: [ -1 ]\n  optional: true\n}\noutput {'
)

WARM_UPS = {
    "warm_up": (python, warm_up()),
    "warm_up_from_a_file": (python, both(warm_up(data=FILE), put("warmup/data.bin", b"\x03\0\0\0\xea\xb0\x80"))),
    "warm_up_file_missing": (python, warm_up(data=FILE)),
    "warm_up_of_no_kind": (python, warm_up(data="")),
    "warm_up_of_another_type": (python, warm_up(type="TYPE_INT64")),
    "warm_up_of_another_shape": (python, warm_up(dims="2")),
    "warm_up_with_batch_axis": (python, warm_up(dims="1, 1")),
    "warm_up_of_open_shape": (python, warm_up(dims="-1")),
    "warm_up_of_another_input": (python, warm_up(key="texts")),
    "warm_up_of_no_batch": (python, warm_up(batch=0, dims="7")),
    "warm_up_unframed": (python, both(warm_up(data=FILE), put("warmup/data.bin", "가"))),
    "warm_up_half_framed": (python, both(warm_up(data=FILE), put("warmup/data.bin", b"\x01\0\0\0a\x01"))),
    "warm_up_two_texts": (
        python,
        both(warm_up(data=FILE), put("warmup/data.bin", b"\x01\0\0\0a\x01\0\0\0b")),
    ),
    "warm_up_short_file": (
        engine,
        both(warm_up(key="ids", type="TYPE_INT64", dims="2", data=FILE), put("warmup/data.bin", b"\0" * 8)),
    ),
    "warm_up_long_file": (
        engine,
        both(warm_up(key="ids", type="TYPE_INT64", dims="2", data=FILE), put("warmup/data.bin", b"\0" * 24)),
    ),
    "warm_up_of_an_ensemble": (ensemble, warm_up()),
    "warm_up_of_nothing": (python, add(SAMPLE.format(""))),
    "warm_up_typeless": (python, add(SAMPLE.format(TEXT.replace("data_type: TYPE_STRING ", "")))),
    "warm_up_random_text": (python, warm_up(data="random_data: true")),
    "warm_up_random_numbers": (engine, warm_up(**IDS, data="random_data: true")),
    "warm_up_zero_data_off": (python, warm_up(data="zero_data: false")),
    "warm_up_dims_unsaid": (python, warm_up(dims="")),
    "warm_up_of_no_tokens": (engine, warm_up(**IDS | {"dims": "0"})),
    "warm_up_of_negative_dims": (engine, warm_up(**IDS | {"dims": "-2"})),
    "warm_up_file_unnamed": (python, warm_up(data='input_data_file: ""')),
    "warm_up_file_elsewhere": (
        python,
        both(warm_up(data='input_data_file: "../data.bin"'), put("data.bin", b"\x01\0\0\0a"), put("warmup/else", "")),
    ),
    "warm_up_file_from_the_root": (
        python,
        both(warm_up(data='input_data_file: "/data.bin"'), put("warmup/data.bin", b"\x01\0\0\0a")),
    ),
    "warm_up_empty_file": (python, both(warm_up(data=FILE), put("warmup/data.bin", b""))),
    "warm_up_one_text_of_two": (
        python,
        both(edit("dims: [ 1 ]", "dims: [ -1 ]"), warm_up(dims="2", data=FILE), put("warmup/data.bin", b"\x01\0\0\0a")),
    ),
    "warm_up_of_two_texts": (
        python,
        both(edit("dims: [ 1 ]", "dims: [ -1 ]"), warm_up(dims="2", data=FILE), put("warmup/data.bin", b"\0" * 8)),
    ),
    "warm_up_thrice": (python, both(warm_up(batch=4), edit("batch_size: 4 i", "batch_size: 4 count: 3 i"))),
    "warm_up_second_one_bad": (python, both(warm_up(), warm_up(dims="2"))),
    "warm_up_reshaped": (python, both(edit("dims: [ 1 ]", "dims: [ 1 ] reshape { shape: [ ] }"), warm_up())),
    "warm_up_of_one_input": (pair, warm_up(**IDS)),
    "warm_up_without_optional": (python, both(OPTIONAL, warm_up())),
    "warm_up_of_another_beside_optional": (python, both(OPTIONAL, warm_up(**IDS))),
    "warm_up_with_more": (python, add(SAMPLE.format(TEXT + MORE))),
    "warm_up_of_ragged": (ragged, warm_up(**IDS, batch=4)),
    "warm_up_with_lengths": (
        ragged,
        add(SAMPLE.format(INPUT.format("ids", "TYPE_INT64", 2) + INPUT.format("lengths", "TYPE_INT32", 1))),
    ),
    "warm_up_of_all_positions": (engine, both(ids_graph, warm_up(**IDS | {"dims": "8"}, batch=4))),
    "warm_up_of_the_last_id": (
        engine,
        both(ids_graph, warm_up(**IDS, data=FILE), put("warmup/data.bin", np.array([0, 9]).tobytes())),
    ),
}

# They fail when they are run, or end the server.
ENDING = {
    "agents_without_one": (python, add("model_repository_agents { }\n")),
    "warm_up_of_a_folder": (python, both(warm_up(data=FILE), put("warmup/data.bin/a", "a"))),
    "warm_up_of_negative_texts": (python, both(edit("dims: [ 1 ]", "dims: [ -1 ]"), warm_up(dims="-2"))),
    "warm_up_cut_text": (python, both(warm_up(data=FILE), put("warmup/data.bin", b"\x09\0\0\0abc"))),
    "warm_up_over_batch": (python, warm_up(batch=5)),
    "warm_up_over_batch_of_an_engine": (engine, warm_up(**IDS, batch=5)),
    "warm_up_of_two_without_batch": (python, both(edit("max_batch_size: 4", ""), warm_up(batch=2))),
    "warm_up_over_positions": (engine, both(ids_graph, warm_up(**IDS | {"dims": "9"}))),
    "warm_up_random_ids": (engine, both(ids_graph, warm_up(**IDS, data="random_data: true"))),
    "warm_up_of_an_unknown_id": (
        engine,
        both(ids_graph, warm_up(**IDS, data=FILE), put("warmup/data.bin", np.array([0, 10]).tobytes())),
    ),
    "warm_up_of_an_engine_with_more": (engine, add(SAMPLE.format(INPUT.format("ids", "TYPE_INT64", 2) + MORE))),
}
