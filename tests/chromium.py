"""Pages in headless Chromium, by its DevTools protocol over a pipe."""

import base64
import itertools
import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "Home": 36, "End": 35, "Tab": 9, " ": 32}


class Chromium:
    """A browser, and the answers that it has given so far."""

    def __init__(self, commands: int, answers: int):
        self.commands, self.answers = commands, answers
        self.numbers, self.left = itertools.count(1), b""
        self.tabs: dict[str, Tab] = {}

    def call(self, method: str, session: str | None = None, **parameters) -> dict:
        """The answer to a command of the protocol."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
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
        if found.get("sessionId") in self.tabs:
            self.tabs[found["sessionId"]].note(found)
        return found

    def open(self, page: Path | str, width: int = 1000, dark: bool = False) -> "Tab":
        """The page of a file or at an address, loaded and drawn."""
        url = page if isinstance(page, str) else page.absolute().as_uri()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        tab = self.tabs[attached["sessionId"]] = Tab(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.call(f"{domain}.enable")
        tab.look(width, dark)
        tab.call("Page.navigate", url=url)
        tab.wait_for("document.readyState === 'complete' && location.protocol !== 'about:'")
        tab.look(width, dark)
        return tab


class Tab:
    """A page that is open. ``errors`` has what its console says, ``requests`` what it fetches."""

    def __init__(self, browser: Chromium, session: str):
        self.browser, self.session = browser, session
        self.errors: list[str] = []
        self.requests: list[str] = []

    def call(self, method: str, **parameters) -> dict:
        return self.browser.call(method, self.session, **parameters)

    def note(self, message: dict) -> None:
        """Keep a message of the console, and the address of a request."""
        if message.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.errors.append(json.dumps(message["params"]))
        elif message.get("method") == "Log.entryAdded":
            self.errors.append(message["params"]["entry"]["text"])
        elif message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])

    def run(self, script: str):
        """The value of an expression, or of the promise that it is, in the page."""
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until a condition holds in the page."""
        self.run(f"new Promise((done) => {{ const look = () => ({condition}) ? done()"
                 " : setTimeout(look, 20); look(); })")  # fmt: skip

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
        about = {"x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **about)

    def picture(self, path: Path) -> None:
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))


@contextmanager
def started(profile: Path):
    """A browser with a profile of its own, and its end."""
    commands, write_end = os.pipe()
    read_end, answers = os.pipe()
    # the protocol is on the descriptors 3 and 4
    shell = f'exec "$0" "$@" 3<&{commands} 4>&{answers}'
    words = [PROGRAM, "--headless", "--no-sandbox", "--disable-gpu", "--mute-audio",
             "--autoplay-policy=no-user-gesture-required", f"--user-data-dir={profile}",
             "--hide-scrollbars", "--remote-debugging-pipe"]  # fmt: skip
    process = subprocess.Popen(
        ["bash", "-c", shell, *words],
        pass_fds=(commands, answers),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    os.close(commands)
    os.close(answers)
    try:
        browser = Chromium(write_end, read_end)
        yield browser
        browser.call("Browser.close")
        process.wait(timeout=20)
    finally:
        process.kill()
        process.wait()
        os.close(write_end)
        os.close(read_end)
