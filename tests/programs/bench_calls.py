# SPDX-License-Identifier: BSD-3-Clause
"""bench_calls.py - rank 0 times hooked against bare calls, the other ranks wait asleep; used by `scripts/bench calls`.

usage: bench_calls.py LIBRARY CACHED LOCAL OTHER FIFO RESULT FOLDERS FILES
CACHED is below MPIIO_CACHE_PATHS and holds `file` and misses-I/fJ for I < FOLDERS, J < FILES; LOCAL, on a local disk,
and OTHER, which nobody caches, hold `file`. The result is written as JSON.
"""
import ctypes
import errno
import json
import os
import statistics
import sys

STAT, OPEN_CLOSE, OPEN_READ_CLOSE = range(3)
# Many short rounds: most fit into one time slice, so the median is that of a quiet machine.
ROUNDS = 801
CALLS = 100


class Bench:
    def __init__(self, library):
        self.c = ctypes.CDLL(library)
        if self.c.bench_open_libc() != 0:
            sys.exit("bench: libc's own functions cannot be found")

    def batch(self, hooked, what, path, calls, expected):
        ns = ctypes.c_double()
        error = self.c.bench_batch(hooked, what, path.encode(), calls, expected, ctypes.byref(ns))
        if error != 0:
            sys.exit(f"bench: {path}: {'success' if error < 0 else os.strerror(error)} is not what was expected")
        return ns.value

    def series(self, hooked, folder, calls):
        ns = ctypes.c_double()
        error = self.c.bench_series(hooked, folder.encode(), calls, ctypes.byref(ns))
        if error != 0:
            sys.exit(f"bench: {folder}: {os.strerror(error)}")
        return ns.value


def row(name, aim, pairs):
    """pairs: (hooked, bare) nanoseconds of each round. The ratio is taken within a round: both saw the same machine."""
    ratios = [hooked / bare for hooked, bare in pairs]
    low, _, high = statistics.quantiles(ratios, n=4)
    return {
        "name": name,
        "hooked_ns": statistics.median(hooked for hooked, _ in pairs),
        "bare_ns": statistics.median(bare for _, bare in pairs),
        "ratio": statistics.median(ratios),
        "ratio_quartiles": [low, high],
        "aim": aim,
        "rounds": len(pairs),
    }


def alternate(bench, what, hooked_path, bare_path, expected=0):
    # What comes first warms up; the order changes from round to round.
    for hooked in (1, 0):
        bench.batch(hooked, what, hooked_path if hooked else bare_path, 5 * CALLS, expected)
    pairs = []
    for i in range(ROUNDS):
        result = {}
        for hooked in (i % 2, 1 - i % 2):
            result[hooked] = bench.batch(hooked, what, hooked_path if hooked else bare_path, CALLS, expected)
        pairs.append((result[1], result[0]))
    return pairs


def measure(bench, cached, local, other, folders, files):
    file, missing = cached + "/file", cached + "/missing"
    yield row("stat, hit", 0.2, alternate(bench, STAT, file, file))
    yield row("stat of a missing name, hit", 0.2, alternate(bench, STAT, missing, missing, expected=errno.ENOENT))
    yield row("stat, passed through", 1.05, alternate(bench, STAT, other + "/file", other + "/file"))
    yield row("open+close, passed through", 1.05, alternate(bench, OPEN_CLOSE, other + "/file", other + "/file"))
    yield row("open+read+close, hit against a local disk", 1.2,
              alternate(bench, OPEN_READ_CLOSE, file, local + "/file"))
    # A question can be asked once only: a fresh folder each round.
    pairs = []
    for i in range(folders):
        bench.series(0, f"{cached}/misses-{i}", files)  # warms the kernel up
        bare = bench.series(0, f"{cached}/misses-{i}", files)
        pairs.append((bench.series(1, f"{cached}/misses-{i}", files), bare))
    yield row("stat, miss (asks the agent)", None, pairs)


def main():
    library, cached, local, other, fifo, result, folders, files = sys.argv[1:]
    rank = int(os.environ.get("PMI_RANK", os.environ.get("SLURM_PROCID", "0")))
    if rank != 0:
        with open(fifo) as f:  # until rank 0 is done and everybody has gone
            f.read()
        return
    try:
        bench = Bench(library)
        if not bench.c.bench_is_served((cached + "/file").encode()):
            sys.exit("bench: the cache serves nothing")
        rows = list(measure(bench, cached, local, other, int(folders), int(files)))
        with open(result, "w") as f:
            json.dump(rows, f, indent=2)
    finally:
        os.close(os.open(fifo, os.O_WRONLY))


main()
