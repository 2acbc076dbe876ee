#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""seen.py: prints what a process can see of itself: threads, children, descriptors, libraries, signals, limits.

A preload's own library and its copies of files are left out.
"""
import os
import resource
import signal
import sys


def status(name):
    with open("/proc/self/status") as file:
        return next(line.split()[1] for line in file if line.startswith(name + ":"))


def descriptors():
    seen = []
    for fd in sorted(map(int, os.listdir("/proc/self/fd"))):
        try:
            seen.append((fd, os.readlink("/proc/self/fd/%d" % fd).split(":")[0]))
        except OSError:
            pass  # the one that lists
    return seen


def libraries():
    with open("/proc/self/maps") as file:
        paths = {line.split(None, 5)[5].strip() for line in file if " r-xp " in line and "/" in line}
    return sorted({os.path.basename(path) for path in paths if "libmpiio_cache.so" not in path})


def is_child_there():
    try:
        os.waitpid(-1, os.WNOHANG)
        return True
    except ChildProcessError:
        return False


def handlers():
    return [(int(s), str(signal.getsignal(s))) for s in signal.valid_signals() if signal.getsignal(s)]


print("threads", len(os.listdir("/proc/self/task")), "children", is_child_there())
print("signals", status("SigCgt"), status("SigIgn"), status("SigBlk"), status("ShdPnd"), handlers())
print("descriptors", descriptors())
print("libraries", libraries())
print("limits", [resource.getrlimit(i) for i in range(16)])
print("affinity", sorted(os.sched_getaffinity(0)), "umask", os.umask(0o22), "cwd", os.getcwd())
print("environment", sorted(name for name in os.environ if name.startswith("MPIIO_") or name == "LD_PRELOAD"
                            and "libmpiio_cache" not in os.environ[name]))
sys.stdout.flush()
