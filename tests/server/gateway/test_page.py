"""The pages that a gateway serves: OpenAPI by the models' own records, and what people look at, in a real browser."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tbgen.server.gateway.settings import GatewaySettings
from tests.server.gateway.chromium import Page, chromium
from tests.server.gateway.running import Asked, running_gateway
from tests.server.gateway.test_endpoints import ITEMS


def test_the_openapi_document_is_valid_and_knows_each_model(gateway: Asked) -> None:
    from jsonschema import Draft202012Validator  # here: its grammars of addresses take seconds
    from openapi_spec_validator import validate

    document = gateway.get("/openapi.json").body
    validate(document)
    for name, item in ITEMS.items():
        post = document["paths"][f"/models/{name}"]["post"]
        body = Draft202012Validator(schema_of(post["requestBody"]))
        answer = Draft202012Validator(schema_of(post["responses"]["200"]))
        asked = item | {"tokens": True, "stages": True}
        assert body.is_valid(asked)
        assert not body.is_valid(item | {"speed": 3})
        assert not body.is_valid(item | {"parameters": {"speed": 3}})
        answer.validate(gateway.post(f"/models/{name}", asked).body)
    labels = schema_of(document["paths"]["/models/mood"]["post"]["responses"]["200"])["properties"]["answers"]
    label = labels["items"]["properties"]["labels"]["items"]["properties"]["label"]
    assert label["enum"] == ["부정", "중립", "긍정"]


def schema_of(said: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = said["content"]["application/json"]["schema"]
    return schema


def test_the_pages_load_nothing_from_elsewhere(gateway: Asked) -> None:
    for path in ("/", "/docs"):
        said = gateway.get(path)
        assert said.headers["content-security-policy"].startswith("default-src 'none'")
        assert "http://" not in said.body
        assert "https://" not in said.body


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("chromium")) as page:
        yield page


def choose(page: Page, name: str) -> None:
    """Choose a model of the list."""
    page.wait_for("document.querySelectorAll('#model option').length > 0")
    page.value(f"byId('model').value = '{name}'; byId('model').dispatchEvent(new Event('change'))")
    page.wait_for(f"model && model.name === '{name}'")


def run(page: Page) -> dict[str, Any]:
    """Run, and the answer that is drawn."""
    page.value("last = null; byId('form').requestSubmit()")
    page.wait_for("last && !byId('answer').hidden")
    found: dict[str, Any] = page.value("last.answer")
    return found


def texts(page: Page, selector: str) -> list[str]:
    found: list[str] = page.value(f"[...document.querySelectorAll('{selector}')].map(each => each.textContent)")
    return found


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (360, True)])
def test_every_task_is_drawn(gateway: Asked, page: Page, tmp_path: Path, width: int, dark: bool) -> None:
    page.look(gateway.url, width=width, dark=dark, language="ko")
    for name in ITEMS:
        choose(page, name)
        answer = run(page)
        drawn = {
            "names": ("mark", len(answer["answers"][0].get("entities", ()))),
            "answers": ("mark", 1),
            "vectors": ("#drawn li", 3),
            "ranks": ("#drawn li", 3),
            "near": ("#drawn li", 3),
            "mood": ("#drawn li", 3),
            "any_label": ("#drawn li", 3),
            "masks": ("#drawn h2", 1),
            "words": ("#drawn li", 30),
        }
        selector, count = drawn.get(name, ("#drawn", 1))
        assert len(texts(page, selector)) == count, name
        assert str(answer["usage"]["total_tokens"]) in texts(page, "#cost dd")[0]
        assert len(texts(page, "#stages li")) >= 3
        assert "[CLS]" in texts(page, "#tokens li.special")
        assert page.value("document.documentElement.scrollWidth - innerWidth") <= 0, name
        page.picture(tmp_path / f"{name}.png")
    ground = page.value("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)")
    assert (np.mean(ground) < 60) == dark
    assert page.value("document.documentElement.lang") == "ko"
    assert texts(page, "h2")[:2] == ["물어보기", "답"]
    assert {each for each in page.asked if not each.startswith(gateway.url)} == set()


def test_a_span_is_marked_where_it_stands_behind_emoji(gateway: Asked, page: Page) -> None:
    page.look(gateway.url)
    choose(page, "answers")
    page.value("document.querySelector('[data-input=context]').value = '🔥🔥 주주총회는 20일에 열린다'")
    (answer,) = run(page)["answers"][0]["answers"]
    (marked,) = texts(page, "mark")
    assert marked.startswith(answer["text"])


def test_the_commands_to_copy_run(gateway: Asked, page: Page) -> None:
    page.look(gateway.url)
    choose(page, "mood")
    page.value("document.querySelector('[data-input=input_text]').value = `it's \"한\" $HOME\\n줄 \\\\`")
    wanted = run(page)["answers"]
    curl = subprocess.run(["bash", "-c", texts(page, "#curl")[0]], capture_output=True, text=True, check=True)
    assert json.loads(curl.stdout)["answers"] == wanted
    python = subprocess.run([sys.executable, "-c", texts(page, "#python")[0]], capture_output=True, text=True)
    assert python.stdout == f"{wanted}\n", python.stderr


def test_the_keyboard_is_enough(gateway: Asked, page: Page) -> None:
    page.look(gateway.url)
    choose(page, "mood")
    for _ in range(20):
        page.press("Tab", 9)
        if page.value("document.activeElement.dataset.input === 'input_text'"):
            break
    page.value("document.activeElement.select()")
    page.type("떡상 🔥")
    page.value("last = null")
    page.press("Enter", 13, control=True)
    page.wait_for("last && last.body.input_text === '떡상 🔥'")


def test_another_language_keeps_what_was_typed(gateway: Asked, page: Page) -> None:
    page.look(gateway.url)
    choose(page, "masks")
    (example,) = page.value("[...document.querySelectorAll('#inputs textarea')].map(each => each.value)")
    assert example.startswith("[MASK] ")
    page.value("document.querySelector('#inputs textarea').value = '[MASK] 떡상'")
    page.value("document.querySelector('#parameters input').value = '2'")
    page.value("byId('language').value = 'ko'; byId('language').dispatchEvent(new Event('change'))")
    assert page.value("document.querySelector('#inputs textarea').value") == "[MASK] 떡상"
    assert page.value("document.querySelector('#parameters input').value") == "2"
    choose(page, "mood")
    assert "[MASK]" not in page.value("document.querySelector('#inputs textarea').value")
    page.value("document.querySelector('#inputs textarea').value = '떡상'")
    choose(page, "topics")
    assert page.value("document.querySelector('#inputs textarea').value") == "떡상"
    choose(page, "masks")
    assert page.value("document.querySelector('#inputs textarea').value") == example


def test_a_screen_reader_is_told_what_everything_is(gateway: Asked, page: Page) -> None:
    page.look(gateway.url)
    choose(page, "mood")
    answer = run(page)
    names = page.names()
    assert {("combobox", "Model"), ("textbox", "Text"), ("button", "Run"), ("heading", "Answer")} <= {*names}
    assert page.value("document.querySelector('[role=status]').textContent").startswith("Answered in ")
    assert ("StaticText", answer["answers"][0]["labels"][0]["label"]) in names
    assert page.value("[...document.querySelectorAll('input, select, textarea')].every(each => each.labels.length)")


def test_what_is_wrong_is_said_on_the_page(gateway: Asked, page: Page) -> None:
    page.look(gateway.url)
    choose(page, "masks")
    page.value("document.querySelector('[data-input=input_text]').value = 'a'; byId('form').requestSubmit()")
    page.wait_for("byId('status').className === 'bad'")
    assert "input_text of item 0 has no [MASK]" in texts(page, "#status")[0]
    page.look(f"{gateway.url}/docs")
    page.wait_for("document.querySelectorAll('details').length")
    assert "POST/models/mood text-classification, by mood_onnx_bls" in texts(page, "summary")


def test_the_page_asks_for_a_key(settings: GatewaySettings, page: Page) -> None:
    with running_gateway(replace(settings, keys=frozenset({"secret"}))) as guarded:
        page.look(guarded.url)
        page.wait_for("!byId('key-part').hidden")
        page.value("byId('key').value = 'secret'; byId('key').dispatchEvent(new Event('change'))")
        choose(page, "mood")
        assert run(page)["model"] == "mood"
        assert '-H "authorization: Bearer $KEY"' in texts(page, "#curl")[0]
