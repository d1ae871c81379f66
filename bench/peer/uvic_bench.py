"""Runs `uvic bench` in a process of its own."""
import json
import os
import subprocess
import tempfile


def uvic_bench(uvic, *options):
    """The numbers that `uvic bench` writes with these options, without the plain tensor code."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "bench.json")
        subprocess.run([uvic, "bench", "--plain=false", *map(str, options), "--json", path],
                       check=True, stdout=subprocess.DEVNULL)
        with open(path) as file:
            return json.load(file)
