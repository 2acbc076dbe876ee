# SPDX-License-Identifier: BSD-3-Clause
"""memory.py - imports what argv names and prints what that costs in memory, once a rank and once a node.

usage: memory.py FOLDER-OF-MIOC_MPI session|served MODULE...     session: opens first what the cache would open

Lines: "rank NUMBER NODE KIB", of memory that is the rank's alone; "store NODE BYTES",
of the files that are in the node's.
"""
import glob
import os
import sys

folder, mode, names = sys.argv[1], sys.argv[2], sys.argv[3:]
for name in names:
    __import__(name)
sys.path.append(folder)
import mioc_mpi

if mode == "session":
    mioc_mpi.session()
mioc_mpi.init()
mioc_mpi.allreduce_sum(1.0)
with open("/proc/self/smaps_rollup") as rollup:
    private = sum(int(line.split()[1]) for line in rollup if line.startswith("Anonymous:"))
print("rank", mioc_mpi.rank(), os.uname().nodename, private, flush=True)
mioc_mpi.allreduce_sum(1.0)
for store in glob.glob("/dev/shm/mpiio_cache-*"):
    files = [os.path.join(folder, name) for folder, _, names in os.walk(store) for name in names]
    seen = {(st.st_dev, st.st_ino): st.st_blocks * 512 for st in map(os.lstat, files)}
    print("store", os.uname().nodename, sum(seen.values()), flush=True)
mioc_mpi.allreduce_sum(1.0)
mioc_mpi.finalize()
