"""Calls of a program that may go wrong in any way, and what is wrong with the answers. Part of attack.py."""
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

MOST_BYTES = 4 << 30
RAW_WORDS = re.compile(r"std::|\bstoi\b|\bstod\b|basic_string|vector::|bad_alloc|terminate called|c10::|INTERNAL ASSERT|"
                       r"Exception raised|map::at|json\.exception|what\(\)|filesystem error|cannot write to file|toml::|"
                       r"bad optional|bad_variant|unordered_map|Assertion")


class Answer:
    """How a program ended: exit code as a shell gives it, output, largest resident memory, seconds."""

    def __init__(self):
        self.code, self.out, self.err, self.peak, self.fault = 0, "", "", 0, ""


def resident_bytes(pid):
    try:
        return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    except (OSError, IndexError):
        return 0


def wait_for(process, seconds, answer):
    """Whether it ended in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            return True
        answer.peak = max(answer.peak, resident_bytes(process.pid))
        if answer.peak > MOST_BYTES:
            answer.fault = f"took {answer.peak >> 20} MiB"
            process.kill()
        time.sleep(0.02)
    return False


def call(words, limit, environment=None):
    """Runs a command. What works for longer than `limit` seconds is asked to stop by SIGTERM."""
    answer = Answer()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                   env={**os.environ, **(environment or {})})
        if not wait_for(process, limit, answer):
            process.terminate()
            if not wait_for(process, 10, answer):
                process.terminate()
                answer.fault = "does not end by SIGTERM" + ("" if wait_for(process, 2, answer) else ", nor by a second one")
                process.kill()
            elif process.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM) and not answer.fault:
                process.returncode = 0  # long work that stops when asked to
        process.wait()
        answer.code = process.returncode if process.returncode >= 0 else 128 - process.returncode
        for stream, name in ((out, "out"), (err, "err")):
            stream.seek(0)
            setattr(answer, name, stream.read(1 << 20).decode(errors="replace"))
    return answer


def fault_of(answer, must_fail=False):
    """What is wrong with an answer, or nothing."""
    if answer.fault:
        return answer.fault
    if answer.code not in (0, 1, 2):
        return f"exit code {answer.code}"
    if answer.code == 0 and must_fail:
        return "taken for good"
    lines = [line for line in answer.err.splitlines() if not line.startswith("note: ")]
    if answer.code != 0 and not (lines and lines[-1].startswith("uvic: ") and len(lines[-1]) > 10):
        return "no message"
    if answer.code == 2 and len(lines) != 1:
        return "an answer of several lines"
    raw = RAW_WORDS.search(answer.err)
    return f"raw words: {raw.group()}" if raw else ""
