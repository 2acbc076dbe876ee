# SPDX-License-Identifier: BSD-3-Clause
"""joins.py SHARED SOURCE ROUNDS JOINS WAY...: rank 0 looks at files, lets a program that is no interpreter remove them
in each of the ways (joins.c), and looks again. SOURCE is the shared filesystem's own folder: what is gone there must be
gone for stat()."""
import os, random, subprocess, sys

shared, source, rounds, program, ways = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5:]
names = 4


def files_of(way, number):
    return ["%s/%d_%d.py" % (way, number, i) for i in range(names)]


def look(name):
    try:
        return oct(os.stat(os.path.join(shared, name)).st_mode & 0o777)
    except FileNotFoundError:
        return "gone"


def truth(name):
    try:
        return oct(os.stat(os.path.join(source, name)).st_mode & 0o777)
    except FileNotFoundError:
        return "gone"


def run(way, number):
    files = files_of(way, number)
    for name in files:
        assert look(name) == "0o644", name
    # The store is found within half a millisecond; each round is interrupted at another moment of it.
    paths = [os.path.join(shared, name) for name in files]
    code = subprocess.run([program, way, str(random.randrange(600000)), *paths]).returncode
    # Of what a process did when it was killed nobody can tell.
    wrong = [(name, look(name), truth(name)) for name in files[way == "killed":] if look(name) != truth(name)]
    if code != 0 or wrong:
        print(way, number, "ended with", code, wrong, flush=True)
    return len(wrong) + (code != 0), sum(truth(name) != "0o644" for name in files)


if os.environ["PMI_RANK"] == "0":
    # Before anybody looks at their directories.
    for way in ways:
        os.mkdir(os.path.join(source, way))
        for number in range(rounds):
            for name in files_of(way, number):
                open(os.path.join(source, name), "w").close()
                os.chmod(os.path.join(source, name), 0o644)
    for way in ways:
        wrong, written = map(sum, zip(*(run(way, number) for number in range(rounds))))
        print(way, wrong, "wrong of", written if way.startswith("cancel") else rounds * names, flush=True)
