# SPDX-License-Identifier: BSD-3-Clause
"""imports.py - imports what argv names, then does what an MPI program does; prints what tells two runs apart.

usage: imports.py FOLDER-OF-MIOC_MPI|- MODULE...     -: no MPI

$IMPORTS_TOGETHER names an empty folder by which ranks without MPI wait until all of a Slurm step have imported, as
programs do. Otherwise a node's agent ends with its ranks, and the nodes below it import by themselves.
$IMPORTS_STAMPS names a folder in which each process writes a file. The first line says when the process began and when
it was through, in seconds since boot, and what processor time it took until then. Each further line is a step: its
name, when it was done, its processor time.
"""
import hashlib
import os
import sys
import time

steps = []


def done(step):
    steps.append((step, time.clock_gettime(time.CLOCK_BOOTTIME), time.process_time()))


done("script begins")
folder, names = sys.argv[1], sys.argv[2:]
for name in names:
    __import__(name)
done("imported")
modules = sorted((name, getattr(module, "__file__", None) or "") for name, module in sys.modules.items())
digest = hashlib.sha256(repr(modules).encode()).hexdigest()[:16]
line = f"{len(modules)} modules, {digest}"
if "scipy.linalg" in names:
    matrix = [[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]]
    line += f", eigenvalues {[round(float(x), 9) for x in sys.modules['scipy.linalg'].eigvalsh(matrix)]}"
if "pandas" in names:
    line += f", mean {sys.modules['pandas'].DataFrame({'a': [1, 2, 6]})['a'].mean():g}"
if "matplotlib.pyplot" in names:
    line += f", colours {sys.modules['matplotlib'].rcParams['axes.prop_cycle'].by_key()['color'][:2]}"
if folder != "-":
    sys.path.append(folder)
    import mioc_mpi

    mioc_mpi.init()
    done("MPI_Init")
    line += f", {mioc_mpi.size()} ranks, {mioc_mpi.allreduce_sum(1.0):g} of them here"
    mioc_mpi.finalize()
    done("MPI_Finalize")
elif "IMPORTS_TOGETHER" in os.environ:
    together = os.environ["IMPORTS_TOGETHER"]
    open(f"{together}/{os.environ['SLURM_PROCID']}", "w").close()
    while len(os.listdir(together)) < int(os.environ["SLURM_STEP_NUM_TASKS"]):
        time.sleep(0.02)
print(line)
if "IMPORTS_STAMPS" in os.environ:
    through, times = time.clock_gettime(time.CLOCK_BOOTTIME), os.times()
    with open("/proc/self/stat") as file:  # the second field, the name, may hold blanks
        began = int(file.read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
    with open(f"{os.environ['IMPORTS_STAMPS']}/{os.getpid()}", "w") as file:
        print(began, through, times.user + times.system, file=file)
        for step in steps:
            print(*step, sep="\t", file=file)
