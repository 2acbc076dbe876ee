# SPDX-License-Identifier: BSD-3-Clause
"""bench_dormant.py - what a process that has nothing to do with the cache takes longer under the preload.

usage: bench_dormant.py LIBRARY EMPTY ROUNDS      EMPTY: a preload library without content, what any preload costs
Runs each command plain, with the empty library and with ours in turn;
prints JSON with medians and the medians of ratios.
"""
import json
import os
import statistics
import sys
import time

library, empty, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
COMMANDS = {"python3 -c pass": ["/usr/bin/python3", "-c", "pass"], "bash -c :": ["/bin/bash", "-c", ":"]}
plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def seconds(command, preload):
    env = dict(plain, LD_PRELOAD=preload) if preload else plain
    started = time.perf_counter()
    pid = os.posix_spawn(command[0], command, env)
    os.waitpid(pid, 0)
    return time.perf_counter() - started


result = []
for name, command in COMMANDS.items():
    runs = [[seconds(command, preload) for preload in (None, empty, library)] for _ in range(rounds)]
    ratio = [statistics.median(run[i] / run[0] for run in runs) for i in range(3)]
    result.append({"name": name, "plain_ms": 1000 * statistics.median(run[0] for run in runs), "empty_ratio": ratio[1],
                   "ratio": ratio[2], "aim": 1.05})
json.dump(result, sys.stdout)
