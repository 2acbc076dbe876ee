# SPDX-License-Identifier: BSD-3-Clause
"""ends.py - a rank that a signal's handler ends.

usage: ends.py LIBRARY FOLDER VICTIMS HOW CODE THREADS SEED     VICTIMS: ranks, as 0 or 0,1;
                                                                the others end by themselves.
                                                                 THREADS 0: in malloc()
"""
import ctypes
import os
import random
import sys

library, folder, victims, how, code, threads, seed = sys.argv[1:]
rank = os.environ.get("PMI_RANK", "0")
sys.path.insert(0, folder)
import module  # noqa: E402, F401

os.write(1, b"rank %s\n" % rank.encode())
if rank in victims.split(",") and threads == "0":
    ctypes.CDLL(library).ends_in_malloc(how.encode(), int(code))
elif rank in victims.split(","):
    chance = random.Random(seed + rank)
    ctypes.CDLL(library).ends_run(folder.encode(), how.encode(), int(code), int(threads), chance.randrange(1000),
                                  chance.randrange(200, 30000))
