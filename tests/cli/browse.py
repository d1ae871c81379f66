#!/usr/bin/env python3
"""Opens a page in Chromium, runs a script in it and prints {"result": ..., "errors": [...]}: what the script returned, and
all that the browser's console, its network and its security policy complained of.

    browse.py URL [--script FILE] [--size 1280x900] [--dark] [--screenshot FILE.png] [--full] [--wait SECONDS]
               [--mouse 700x500]

The script is the body of an async function; the mouse is moved to its place before. Speaks to the browser by a pipe (--remote-debugging-pipe): no port, no library.
"""
import argparse
import base64
import json
import os
import select
import subprocess
import sys
import tempfile
import time


class Browser:
    def __init__(self, profile):
        to_read, self.to_browser = os.pipe()
        self.from_browser, to_write = os.pipe()

        def pipes():
            os.dup2(to_read, 13)
            os.dup2(to_write, 14)
            os.dup2(13, 3)
            os.dup2(14, 4)

        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--hide-scrollbars", "--remote-debugging-pipe", "--user-data-dir=" + profile, "about:blank"],
            preexec_fn=pipes, pass_fds=(3, 4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.buffer, self.number, self.events = b"", 0, []

    def message(self, deadline):
        while b"\0" not in self.buffer:
            if not select.select([self.from_browser], [], [], max(0, deadline - time.time()))[0]:
                return None
            data = os.read(self.from_browser, 1 << 20)
            if not data:
                sys.exit("the browser ended")
            self.buffer += data
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def ask(self, method, session=None, seconds=60, **parameters):
        self.number += 1
        request = {"id": self.number, "method": method, "params": parameters}
        if session:
            request["sessionId"] = session
        os.write(self.to_browser, json.dumps(request).encode() + b"\0")
        deadline = time.time() + seconds
        while True:
            answer = self.message(deadline)
            if answer is None:
                sys.exit(f"no answer to {method}")
            if answer.get("id") == self.number:
                if "error" in answer:
                    sys.exit(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def listen(self, seconds):
        deadline = time.time() + seconds
        while (event := self.message(deadline)) is not None:
            self.events.append(event)


def complaints(events):
    found = []
    for event in events:
        method, given = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = given["exceptionDetails"]
            found.append(details.get("exception", {}).get("description", details.get("text")))
        elif method == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning", "assert"):
            found.append(" ".join(str(a.get("value", a.get("description"))) for a in given["args"]))
        elif method == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
            found.append(given["entry"]["text"])
    return found


parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("--script")
parser.add_argument("--size", default="1280x900")
parser.add_argument("--mouse")
parser.add_argument("--dark", action="store_true")
parser.add_argument("--screenshot")
parser.add_argument("--full", action="store_true")
parser.add_argument("--wait", type=float, default=0)
options = parser.parse_args()
width, height = map(int, options.size.split("x"))
with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
    browser = Browser(folder)
    try:
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            browser.ask(domain + ".enable", session)
        browser.ask("Emulation.setDeviceMetricsOverride", session, width=width, height=height, deviceScaleFactor=1,
                    mobile=width < 600)
        browser.ask("Emulation.setEmulatedMedia", session,
                    features=[{"name": "prefers-color-scheme", "value": "dark" if options.dark else "light"}])
        browser.ask("Page.navigate", session, url=options.url)
        browser.listen(1 + options.wait)
        if options.mouse:
            x, y = map(int, options.mouse.split("x"))
            for shift in (1, 0):
                browser.ask("Input.dispatchMouseEvent", session, type="mouseMoved", x=x + shift, y=y)
            browser.listen(0.3)
        result = None
        if options.script:
            body = open(options.script).read()
            answer = browser.ask("Runtime.evaluate", session, expression="(async () => {" + body + "\n})()",
                                 awaitPromise=True, returnByValue=True)
            if "exceptionDetails" in answer:
                details = answer["exceptionDetails"]
                sys.exit("script: " + str(details.get("exception", {}).get("description", details["text"])))
            result = answer["result"].get("value")
        if options.screenshot:
            shot = browser.ask("Page.captureScreenshot", session, format="png", captureBeyondViewport=options.full)
            with open(options.screenshot, "wb") as file:
                file.write(base64.b64decode(shot["data"]))
        browser.listen(0.2)
        print(json.dumps({"result": result, "errors": complaints(browser.events)}))
    finally:
        browser.process.terminate()
        try:
            browser.process.wait(10)
        except subprocess.TimeoutExpired:
            browser.process.kill()
