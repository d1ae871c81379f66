#!/usr/bin/env python3
"""uvic watch under load: followers, malformed requests, slow clients, a long log and many runs; and what it costs a training.

    bench/watch_load.py build/test/bin/uvic [--followers 200] [--malformed 10000] [--rounds 4] [--lines 1000000] [--runs 50]

Prints a JSON object. Everything is made in a temporary folder.
"""
import argparse
import json
import os
import pathlib
import random
import re
import select
import shutil
import socket
import subprocess
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")


class Watch:
    def __init__(self, program, *folders):
        self.process = subprocess.Popen([program, "watch", *map(str, folders), "--port", "0", "--quiet"],
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(re.search(r":(\d+)/", self.process.stdout.readline()).group(1))

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.settimeout(60)
        return connection

    def get(self, target):
        with self.connect() as connection:
            connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            data = b"".join(iter(lambda: connection.recv(1 << 20), b""))
        head, body = data.split(b"\r\n\r\n", 1)
        return int(head.split()[1]), body

    def cpu_sec(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_mib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{self.process.pid}/status").read()).group(1)) / 1024

    def end(self):
        self.process.terminate()
        return self.process.wait(30)


def follow(watch, count):
    followers = [watch.connect() for _ in range(count)]
    for connection in followers:
        connection.sendall(b"GET /api/events?seen=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.setblocking(False)
    return followers


def drain(followers, seconds):
    """Reads what comes; returns the bytes and how many got any."""
    total, served, deadline = 0, set(), time.time() + seconds
    while (left := deadline - time.time()) > 0:
        for connection in select.select(followers, [], [], left)[0]:
            data = connection.recv(1 << 20)
            total += len(data)
            if data:
                served.add(connection)
            else:
                followers.remove(connection)
    return total, len(served)


def malformed(watch, count):
    random.seed(0)
    pieces = [b"GET ", b"POST ", b"/", b"/grid?run=r0&name=../../x", b" HTTP/1.1", b" HTTP/9", b"\r\n", b"\n", b"Host: a", b"Host: localhost",
              b"Content-Length: -1", b"Transfer-Encoding: chunked", b"\0", b"\xff", b"A" * 3000, b"A: b\r\n" * 70, b":", b"%00", b"%"]
    codes = {}
    for _ in range(count):
        text = b"".join(random.choice(pieces) for _ in range(random.randint(1, 12)))
        with watch.connect() as connection:
            try:
                connection.sendall(text)
                connection.shutdown(socket.SHUT_WR)
                answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
            except ConnectionError:
                answer = b""
        code = answer[9:12].decode() if answer else "none"
        codes[code] = codes.get(code, 0) + 1
    return codes


def training(program, out, images):
    command = [program, "train", "--data", "procedural", "--out", str(out), "--total_images", str(images), "--batch_size", "16",
               "--model.img_size", "32", "--model.patch_size", "4", "--model.embed_dim", "64", "--model.depth", "4", "--model.num_heads", "2",
               "--log_images", "160", "--grid_images", "0", "--checkpoint_images", str(images), "--precision", "fp32", "--threads", "1", "--quiet"]
    subprocess.run(command, check=True)
    return json.loads((out / "stats.jsonl").read_text().splitlines()[-1])["elapsed_sec"]


def write_run(folder, lines):
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"total_images": 16 * lines * 2}))
    with open(folder / "stats.jsonl", "w") as file:
        for i in range(1, lines + 1):
            file.write('{"elapsed_sec":%.3f,"grad_norm":%.6f,"images_per_sec":812.25,"images_seen":%d,"loss":%.6f,"lr":0.0002,"memory_mib":431.5,"step":%d}\n'
                       % (i * 0.02, 0.1 + 1 / i, 16 * i, 0.03 + random.random() / (1 + i * 1e-4), i))


parser = argparse.ArgumentParser()
parser.add_argument("program")
parser.add_argument("--followers", type=int, default=200)
parser.add_argument("--watchers", type=int, default=1, help="followers next to the training")
parser.add_argument("--malformed", type=int, default=10000)
parser.add_argument("--rounds", type=int, default=4)
parser.add_argument("--images", type=int, default=16000)
parser.add_argument("--lines", type=int, default=1000000)
parser.add_argument("--runs", type=int, default=50)
options = parser.parse_args()
result = {}
with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    # A long log among many shorter ones: time until all is read, memory, and the time of what a page asks for.
    for i in range(options.runs):
        write_run(folder / "many" / f"run{i:02}", options.lines if i == 0 else options.lines // 50)
    watch = Watch(options.program, folder / "many")
    begin = time.time()
    while any(r["reading"] or not r["lines"] for r in json.loads(watch.get("/api/runs")[1])["runs"] or [{"reading": 1}]):
        time.sleep(0.2)
    result["long log"] = {"runs": options.runs, "lines": options.lines, "read_sec": round(time.time() - begin, 2), "cpu_sec": watch.cpu_sec(), "memory_mib": round(watch.memory_mib(), 1)}
    begin = time.time()
    sizes = [len(watch.get(f"/api/curve?run=r{i}&points=480")[1]) for i in range(options.runs)]
    result["long log"]["all_curves_sec"] = round(time.time() - begin, 3)
    result["long log"]["all_curves_mib"] = round(sum(sizes) / (1 << 20), 2)
    begin = time.time()
    watch.get(f"/api/curve?run=r0&points=480&from={8 * options.lines}&to={8 * options.lines + 160000}")
    result["long log"]["zoom_sec"] = round(time.time() - begin, 3)
    watch.end()
    shutil.rmtree(folder / "many")

    # Followers and abuse at once.
    (folder / "runs").mkdir()
    watch = Watch(options.program, folder / "runs")
    followers = follow(watch, options.followers)
    slow = [watch.connect() for _ in range(20)]
    for connection in slow:
        connection.sendall(b"GET / HT")
    begin = time.time()
    codes = malformed(watch, options.malformed)
    seconds = time.time() - begin
    write_run(folder / "runs" / "a", 10)
    total, served = drain(followers, 5)
    shutil.rmtree(folder / "runs" / "a")
    time.sleep(1.5)
    result["abuse"] = {"followers": options.followers, "followers_served": served, "malformed": codes, "malformed_per_sec": round(len(codes) and options.malformed / seconds),
                       "page_status_after": watch.get("/")[0], "memory_mib": round(watch.memory_mib(), 1), "alive": watch.process.poll() is None}
    for connection in slow + followers:
        connection.close()
    watch.end()

    # What it costs a training: alternately alone, and with a watch that somebody follows.
    alone, watched, cpu = [], [], []
    for i in range(options.rounds):
        alone.append(training(options.program, folder / f"alone{i}", options.images))
        (folder / "watched").mkdir(exist_ok=True)
        watch = Watch(options.program, folder / "watched")
        followers = follow(watch, options.watchers)
        before = watch.cpu_sec()
        watched.append(training(options.program, folder / "watched" / str(i), options.images))
        cpu.append(watch.cpu_sec() - before)
        for connection in followers:
            connection.close()
        watch.end()
    if alone:
        result["training"] = {"alone_sec": alone, "watched_sec": watched, "mean_ratio": sum(watched) / sum(alone), "watch_cpu_share": sum(cpu) / sum(watched)}
print(json.dumps(result, indent=2))
