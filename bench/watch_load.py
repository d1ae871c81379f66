#!/usr/bin/env python3
"""uvic watch under load: followers, malformed requests, slow clients, a long log and many runs; and what it costs a training.

    bench/watch_load.py build/test/bin/uvic [--parts load,training] [--followers 200] [--malformed 10000] [--lines 1000000] [--runs 50]
                        [--watchers 1,200] [--pairs 20] [--threads 2] [--core N] [--nice N]

Prints a JSON object. Everything is made in a temporary folder.

What a training loses is measured inside one training, so that neither launches nor slow changes of the machine count: the server and
its followers are stopped (SIGSTOP) and continued in turn, every --window_lines lines of its log. A pair is two neighbouring
windows. Where other programs use the machine, --core and --nice keep training and server on one core, where they take time from each
other alone: the worst case for the training. Followers run elsewhere.
"""
import argparse
import json
import os
import pathlib
import random
import re
import select
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_sec(process):
    fields = open(f"/proc/{process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Watch:
    def __init__(self, program, *folders, place=None):
        self.process = subprocess.Popen([program, "watch", *map(str, folders), "--port", "0", "--quiet"],
                                        stdout=subprocess.PIPE, text=True, preexec_fn=place)
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


class Training:
    """A small training, line by line of its log."""

    def __init__(self, program, out, threads, place):
        self.path = out / "stats.jsonl"
        self.process = subprocess.Popen(
            [program, "train", "--data", "procedural", "--out", str(out), "--total_images", "1000000000", "--batch_size", "16",
             "--model.img_size", "32", "--model.patch_size", "4", "--model.embed_dim", "64", "--model.depth", "4", "--model.num_heads", "2",
             "--log_images", "160", "--grid_images", "0", "--checkpoint_images", "1000000000", "--precision", "fp32", "--threads", str(threads),
             "--quiet"], preexec_fn=place)
        self.lines = 0

    def advance(self, lines):
        """Waits for so many further lines; the images and seconds of the last one, and the processor time then."""
        self.lines += lines
        while True:
            if self.process.poll() is not None:
                raise SystemExit("the training ended")
            rows = self.path.read_text().split("\n")[:-1] if self.path.exists() else []
            if len(rows) >= self.lines:
                self.lines = len(rows)
                row = json.loads(rows[-1])
                return row["images_seen"], row["elapsed_sec"], cpu_sec(self.process)
            time.sleep(0.01)

    def end(self):
        self.process.kill()
        self.process.wait()


def placed(core, nice):
    """What puts a new process on one core and gives it a priority."""
    def place():
        if core is not None:
            os.sched_setaffinity(0, {core})
        if nice:
            os.setpriority(os.PRIO_PROCESS, 0, nice)
    return place


def summary(values):
    """The median of ratios, their quartiles, and the 95 % interval of the median from 2000 resamples."""
    medians = sorted(statistics.median(random.choices(values, k=len(values))) for _ in range(2000))
    quartiles = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
    return {"median": round(statistics.median(values), 4), "quartiles": [round(quartiles[0], 4), round(quartiles[2], 4)],
            "median_95": [round(medians[50], 4), round(medians[1949], 4)]}


def window(training, watch, is_watched, lines):
    """Seconds and processor time an image with the server continued or stopped, and the server's share of a core."""
    watch.process.send_signal(signal.SIGCONT if is_watched else signal.SIGSTOP)
    images, seconds, cpu = training.advance(1)  # the line in which it changes is of neither
    served = cpu_sec(watch.process)
    images_after, seconds_after, cpu_after = training.advance(lines)
    length, done = seconds_after - seconds, images_after - images
    return {"sec": length / done, "cpu": (cpu_after - cpu) / done, "server": (cpu_sec(watch.process) - served) / length, "length": length}


def cost(options, folder, watchers):
    folder.mkdir()
    place = placed(options.core, options.nice)
    training = Training(options.program, folder / "trained", options.threads, place)
    watch, ends, pairs = None, threading.Event(), []
    try:
        training.advance(3)
        watch = Watch(options.program, folder, place=place)
        followers, received = follow(watch, watchers), [0]

        def take():
            while not ends.is_set() and followers:
                received[0] += drain(followers, 0.5)[0]
        taker = threading.Thread(target=take)
        taker.start()
        time.sleep(3)  # until the followers have got what was there at the start
        for i in range(options.pairs):
            first = window(training, watch, i % 2 == 0, options.window_lines)
            second = window(training, watch, i % 2 == 1, options.window_lines)
            pairs.append((first, second) if i % 2 == 0 else (second, first))
        watch.process.send_signal(signal.SIGCONT)
        time.sleep(1)
        ends.set()
        taker.join()
        for connection in followers:
            connection.close()
    finally:
        ends.set()
        training.end()
        if watch:
            watch.process.send_signal(signal.SIGCONT)
            watch.end()
    return {"followers": watchers, "pairs": len(pairs), "followers_left": len(followers), "mib_received": round(received[0] / (1 << 20), 2),
            "window_sec": round(statistics.median(w["length"] for w, _ in pairs), 2),
            "images_per_sec_alone": round(statistics.median(1 / a["sec"] for _, a in pairs), 1),
            "server_share_of_a_core": round(statistics.mean(w["server"] for w, _ in pairs), 5),
            "wall_time_watched_to_alone": summary([w["sec"] / a["sec"] for w, a in pairs]),
            "cpu_time_watched_to_alone": summary([w["cpu"] / a["cpu"] for w, a in pairs])}


def write_run(folder, lines):
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"total_images": 16 * lines * 2}))
    with open(folder / "stats.jsonl", "w") as file:
        for i in range(1, lines + 1):
            file.write('{"elapsed_sec":%.3f,"grad_norm":%.6f,"images_per_sec":812.25,"images_seen":%d,"loss":%.6f,"lr":0.0002,"memory_mib":431.5,"step":%d}\n'
                       % (i * 0.02, 0.1 + 1 / i, 16 * i, 0.03 + random.random() / (1 + i * 1e-4), i))


def load(options, folder, result):
    # A long log among many shorter ones: time until all is read, memory, and the time of what a page asks for.
    for i in range(options.runs):
        write_run(folder / "many" / f"run{i:02}", options.lines if i == 0 else options.lines // 50)
    watch = Watch(options.program, folder / "many")
    begin = time.time()
    while any(r["reading"] or not r["lines"] for r in json.loads(watch.get("/api/runs")[1])["runs"] or [{"reading": 1}]):
        time.sleep(0.2)
    result["long log"] = {"runs": options.runs, "lines": options.lines, "read_sec": round(time.time() - begin, 2), "cpu_sec": cpu_sec(watch.process), "memory_mib": round(watch.memory_mib(), 1)}
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


parser = argparse.ArgumentParser()
parser.add_argument("program")
parser.add_argument("--parts", default="load,training")
parser.add_argument("--followers", type=int, default=200)
parser.add_argument("--malformed", type=int, default=10000)
parser.add_argument("--lines", type=int, default=1000000)
parser.add_argument("--runs", type=int, default=50)
parser.add_argument("--watchers", default="1,200", help="followers next to a training, a training each")
parser.add_argument("--pairs", type=int, default=20)
parser.add_argument("--window_lines", type=int, default=8)
parser.add_argument("--threads", type=int, default=2, help="of the training")
parser.add_argument("--core", type=int, help="training and server on this core alone")
parser.add_argument("--nice", type=int, default=0, help="of training and server; below 0 needs root")
options = parser.parse_args()
result = {}
with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    if "load" in options.parts:
        load(options, folder, result)
    if "training" in options.parts:
        result["training"] = [cost(options, folder / f"next_to_{count}", int(count)) for count in options.watchers.split(",")]
print(json.dumps(result, indent=2))
