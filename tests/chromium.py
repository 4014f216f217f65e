"""Pages in headless Chromium, by its DevTools protocol over a pipe."""

import base64
import itertools
import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="needs Chromium")
KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "Home": 36, "End": 35, "Tab": 9, " ": 32}


class Page:
    """A page that is open. ``errors`` has what its console says."""

    def __init__(self, commands: int, answers: int):
        self.commands, self.answers = commands, answers
        self.numbers, self.left = itertools.count(1), b""
        self.session: str | None = None
        self.errors: list[str] = []

    def call(self, method: str, **parameters) -> dict:
        """The answer to a command of the protocol."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self) -> dict:
        while b"\0" not in self.left:
            data = os.read(self.answers, 2**20)
            assert data, "Chromium has ended"
            self.left += data
        message, _, self.left = self.left.partition(b"\0")
        found = json.loads(message)
        if found.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.errors.append(json.dumps(found["params"]))
        elif found.get("method") == "Log.entryAdded":
            self.errors.append(found["params"]["entry"]["text"])
        return found

    def run(self, script: str):
        """The value of an expression, or of the promise that it is, in the page."""
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def look(self, width: int, dark: bool = False) -> None:
        """Make the window so wide, in light or dark mode."""
        sizes = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **sizes)
        mode = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[mode])
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def press(self, key: str) -> None:
        about = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, **about)

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1,
                clickCount=1,
            )  # fmt: skip

    def picture(self, path: Path) -> None:
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))


@contextmanager
def opened(path: Path, profile: Path):
    """A page of a file, loaded."""
    commands, write_end = os.pipe()
    read_end, answers = os.pipe()
    # the protocol is on the descriptors 3 and 4
    shell = f'exec "$0" "$@" 3<&{commands} 4>&{answers}'
    words = [PROGRAM, "--headless", "--no-sandbox", "--disable-gpu", "--mute-audio",
             "--autoplay-policy=no-user-gesture-required", f"--user-data-dir={profile}",
             "--remote-debugging-pipe"]  # fmt: skip
    process = subprocess.Popen(
        ["bash", "-c", shell, *words],
        pass_fds=(commands, answers),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    os.close(commands)
    os.close(answers)
    page = Page(write_end, read_end)
    try:
        target = page.call("Target.createTarget", url="about:blank")["targetId"]
        attached = page.call("Target.attachToTarget", targetId=target, flatten=True)
        page.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        page.call("Page.navigate", url=path.absolute().as_uri())
        page.run(
            "new Promise((done) => { const look = () => document.readyState === 'complete'"
            " && location.protocol === 'file:' ? done() : setTimeout(look, 20); look(); })"
        )
        yield page
        page.session = None
        page.call("Browser.close")
        process.wait(timeout=20)
    finally:
        process.kill()
        process.wait()
        os.close(write_end)
        os.close(read_end)
