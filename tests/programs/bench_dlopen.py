# SPDX-License-Identifier: BSD-3-Clause
"""bench_dlopen.py - rank 0 times loads of libraries from the cache against the same on a local disk, the other ranks wait asleep;
used by `scripts/bench dlopen`.

usage: bench_dlopen.py LIBRARY CACHED LOCAL FIFO RESULT
CACHED is below MPIIO_CACHE_PATHS, LOCAL on a local disk; both hold the same folders of libraries, one row of the result each. What all
of a folder's libraries need beside themselves is in needed.txt, and is loaded before. The result is written as JSON.
"""
import ctypes
import json
import os
import statistics
import sys

ROUNDS = 101


class Bench:
    def __init__(self, library):
        self.c = ctypes.CDLL(library)
        self.c.bench_prepare.restype = self.c.bench_load.restype = ctypes.c_char_p
        self.check("libc", self.c.bench_prepare())

    @staticmethod
    def check(what, error):
        if error is not None:
            sys.exit(f"bench: {what}: {os.fsdecode(error)}")

    def load(self, hooked, path):
        ns = ctypes.c_double()
        self.check(path, self.c.bench_load(hooked, os.fsencode(path), ctypes.byref(ns)))
        return ns.value


def row(name, aim, pairs, count):
    """pairs: (hooked, bare) nanoseconds of one load, `count` libraries in turn. The ratio is taken within a pair: both saw the same
    machine. And once more for the set: what all of it takes, each library at its median."""
    ratios = [hooked / bare for hooked, bare in pairs]
    low, _, high = statistics.quantiles(ratios, n=4)
    yield {
        "name": name,
        "hooked_ns": statistics.median(hooked for hooked, _ in pairs),
        "bare_ns": statistics.median(bare for _, bare in pairs),
        "ratio": statistics.median(ratios),
        "ratio_quartiles": [low, high],
        "aim": aim,
        "loads": len(pairs),
    }
    sums = [[sum(statistics.median(pair[side] for pair in part[at::count]) for at in range(count)) for side in (0, 1)]
            for part in (pairs, pairs[:len(pairs) // 2 // count * count], pairs[len(pairs) // 2 // count * count:])]
    whole, *halves = [hooked / bare for hooked, bare in sums]
    yield {
        "name": "  all of them, and by halves of the run",
        "hooked_ns": sums[0][0],
        "bare_ns": sums[0][1],
        "ratio": whole,
        "ratio_quartiles": sorted(halves),
        "aim": aim,
        "loads": len(pairs),
    }


def alternate(bench, hooked_paths, bare_paths):
    """Every library in turn, on both sides one after the other; what comes first warms up, and the order changes."""
    for i in range(3):
        for hooked, paths in ((1, hooked_paths), (0, bare_paths)):
            for path in paths:
                bench.load(hooked, path)
    pairs = []
    for i in range(ROUNDS):
        for at in range(len(hooked_paths)):
            took = [0.0, 0.0]
            for hooked in ((i + at) % 2, 1 - (i + at) % 2):
                took[hooked] = bench.load(hooked, (hooked_paths if hooked else bare_paths)[at])
            pairs.append((took[1], took[0]))
    return pairs


def measure(bench, cached, local):
    for folder in sorted(os.listdir(local)):
        with open(f"{local}/{folder}/needed.txt") as f:
            held = [ctypes.CDLL(name) for name in f.read().split()]
        with open(f"{local}/{folder}/title.txt") as f:
            title = f.read().strip()
        names = sorted(name for name in os.listdir(f"{local}/{folder}") if name.endswith(".so"))
        paths, originals = ([f"{place}/{folder}/{name}" for name in names] for place in (cached, local))
        yield from row(f"dlopen, {title}", 1.2, alternate(bench, paths, originals), len(names))
        # The library's own calls while it loads a library that is nobody's to serve.
        yield from row("the same, passed through", None, alternate(bench, originals, originals), len(names))
        del held


def check_served(bench, path):
    """The store's names are in memory while it is loaded."""
    library = ctypes.CDLL(path)
    if not bench.c.bench_is_mapped(b"/mpiio_cache-"):
        sys.exit("bench: the cache serves no libraries")
    ctypes.CDLL(None).dlclose(ctypes.c_void_p(library._handle))


def main():
    library, cached, local, fifo, result = sys.argv[1:]
    rank = int(os.environ.get("PMI_RANK", os.environ.get("SLURM_PROCID", "0")))
    if rank != 0:
        with open(fifo) as f:  # until rank 0 is done and everybody has gone
            f.read()
        return
    try:
        bench = Bench(library)
        check_served(bench, f"{cached}/small/lib00.so")
        rows = list(measure(bench, cached, local))
        with open(result, "w") as f:
            json.dump(rows, f, indent=2)
    finally:
        os.close(os.open(fifo, os.O_WRONLY))


main()
