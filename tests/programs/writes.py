# SPDX-License-Identifier: BSD-3-Clause
"""writes.py - one rank writes below a cached prefix, and behind a barrier all ranks look; prints what they see.

usage: writes.py FOLDER-OF-MIOC_MPI FOLDER WRITER ROUNDS [FILE]

Run plain and cached it must print the same. Where $CLIENT_TIME lets other nodes see the old state for a time, they say
what the writer sees, and what they see themselves that neither is nor was. FILE gets what the writer's calls took, in
ms: the median and the longest.
"""
import importlib
import os
import shutil
import stat
import statistics
import sys
import time

sys.path.append(sys.argv[1])
import client_view  # noqa: E402
import mioc_mpi  # noqa: E402

folder, writer, rounds = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
mioc_mpi.init()
me = mioc_mpi.rank()
sys.path.insert(0, folder)
took = []


def at(name):
    return os.path.join(folder, name)


def put(name, text, mode="w"):
    with open(at(name), mode) as f:
        f.write(text)


def atomically(name, text):
    put(name + ".tmp", text)
    os.replace(at(name + ".tmp"), at(name))


def half_written(name, text):
    """In place before it is complete."""
    f = open(at(name + ".tmp"), "w")
    os.rename(at(name + ".tmp"), at(name))
    f.write(text)
    f.flush()
    half_written.open = f


def package(name):
    os.mkdir(at(name))
    put(name + "/__init__.py", "value = 'package'")
    os.mkdir(at(name + "/data"))


def by_descriptor(name):
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.rename("moved%d.py" % name, "again%d.py" % name, src_dir_fd=fd, dst_dir_fd=fd)
    os.utime("again%d.py" % name, (1000, 2000), dir_fd=fd)
    os.chmod("again%d.py" % name, 0o640, dir_fd=fd)
    os.close(fd)


def exchange(a, b):
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, at(a).encode(), -100, at(b).encode(), 2) != 0:  # RENAME_EXCHANGE
        os.rename(at(a), at("x"))  # not every filesystem can
        os.rename(at(b), at(a))
        os.rename(at("x"), at(b))


def attempt(call, *arguments):
    try:
        return call(*arguments)
    except OSError as error:
        return error.strerror


def attributes(path):
    st = os.stat(path)
    is_dir = stat.S_ISDIR(st.st_mode)
    return "mode %o %d %d" % (st.st_mode, 0 if is_dir else st.st_nlink, int(st.st_mtime) if st.st_mtime < 1e9 else 0)


def content(path):
    try:
        with open(path) as f:
            return f.read()
    except IsADirectoryError:
        return str(sorted(os.listdir(path)))


def see(name):
    """All that can be seen of a name, in every way that has a record of its own."""
    path = at(name)
    return [attempt(attributes, path), attempt(content, path), attempt(os.readlink, path), os.access(path, os.R_OK),
            os.path.realpath(path) == path]


def imported(name):
    importlib.invalidate_caches()
    sys.modules.pop(name, None)
    try:
        return str(importlib.import_module(name).value)
    except (ImportError, SyntaxError) as error:
        return str(error)
    except (OSError, AttributeError) as error:
        # A listing, or a name, is older than the rest. A package whose __init__.py is not known yet is a namespace.
        return "No module named %r" % name if client_view.CLIENT_TIME else str(error)


def look(things):
    return {thing: [imported(thing[7:])] if thing.startswith("import ") else see(thing) for thing in things}


def steps(k):
    """(write, names to look at, modules to import)"""
    new, pkg = "new%d" % k, "pkg%d" % k
    yield lambda: put(new + ".py", "value = 'first'"), [new + ".py", "."], [new, "sometime"]
    yield lambda: atomically(new + ".py", "value = 'second, longer'"), [new + ".py", new + ".py.tmp"], [new]
    yield lambda: half_written("half%d.py" % k, "value = 'whole'"), ["half%d.py" % k], ["half%d" % k]
    yield lambda: half_written.open.close(), [], []
    yield lambda: package(pkg), [pkg, pkg + "/__init__.py", pkg + "/data", pkg + "/none"], [pkg]
    yield lambda: os.symlink(new + ".py", at("link%d.py" % k)), ["link%d.py" % k], ["link%d" % k]
    yield lambda: os.rename(at("old%d.py" % k), at("moved%d.py" % k)), ["old%d.py" % k, "moved%d.py" % k], ["old%d" % k]
    yield lambda: by_descriptor(k), ["moved%d.py" % k, "again%d.py" % k], ["again%d" % k]
    yield (lambda: os.link(at("again%d.py" % k), at("linked%d.py" % k)),
           ["again%d.py" % k, "linked%d.py" % k], ["linked%d" % k])
    yield lambda: exchange("one.py", "two.py"), ["one.py", "two.py"], ["one", "two"]
    yield lambda: os.truncate(at("one.py"), 11), ["one.py"], []
    yield lambda: os.rename(at(pkg), at(pkg + "x")), [pkg, pkg + "x", pkg + "/data", pkg + "x/data"], [pkg, pkg + "x"]
    yield lambda: shutil.rmtree(at(pkg + "x")), [pkg + "x", pkg + "x/__init__.py"], [pkg + "x"]
    yield lambda: os.unlink(at(new + ".py")), [new + ".py", "link%d.py" % k, "."], [new, "link%d" % k]
    yield lambda: put("one.py", "value = 1"), ["one.py"], ["one"]
    # By one name known, by the other written.
    deep = "inner/deep%d.py" % k
    yield lambda: put("lib/" + deep, "value = 'new'"), ["lib64/" + deep, "lib64/inner", "lib64/none"], []
    yield (lambda: os.rename(at("lib/" + deep), at("lib64/inner/other%d.py" % k)),
           ["lib64/" + deep, "lib/inner/other%d.py" % k], [])
    yield lambda: os.unlink(at("lib64/inner/other%d.py" % k)), ["lib/inner/other%d.py" % k, "lib/inner"], []
    yield lambda: os.mkdir(at("lib/made%d" % k)), ["lib64/made%d" % k, "lib64"], []
    yield lambda: os.utime(at("lib/deep.py"), (k, k)), ["lib64/deep.py"], ["lib64.deep"]
    yield (lambda: (os.symlink("v%d" % (1 + k % 2), at("v.new")), os.replace(at("v.new"), at("v"))),
           ["v", "v/mod.py"], [])
    yield lambda: put("v/mod.py", "value = %d" % k), ["v1/mod.py", "v2/mod.py", "v/mod.py"], ["v.mod"]


for k in range(rounds):
    all_steps = [(write, names + ["import " + name for name in modules]) for write, names, modules in steps(k)]
    all_things = dict.fromkeys(thing for _, things in all_steps for thing in things)
    history = client_view.History(writer, look, list(all_things))
    for number, (write, things) in enumerate(all_steps):
        history.judge(things + ["one.py"])  # known, before it is written
        client_view.kernel_knows([at(thing) for thing in things if not thing.startswith("import ")] + [folder])
        mioc_mpi.barrier()
        if me == writer:
            since = time.monotonic()
            write()
            took.append((time.monotonic() - since) * 1000)
        mioc_mpi.barrier()
        print(me, k, number, history.judge(things), flush=True)
        mioc_mpi.barrier()
    print(me, k, "in the end", history.settle(), flush=True)
if me == writer and len(sys.argv) > 5:
    put(sys.argv[5], "%.3f %.3f\n" % (statistics.median(took), max(took)))
mioc_mpi.finalize()
