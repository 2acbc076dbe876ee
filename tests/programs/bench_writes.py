# SPDX-License-Identifier: BSD-3-Clause
"""bench_writes.py - what a write to a cached file costs the writer: the last rank writes, the others sleep.

usage: bench_writes.py FILE DONE RESULT     DONE is made when all is measured; RESULT gets {"gap in s":
                                            [quartiles and longest in ms]}
"""
import json
import os
import statistics
import sys
import time

path, done, result = sys.argv[1:4]
os.stat(path)
if int(os.environ["PMI_RANK"]) != int(os.environ["PMI_SIZE"]) - 1:
    while not os.path.exists(done):
        time.sleep(0.1)
    sys.exit()
time.sleep(1)
figures = {}
for gap, count in (0, 200), (0.05, 60), (6, 4):
    took = []
    for k in range(count):
        time.sleep(gap)
        since = time.monotonic()
        os.utime(path, (k, k))
        took.append((time.monotonic() - since) * 1000)
    figures[gap] = [round(x, 3) for x in (*statistics.quantiles(took, n=4), max(took))]
with open(result, "w") as f:
    json.dump(figures, f)
open(done, "w").close()
