# SPDX-License-Identifier: BSD-3-Clause
"""bench_start.py - what the cache costs a rank's start.

usage: bench_start.py EXEC LIBRARY HOSTS ROUNDS   EXEC: the program bench_exec; HOSTS: the fixture simulated-hosts
Runs jobs of 1 x 4 and 4 x 4 ranks plain and cached in turn, and prints JSON: seconds from exec to the program's first
line (medians over ranks and rounds, the median of the rounds' ratios), and what a rank has more: KiB of memory of its
own, threads, descriptors, libraries.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile

RANK = """
import time
now = time.monotonic()
import os
def count(path): return len(os.listdir("/proc/self/" + path))
own = 0
for line in open("/proc/self/smaps_rollup"):
    if line.startswith(("Private_Clean", "Private_Dirty")):
        own += int(line.split()[1])
libraries = {line.split()[5] for line in open("/proc/self/maps") if " r-xp " in line and "/" in line}
os.write(1, b"%s\\n" % repr([now - float(os.environ["BENCH_EXEC"]), own, count("task"), count("fd"),
                             len(libraries)]).encode())
time.sleep(0.5) # so that all have started before one ends
"""


def job(launcher, library):
    program, python = sys.argv[1], ["/usr/bin/python3", "-S", "-c", RANK]
    out = subprocess.run(launcher + [program, library] + python, stdout=subprocess.PIPE, check=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def main():
    library, hosts, rounds = sys.argv[2], sys.argv[3], int(sys.argv[4])
    folder = tempfile.mkdtemp()
    os.environ.update(MPIIO_CACHE_PATHS="/usr/lib/python3.11:" + folder, XDG_CACHE_HOME=folder)
    layouts = {"1 x 4": ["mpiexec.mpich", "-n", "4"], "4 x 4": [hosts, "4", "4"]}
    result = []
    for name, launcher in layouts.items():
        job(launcher, ""), job(launcher, library)
        runs = [(job(launcher, ""), job(launcher, library)) for _ in range(rounds)]
        middle = [[statistics.median(rank[0] for rank in side) for side in run] for run in runs]
        # Of the launcher's own descriptors a later rank has more: so all ranks' together are compared.
        more = [max((sum(rank[i] for rank in cached) - sum(rank[i] for rank in plain)) / len(plain)
                    for plain, cached in runs) for i in range(1, 5)]
        result.append({"name": name, "plain_ms": 1000 * statistics.median(m[0] for m in middle),
                       "cached_ms": 1000 * statistics.median(m[1] for m in middle),
                       "ratio": statistics.median(m[1] / m[0] for m in middle), "aim": 1.05,
                       "kib": statistics.median(statistics.median(rank[1] for rank in cached) -
                                                statistics.median(rank[1] for rank in plain)
                                                for plain, cached in runs),
                       "threads": more[1], "descriptors": more[2], "libraries": more[3]})
    json.dump(result, sys.stdout)


main()
