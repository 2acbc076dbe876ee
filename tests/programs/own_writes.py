# SPDX-License-Identifier: BSD-3-Clause
"""own_writes.py - the last rank writes where all kernels have just looked, and sees it; so do its node and the others.

usage: own_writes.py FOLDER-OF-MIOC_MPI FOLDER

FOLDER has data/text.txt, many/m0.py to many/m19.py ("N = 0"), old.py, and lib64, a link to lib. Prints what the writer
does not see of its own, what its node sees at once, and what each rank sees when $CLIENT_TIME is over.
"""
import importlib
import os
import sys

sys.path.append(sys.argv[1])
import client_view  # noqa: E402
import mioc_mpi  # noqa: E402

folder = sys.argv[2]
data, many = folder + "/data", folder + "/many"
mioc_mpi.init()
me, writer = mioc_mpi.rank(), mioc_mpi.size() - 1
sys.path.insert(0, folder)
wrong = []


def check(what, is_right):
    if not is_right:
        wrong.append(what)


def attempt(call, *arguments):
    try:
        return call(*arguments)
    except OSError as error:
        return error.strerror


def text(path):
    with open(path) as file:
        return file.read()


def put(path, content):
    with open(path, "w") as file:
        file.write(content)


def m(number):
    return "%s/m%d.py" % (many, number)


GONE = os.strerror(2)
names = [folder, data, many, folder + "/lib64/made", folder + "/lib64"]
names += ["%s/%s" % (data, name) for name in ("newdir", "newdir/sub", "newlink", "text.txt")]
names += ["%s/%s" % (data, name) for name in ("newpkg", "newpkg/__init__.py")]
names += ["%s/%s" % (folder, name) for name in ("many2", "many2/m1.py", "pkg", "pkg/__init__.py")]
names += ["%s/%s.py" % (folder, name) for name in ("old", "renamed", "hard")]
names += [m(i) for i in range(20)]


def names_come_and_go():
    os.mkdir(data + "/newdir")
    check("mkdir: is there", os.path.isdir(data + "/newdir"))
    check("mkdir: listed", "newdir" in os.listdir(data))
    check("mkdir: empty", attempt(os.listdir, data + "/newdir") == [])
    os.mkdir(data + "/newdir/sub")
    check("mkdir below: is there", os.path.isdir(data + "/newdir/sub/"))
    check("mkdir below: listed", attempt(os.listdir, data + "/newdir") == ["sub"])
    check("mkdir below: links", os.stat(data + "/newdir").st_nlink == 3)
    os.rmdir(data + "/newdir/sub")
    check("rmdir", not os.path.exists(data + "/newdir/sub") and attempt(os.listdir, data + "/newdir") == [])
    os.mkdir(folder + "/lib/made")
    check("mkdir by another name", os.path.isdir(folder + "/lib64/made") and "made" in os.listdir(folder + "/lib64"))
    os.symlink("text.txt", data + "/newlink")
    check("symlink", os.path.islink(data + "/newlink") and attempt(os.readlink, data + "/newlink") == "text.txt")
    check("symlink: leads there", attempt(text, data + "/newlink") == "text\n")
    os.unlink(m(5))
    check("unlink", not os.path.exists(m(5)) and attempt(text, m(5)) == GONE and "m5.py" not in os.listdir(many))
    os.link(m(4), folder + "/hard.py")
    check("link", os.stat(m(4)).st_nlink == 2 and os.path.samefile(m(4), folder + "/hard.py"))


def names_move():
    os.rename(m(6), folder + "/renamed.py")
    check("rename: old one", not os.path.exists(m(6)) and attempt(text, m(6)) == GONE)
    check("rename: new one", attempt(text, folder + "/renamed.py") == "N = 6\n")
    os.replace(m(7), m(8))
    check("replace", attempt(text, m(8)) == "N = 7\n" and not os.path.exists(m(7)))
    os.rename(many, folder + "/many2")
    check("rename of a folder: old name", not os.path.exists(many) and not os.path.exists(m(1)))
    check("rename of a folder: new name", attempt(text, folder + "/many2/m1.py") == "N = 1\n")
    os.rename(folder + "/many2", many)
    check("and back", attempt(text, m(1)) == "N = 1\n" and not os.path.exists(folder + "/many2/m1.py"))


def files_change():
    os.chmod(m(9), 0o640)
    check("chmod", os.stat(m(9)).st_mode & 0o777 == 0o640)
    os.utime(m(10), (1e9, 1e9))
    check("utime", os.stat(m(10)).st_mtime == 1e9)
    os.truncate(m(11), 3)
    check("truncate", os.path.getsize(m(11)) == 3 and attempt(text, m(11)) == "N =")
    put(m(12), "N = 'longer than it was'\n")
    check("rewrite", os.path.getsize(m(12)) == 25 and attempt(text, m(12)) == "N = 'longer than it was'\n")
    with open(m(13), "a") as file:
        file.write("more\n")
        file.flush()
        check("append, while it is open", os.path.getsize(m(13)) == 12)
    check("append", os.path.getsize(m(13)) == 12 and attempt(text, m(13)) == "N = 13\nmore\n")


def packages_come():
    os.mkdir(folder + "/pkg.tmp")
    put(folder + "/pkg.tmp/__init__.py", "X = 5\n")
    os.rename(folder + "/pkg.tmp", folder + "/pkg")
    os.unlink(folder + "/old.py")
    os.mkdir(data + "/newpkg")
    put(data + "/newpkg/__init__.py", "X = 6\n")
    check("packages", module_value("pkg") == 5 and module_value("data.newpkg") == 6 and module_value("old") is None)


def module_value(name):
    importlib.invalidate_caches()
    sys.modules.pop(name, None)
    try:
        return importlib.import_module(name).X
    except (ImportError, OSError):  # OSError: a listing is older than the rest
        return None


def see(path):
    """Attributes, and what is in it."""
    try:
        st = os.stat(path)
        inside = sorted(os.listdir(path)) if os.path.isdir(path) else text(path)
        return [os.path.basename(path), "%o %d" % (st.st_mode, st.st_nlink), inside]
    except OSError as error:
        return [os.path.basename(path), error.strerror]


def look():
    return [see(name) for name in names] + [module_value(name) for name in ("pkg", "data.newpkg", "old")]


look()
client_view.kernel_knows(names)
mioc_mpi.barrier()
if me == writer:
    for write in names_come_and_go, names_move, files_change, packages_come:
        write()
mioc_mpi.barrier()
print(me, "does not see of its own", wrong, flush=True)
at_once = look()
if client_view.must_see_at_once(writer):
    print(me, "at once", at_once, flush=True)
print(me, "in the end", client_view.settled(writer, look), flush=True)
mioc_mpi.finalize()
