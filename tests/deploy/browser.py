"""Headless Chromium driven over a pipe by the DevTools protocol."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PIPES = ("--headless", "--no-sandbox", "--remote-debugging-pipe")  # the browser reads from 3, writes to 4

# puts the pipes there, whatever their numbers are
LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(word), fcntl.F_DUPFD, 10) for word in sys.argv[1:3]]
for place, end in enumerate(ends, 3):
    os.dup2(end, place)
os.execvp(sys.argv[3], sys.argv[3:])
"""


class Page:
    """A page of a browser."""

    def __init__(self, into: int, out: int) -> None:
        self._into, self._out = into, out
        self._rest, self._number, self._session = b"", 0, ""

    def open(self, url: str, width: int = 1280, height: int = 800) -> None:
        """Open a page in a view of this size, px."""
        self._session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.resize(width, height)
        self.call("Page.navigate", url=url)
        self.wait("document.body && document.body.dataset.state")

    def resize(self, width: int, height: int) -> None:
        """Set the size of the view, px."""
        shape = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **shape)

    def run(self, code: str) -> Any:
        """Return what JavaScript comes to."""
        answer = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, code: str, seconds: float = 240) -> None:
        """Wait until JavaScript comes to something true."""
        end = time.monotonic() + seconds
        while not self.run(code):
            assert time.monotonic() < end, f"{code}: not true; {self.run('document.body?.innerText')}"
            time.sleep(0.1)

    def choose(self, selector: str, path: Path) -> None:
        """Choose a file in an input, as a user does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def picture(self, path: Path) -> None:
        """Write what the view shows as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def end(self) -> None:
        """Close the browser."""
        self._session = ""
        self.call("Browser.close")

    def call(self, method: str, **parameters: Any) -> Any:
        """Return the answer to a command; events before it are nobody's."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._into, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._out, 1 << 16)
            assert part, "the browser has ended"
            self._rest += part
        text, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(text)
        return answer


@contextmanager
def browser_page(browser: str, profile: Path, words: Sequence[str] = ()) -> Iterator[Page]:
    """Open a browser with a profile of its own, and end it."""
    (its_in, into), (out, its_out) = os.pipe(), os.pipe()
    command = [browser, *PIPES, f"--user-data-dir={profile}", *words]
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, str(its_in), str(its_out), *command],
        pass_fds=(its_in, its_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(its_in)
    os.close(its_out)
    page = Page(into, out)
    try:
        yield page
    finally:
        if process.poll() is None:
            page.end()
        process.wait(30)
        os.close(into)
        os.close(out)
