import re
from dataclasses import dataclass, field

import pytest

from tbgen.export.errors import UserError
from tbgen.generator.steps.chain import check_chain

Specs = dict[str, tuple[str, list[int]]]
TEXT: Specs = {"input_text": ("TYPE_STRING", [1])}
IDS: Specs = {"input_ids": ("TYPE_INT64", [-1])}
LOGITS: Specs = {"outputs": ("TYPE_FP32", [3])}
LABEL: Specs = {"label": ("TYPE_STRING", [1])}


@dataclass
class Part:
    inputs: Specs
    outputs: Specs = field(default_factory=dict)
    on_request: tuple[str, ...] = ()


TOKENIZER, ENGINE, HEAD = ("Tokenizer", Part(TEXT, IDS)), ("Engine", Part(IDS, LOGITS)), ("Head", Part(LOGITS, LABEL))


def refused(*parts: tuple[str, Part], fronts: int = 1) -> str:
    with pytest.raises(UserError) as error:
        check_chain(parts, fronts=fronts)
    return error.value.message


def test_steps_that_fit_pass() -> None:
    clean = ("Clean", Part(TEXT, TEXT))
    upper = ("Upper", Part(LABEL | TEXT, LABEL))
    check_chain([clean, TOKENIZER, ENGINE, HEAD, upper], fronts=2)


def test_a_step_may_ask_the_client_for_more() -> None:
    check_chain([("Pick", Part(TEXT | {"language": ("TYPE_STRING", [1])}, TEXT)), TOKENIZER, ENGINE], fronts=2)


def test_open_dims_fit_all_sizes() -> None:
    check_chain([TOKENIZER, ("Engine", Part({"input_ids": ("TYPE_INT64", [300])}, LOGITS))], fronts=1)


def test_types_must_be_equal() -> None:
    engine = ("Engine", Part({"input_ids": ("TYPE_INT32", [-1])}, LOGITS))
    assert refused(TOKENIZER, engine) == (
        "Tokenizer gives input_ids as TYPE_INT64 [-1], Engine takes it as TYPE_INT32 [-1]"
    )


@pytest.mark.parametrize("dims", [[4], [-1, 3], []])
def test_dims_must_fit(dims: list[int]) -> None:
    head = ("Head", Part({"outputs": ("TYPE_FP32", dims)}, LABEL))
    message = refused(TOKENIZER, ENGINE, head)
    assert message == f"Engine gives outputs as TYPE_FP32 [3], Head takes it as TYPE_FP32 {dims}"


def test_a_tensor_that_nobody_gives_is_named_with_those_there_are() -> None:
    judge = ("Judge", Part({"scores": ("TYPE_FP32", [1])}, {"sure": ("TYPE_BOOL", [1])}))
    assert refused(TOKENIZER, ENGINE, HEAD, judge) == (
        "Judge takes scores, which no step before it gives; there is: input_ids, input_text, label, outputs"
    )


def test_a_tensor_that_is_given_on_request_alone_is_nothing_to_build_on() -> None:
    head = ("Head", Part(LOGITS, LABEL | {"json": ("TYPE_STRING", [1])}, ("json",)))
    assert refused(TOKENIZER, ENGINE, head, ("Log", Part({"json": ("TYPE_STRING", [1])}))) == (
        "Log takes json, which Head gives only to requests that ask for it; --set json=true gives it always"
    )


def test_a_step_beside_the_chain_is_likely_a_slip() -> None:
    clean = ("Clean", Part({"text": ("TYPE_STRING", [1])}, {"text": ("TYPE_STRING", [1])}))
    message = refused(clean, TOKENIZER, ENGINE, fronts=2)
    assert re.fullmatch(
        "Clean takes text and gives text, which no other step uses; Tokenizer behind it takes input_text", message
    )
