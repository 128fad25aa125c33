"""A page in headless Chromium that a test types into, over DevTools' pipe: nothing but the browser is needed."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.triton.browser import QUIET
from tests.waiting import wait_until


class Page:
    """One tab. `asked` are the addresses that it has asked for."""

    def __init__(self, read: int, write: int) -> None:
        self.read, self.write = os.fdopen(read, "rb"), os.fdopen(write, "wb")
        self.numbers, self.session, self.asked, self.loaded = itertools.count(1), "", list[str](), set[str]()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)
        self.call("Network.enable")
        self.call("Accessibility.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of DevTools' protocol."""
        number = next(self.numbers)
        of_tab = {"sessionId": self.session} if self.session else {}
        self.write.write(json.dumps({"id": number, "method": method, "params": parameters, **of_tab}).encode() + b"\0")
        self.write.flush()
        while (said := self.message()).get("id") != number:
            pass
        assert "error" not in said, said
        return dict(said["result"])

    def message(self) -> dict[str, Any]:
        """The next that the browser says."""
        read = bytearray()
        while (letter := self.read.read(1)) != b"\0":
            assert letter, "the browser is gone"
            read += letter
        said: dict[str, Any] = json.loads(read)
        if said.get("method") == "Network.requestWillBeSent":
            self.asked.append(said["params"]["request"]["url"])
        if said.get("method") == "Page.lifecycleEvent" and said["params"]["name"] == "load":
            self.loaded.add(said["params"]["loaderId"])
        return said

    def look(self, url: str, *, width: int = 1200, dark: bool = False, language: str = "en") -> None:
        """Open an address in a window of that width; it is loaded then, its scripts have run."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=1000, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        script = f"Object.defineProperty(navigator, 'language', {{get: () => '{language}', configurable: true}})"
        self.call("Page.addScriptToEvaluateOnNewDocument", source=script)
        loader = self.call("Page.navigate", url=url)["loaderId"]
        while loader not in self.loaded:
            self.message()

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript gives."""
        said = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Return once it is true."""
        wait_until(lambda: bool(self.value(expression)))

    def press(self, key: str, code: int, *, control: bool = False) -> None:
        """A key of the keyboard."""
        named = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 2 if control else 0}
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **named, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def type(self, text: str) -> None:
        """Text where the focus is, in the place of what is selected."""
        self.call("Input.insertText", text=text)

    def names(self) -> list[tuple[str, str]]:
        """What a screen reader is told: role and name of each element that has both."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        found = [(node.get("role", {}).get("value", ""), node.get("name", {}).get("value", "")) for node in nodes]
        return [(role, name) for role, name in found if role and name]

    def picture(self, file: Path) -> None:
        """The whole page as PNG."""
        file.parent.mkdir(parents=True, exist_ok=True)
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        file.write_bytes(base64.b64decode(data))


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """A browser with one tab. Skips the test without Chromium."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    from_test, to_test = os.pipe(), os.pipe()
    words = ["--headless", "--no-sandbox", "--disable-gpu", *QUIET.split(), f"--user-data-dir={folder / 'profile'}"]
    script = f'exec "$@" 3<&{from_test[0]} 4>&{to_test[1]}'  # the numbers that it looks for
    command = ["bash", "-c", script, "bash", browser, "--remote-debugging-pipe", *words]
    with (folder / "chromium.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, pass_fds=(from_test[0], to_test[1]), stdout=log, stderr=log)
    for number in (from_test[0], to_test[1]):
        os.close(number)
    page = Page(to_test[0], from_test[1])
    try:
        yield page
    finally:
        page.session = ""
        page.call("Browser.close")
        process.wait()
        page.read.close()
        page.write.close()
