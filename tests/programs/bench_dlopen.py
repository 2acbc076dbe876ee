# SPDX-License-Identifier: BSD-3-Clause
"""bench_dlopen.py - rank 0, whose loader is patched, times loads of libraries from the cache. Rank 1, whose loader is
not patched, times the same libraries on a local disk. Both have MPI in memory, and take turns on one processor. Used by
`scripts/bench dlopen`.

usage: bench_dlopen.py LIBRARY CACHED LOCAL REQUESTS ANSWERS RESULT
CACHED is below MPIIO_CACHE_PATHS, LOCAL on a local disk. Both hold the same folders of libraries; each folder is one
row of the result. needed.txt names the other libraries that a folder's libraries need, which are loaded first. REQUESTS
and ANSWERS are FIFOs between the ranks. The result is written as JSON.
"""
import ctypes
import json
import os
import statistics
import sys

ROUNDS = 101
AIMS = {"modules": 1.12, "small": 1.08, "web": 1.08}
PASSED = 1.04


class Here:
    """Loads in this process."""

    def __init__(self, library):
        self.c = ctypes.CDLL(library)
        self.c.bench_load.restype = ctypes.c_char_p

    def hold(self, names):
        self.held = [ctypes.CDLL(name) for name in names]

    def load(self, paths):
        ns, took = ctypes.c_double(), []
        for path in paths:
            error = self.c.bench_load(os.fsencode(path), ctypes.byref(ns))
            if error is not None:
                sys.exit(f"bench: {path}: {os.fsdecode(error)}")
            took.append(ns.value)
        return took


class There:
    """The same in the other rank."""

    def __init__(self, requests, answers):
        self.requests = open(requests, "w")
        self.answers = open(answers)

    def ask(self, what, arguments):
        print(json.dumps([what, arguments]), file=self.requests, flush=True)
        answer = self.answers.readline()
        return json.loads(answer) if answer else sys.exit("bench: the other rank has ended")

    def hold(self, names):
        self.ask("hold", names)

    def load(self, paths):
        return self.ask("load", paths)


def answer(here, requests, answers):
    with open(requests) as lines, open(answers, "w") as out:
        for line in lines:
            what, arguments = json.loads(line)
            print(json.dumps(getattr(here, what)(arguments)), file=out, flush=True)


def row(name, aim, pairs, count):
    """pairs: (hooked, bare) nanoseconds of one load, `count` libraries in turn. The ratio is taken within a pair: both
    saw the same machine. And once more for the set: what all of it takes, each library at its median."""
    ratios = [hooked / bare for hooked, bare in pairs]
    low, _, high = statistics.quantiles(ratios, n=4)
    yield {
        "name": name,
        "hooked_ns": statistics.median(hooked for hooked, _ in pairs),
        "bare_ns": statistics.median(bare for _, bare in pairs),
        "ratio": statistics.median(ratios),
        "ratio_quartiles": [low, high],
        "aim": None,
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


def alternate(cached, plain, cached_paths, plain_paths):
    """All libraries in a row, on both sides in turn; the first rounds warm up, and the order changes."""
    pairs = []
    for i in range(-3, ROUNDS):
        took = [None, None]
        for side in (i % 2, 1 - i % 2):
            took[side] = cached.load(cached_paths) if side else plain.load(plain_paths)
        if i >= 0:
            pairs += zip(took[1], took[0])
    return pairs


def measure(cached, plain, cached_folder, local_folder):
    for folder in sorted(os.listdir(local_folder)):
        with open(f"{local_folder}/{folder}/needed.txt") as f:
            needed = f.read().split()
        cached.hold(needed)
        plain.hold(needed)
        with open(f"{local_folder}/{folder}/title.txt") as f:
            title = f.read().strip()
        names = sorted(name for name in os.listdir(f"{local_folder}/{folder}") if name.endswith(".so"))
        paths, originals = ([f"{place}/{folder}/{name}" for name in names] for place in (cached_folder, local_folder))
        yield from row(f"dlopen, {title}", AIMS[folder], alternate(cached, plain, paths, originals), len(names))
        # The library's own calls while it loads a library that is nobody's to serve.
        yield from row("the same, passed through", PASSED, alternate(cached, plain, originals, originals), len(names))


def check_served(here, path):
    """The store's names are in memory while it is loaded."""
    library = ctypes.CDLL(path)
    if not here.c.bench_is_mapped(b"/mpiio_cache-"):
        sys.exit("bench: the cache serves no libraries")
    ctypes.CDLL(None).dlclose(ctypes.c_void_p(library._handle))


def main():
    library, cached, local, requests, answers, result = sys.argv[1:]
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    here = Here(library)
    if int(os.environ.get("PMI_RANK", os.environ.get("SLURM_PROCID", "0"))) != 0:
        return answer(here, requests, answers)
    there = There(requests, answers)
    check_served(here, f"{cached}/small/lib00.so")
    rows = list(measure(here, there, cached, local))
    with open(result, "w") as f:
        json.dump(rows, f, indent=2)


main()
