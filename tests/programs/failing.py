"""failing.py VERSION-SCRIPT SHARED SOURCE: rank 1 makes each exported call that writes, on paths that changed behind
the cache's back.

SOURCE is the folder that SHARED is a mount of: the cache hears nothing of changes there. In each situation the rank
looks at a path, the path changes, a writing function is called on it, and the rank looks again. If the call succeeds,
or fails because of what is at the path, the rank must then see what plain sees. Prints one line a call and situation;
the last line counts the errors of each function.
"""
import atexit
import ctypes
import errno
import os
import re
import shutil
import socket
import sys
import time

script, shared, source, me = *sys.argv[1:4], os.environ["PMI_RANK"]
libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, NOREPLACE, EXCHANGE = -100, 1, 2
TAUGHT = {errno.EEXIST, errno.EADDRINUSE, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENOTEMPTY}

# --- Situations: what is there when the rank looks, and what somebody makes of it -------------------------------------


def write(path, text="text"):
    with open(path, "w") as f:
        f.write(text)


def nothing(path):
    pass


def file(path):
    write(path)


def folder(path):
    os.mkdir(path)


def full_folder(path):
    os.mkdir(path)
    write(path + "/inside")


def link(path):
    os.symlink("target", path)
    write(os.path.dirname(path) + "/target")


def loop(path):
    os.symlink(os.path.basename(path), path)


def clear(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


# The path's own change, and its parent's.
CHANGES = {nothing: (file, folder, link, loop), file: (nothing, folder, link, loop),
           folder: (nothing, full_folder, file), full_folder: (folder,),
           link: (nothing, file)}
SITUATIONS = ([(a, b, False) for a in CHANGES for b in CHANGES[a]]
              + [(full_folder, b, True) for b in (nothing, file, loop)])


# --- Looking ----------------------------------------------------------------------------------------------------------


def attempt(function, *arguments):
    try:
        return function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]


def kind_of(st):
    return st if isinstance(st, str) else "%o" % (st.st_mode >> 12)


def read(path):
    if not os.path.isfile(path):
        return None  # a FIFO would be waited for
    with open(path) as f:
        return f.read(4)


def look(path):
    parent, name = os.path.split(path)
    above, parent_name = os.path.split(parent)
    return [kind_of(attempt(os.lstat, path)), kind_of(attempt(os.stat, path)), attempt(os.access, path, os.R_OK),
            attempt(os.readlink, path), attempt(read, path), attempt(lambda: sorted(os.listdir(path))),
            attempt(lambda: name in os.listdir(parent)), kind_of(attempt(os.stat, parent)),
            parent_name in os.listdir(above)]


# --- Calls ------------------------------------------------------------------------------------------------------------

CALLS = {}


def one(*names):
    def note(function):
        for name in names:
            CALLS[name] = [lambda path, name=name: function(getattr(libc, name), path)]
    return note


def two(*names):
    """`function` is given what was looked at as the first or the second of two paths; the other one is made for it."""
    def note(function):
        for name in names:
            CALLS[name] = [lambda path, name=name: function(getattr(libc, name), path, fresh("none")),
                           lambda path, name=name: function(getattr(libc, name), fresh("file"), path),
                           lambda path, name=name: function(getattr(libc, name), fresh("folder"), path)]
    return note


def fresh(kind):
    """A name beside the looked-at one's folder, of something new."""
    path = os.path.join(top, "fresh-" + kind)
    clear(path)
    {"none": nothing, "file": file, "folder": folder}[kind](path)
    return path.encode()


def closed(fd):
    if fd >= 0:
        os.close(fd)
    return fd


def template(path):
    return ctypes.create_string_buffer(os.path.dirname(path) + b"/made-XXXXXX")


one("unlink", "remove", "rmdir")(lambda f, path: f(path))
one("unlinkat")(lambda f, path: f(AT_FDCWD, path, 0x200))
one("mkdir", "mkfifo")(lambda f, path: f(path, 0o755))
one("mkdirat", "mkfifoat")(lambda f, path: f(AT_FDCWD, path, 0o755))
one("mknod")(lambda f, path: f(path, 0o100644, 0))
one("mknodat")(lambda f, path: f(AT_FDCWD, path, 0o100644, 0))
one("__xmknod")(lambda f, path: f(0, path, 0o100644, ctypes.byref(ctypes.c_ulong(0))))
one("__xmknodat")(lambda f, path: f(0, AT_FDCWD, path, 0o100644, ctypes.byref(ctypes.c_ulong(0))))
one("symlink")(lambda f, path: f(b"target", path))
one("symlinkat")(lambda f, path: f(b"target", AT_FDCWD, path))
two("rename", "link")(lambda f, a, b: f(a, b))
two("renameat")(lambda f, a, b: f(AT_FDCWD, a, AT_FDCWD, b))
two("linkat")(lambda f, a, b: f(AT_FDCWD, a, AT_FDCWD, b, 0))
two("renameat2")(lambda f, a, b: f(AT_FDCWD, a, AT_FDCWD, b, NOREPLACE))
one("truncate", "truncate64")(lambda f, path: f(path, ctypes.c_long(1)))
one("chmod")(lambda f, path: f(path, 0o755))
one("fchmodat")(lambda f, path: f(AT_FDCWD, path, 0o755, 0))
one("chown", "lchown")(lambda f, path: f(path, 0, 0))
one("fchownat")(lambda f, path: f(AT_FDCWD, path, 0, 0, 0))
one("utime", "utimes", "lutimes")(lambda f, path: f(path, None))
one("utimensat")(lambda f, path: f(AT_FDCWD, path, None, 0))
one("futimesat")(lambda f, path: f(AT_FDCWD, path, None))
one("setxattr", "lsetxattr")(lambda f, path: f(path, b"user.x", b"y", 1, 0))
one("removexattr", "lremovexattr")(lambda f, path: f(path, b"user.x"))
one("open", "open64")(lambda f, path: closed(f(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)))
one("openat", "openat64")(lambda f, path: closed(f(AT_FDCWD, path, os.O_WRONLY | os.O_NOFOLLOW)))
one("creat", "creat64")(lambda f, path: closed(f(path, 0o644)))
one("__open_2", "__open64_2")(lambda f, path: closed(f(path, os.O_RDWR)))
one("__openat_2", "__openat64_2")(lambda f, path: closed(f(AT_FDCWD, path, os.O_WRONLY | os.O_TRUNC)))
one("mkstemp", "mkstemp64")(lambda f, path: closed(f(template(path))))
one("mkostemp", "mkostemp64", "mkstemps", "mkstemps64")(lambda f, path: closed(f(template(path), 0)))
one("mkostemps", "mkostemps64")(lambda f, path: closed(f(template(path), 0, 0)))


@one("mkdtemp")
def _(f, path):
    f.restype = ctypes.c_void_p
    return 0 if f(template(path)) else -1


@one("fopen", "fopen64")
def _(f, path):
    f.restype = ctypes.c_void_p
    stream = f(path, b"r+")
    return libc.fclose(ctypes.c_void_p(stream)) if stream else -1


@one("freopen", "freopen64")
def _(f, path):
    libc.fopen.restype = f.restype = ctypes.c_void_p
    stream = f(path, b"wx", ctypes.c_void_p(libc.fopen(b"/dev/null", b"r")))
    return libc.fclose(ctypes.c_void_p(stream)) if stream else -1


@one("bind")
def _(f, path):
    with socket.socket(socket.AF_UNIX) as s:
        address = ctypes.create_string_buffer(socket.AF_UNIX.to_bytes(2, sys.byteorder) + path)
        return f(s.fileno(), address, 2 + len(path) + 1)


# Reading calls that are real ones though the name is the cache's.
one("chdir")(lambda f, path: f(path) or os.chdir("/") or 0)
CALLS["O_PATH"] = [lambda path: closed(libc.open(path, os.O_PATH | os.O_DIRECTORY))]
CALLS["O_TMPFILE"] = [lambda path: closed(libc.open(path, os.O_TMPFILE | os.O_WRONLY, 0o600))]

# --- All of them ------------------------------------------------------------------------------------------------------

# What they do, if they can, is no write to the path.
OF_OTHER = {"chdir", "O_PATH", "O_TMPFILE"} | {name for name in CALLS if re.match("mk.*te?mps?", name)}
NO_CALL = {"posix_spawn_file_actions_addopen"}


def exported():
    """Those of the version script's sections that write by a path."""
    names = set()
    with open(script) as f:
        for section, text in re.findall(r"/\* (.*?) \*/\n(.*?)(?=/\*)", f.read(), re.S):
            if re.search(r"wrap_(write|open|stdio)\.c", section):
                names.update(re.findall(r"\w+", text))
    return names


missing = exported() - set(CALLS) - NO_CALL
if missing:
    sys.exit("failing.py: no call of %s" % sorted(missing))
over = source + ".over"
if me != "1":
    while not os.path.exists(over): # the statistics are made at this rank's end
        time.sleep(0.01)
    os.unlink(over)
    sys.exit()
atexit.register(lambda: open(over, "w").close())
taught = dict.fromkeys(CALLS, 0)
number = 0
for name, calls in CALLS.items():
    for call in calls:
        for before, after, of_parent in SITUATIONS:
            number += 1
            inner = "%s.%d" % (me, number)
            top, behind = os.path.join(shared, inner), os.path.join(source, inner)
            os.mkdir(top)
            os.mkdir(top + "/parent")
            changed = "parent" if of_parent else "parent/name"
            if not of_parent:
                before(top + "/parent/name")
            else:
                write(top + "/parent/name")
            path = top + "/parent/name"
            look(path)
            clear(os.path.join(behind, changed))
            after(os.path.join(behind, changed))
            ctypes.set_errno(0)
            rc = call(path.encode())
            error = ctypes.get_errno()
            # That a folder is there says nothing of what is in it.
            is_about = error == errno.ENOTEMPTY if {before, after} == {folder, full_folder} else error in TAUGHT
            if is_about if rc < 0 else name not in OF_OTHER:
                taught[name] += rc < 0
                print(me, name, before.__name__, after.__name__, of_parent, errno.errorcode.get(error, 0) if rc < 0
                      else "done", *look(path), flush=True)
            shutil.rmtree(behind)
print(me, "errors", taught, flush=True)
if not all(taught.values()):
    sys.exit("failing.py: some call was never told what is where")
