# SPDX-License-Identifier: BSD-3-Clause
"""misled.py - a kernel takes a directory for removed that is there: what ranks of the other node see in it.

usage: misled.py FOLDER-OF-MIOC_MPI FOLDER

Four ranks on two nodes. Two directories change places, by node 1. Node 0 removes the empty one by its new name, while
its kernel still has the full one there: that one it marks as removed, for as long as it knows it. Node 0 asks first,
and then node 1 looks, for which all is there. Only its ranks print. It is done again until node 0's kernel is misled,
10 times at most: a busy machine may let the client's time pass.
"""
import os
import sys
import time

sys.path.append(sys.argv[1])
import client_view  # noqa: E402
import mioc_mpi  # noqa: E402

EXCHANGE = 2
folder = sys.argv[2]
mioc_mpi.init()
me = mioc_mpi.rank()
NAMES = "empty/deep.py", "empty/sub", "empty/sub/x.py", "empty/none.py", "empty", "full"


def make(top):
    os.makedirs(top + "/full/sub")
    for name in "full/deep.py", "full/sub/x.py":
        with open("%s/%s" % (top, name), "w") as file:
            file.write("value = 'deep'\n")
    os.mkdir(top + "/empty")


def is_missing(path):
    """To this rank's kernel, whatever the cache knows."""
    buffer = client_view.ctypes.create_string_buffer(256)
    return client_view.libc.syscall(client_view.STATX, client_view.AT_FDCWD, os.fsencode(path), 0,
                                    client_view.BASIC_STATS, buffer) != 0


def attempt(top):
    """Whether node 0's kernel is misled."""
    if me == 2:
        make(top)
    time.sleep(client_view.CLIENT_TIME)  # the cache asked whether that was there, so node 0's kernel may know that not
    mioc_mpi.barrier()
    if me == 0:  # but not what is in them: it would find again what it has looked for before
        known = [not is_missing("%s/%s" % (top, name)) for name in ("full", "empty")]
        assert all(known)
        held = client_view.libc.syscall(client_view.OPENAT, client_view.AT_FDCWD, os.fsencode(top + "/full"), os.O_PATH)
    mioc_mpi.barrier()
    if me == 2:
        at = client_view.AT_FDCWD
        ends = os.fsencode(top + "/full"), os.fsencode(top + "/empty")
        assert client_view.libc.renameat2(at, ends[0], at, ends[1], EXCHANGE) == 0
    mioc_mpi.barrier()
    if me == 0:
        os.rmdir(top + "/full")
    mioc_mpi.barrier()
    time.sleep(client_view.CLIENT_TIME)  # no client has anything of before
    return client_view.of_rank(0, is_missing(top + "/empty/deep.py"))  # and keeps `held`


def seen(top, name):
    path = "%s/%s" % (top, name)
    try:
        if not os.path.isdir(path):
            with open(path) as file:
                return os.path.exists(path), file.read()
        return sorted(os.listdir(path)), os.stat(path).st_nlink, os.access(path, os.R_OK)
    except OSError as error:
        return error.strerror


for number in range(10):
    top = "%s/misled%d" % (folder, number)
    is_misled = attempt(top)
    if is_misled:
        break
for node in 0, 1:
    if me // 2 == node:
        looked = [(name, seen(top, name)) for name in NAMES]
    mioc_mpi.barrier()
if me >= 2:
    print(me, is_misled, looked, flush=True)
mioc_mpi.finalize()
