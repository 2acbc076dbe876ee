# SPDX-License-Identifier: BSD-3-Clause
"""property_calls.py - the calls of the property test: how each is made, and what is noted of its answer.

A call is a dict. "call" is its name, a function of Tree below. "path" is relative to the tree's root, and "via" says
by which of the root's names the call reaches it; with "at" it is relative to the working directory ("cwd") or to a
directory that is held open (its slot). "to" and "to_via" are the second path of a rename or link; "target", "text",
"mode", "size" and "time" are what the calls of those arguments get; a target that begins with "ROOT/" is absolute.
"slot" is the number of a descriptor that stays open.

An answer is [errno, value], and value is None where a call has nothing to tell but its success.
"""
import ctypes
import os
import stat
import struct
from errno import EBADF, EIO

libc = ctypes.CDLL(None, use_errno=True)
libc.fopen.restype = libc.realpath.restype = ctypes.c_void_p
libc.fopen.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
libc.fread.argtypes = libc.fwrite.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p]
libc.fread.restype = libc.fwrite.restype = ctypes.c_size_t
libc.fclose.argtypes = libc.ferror.argtypes = [ctypes.c_void_p]
libc.free.argtypes = [ctypes.c_void_p]

AT_FDCWD, AT_SYMLINK_NOFOLLOW = -100, 0x100
ROOM = 1 << 18  # more than any file here has
TYPES = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l"}
DT = {8: "f", 4: "d", 10: "l", 0: "?"}

READS = {"stat", "lstat", "statx", "access", "readlink", "realpath", "open", "fopen", "listdir", "scandir", "cscandir",
         "chdir", "hold", "held_stat", "held_read", "close"}


def fail():
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


def checked(result):
    return fail() if result == -1 else result


def told(st):
    kind = TYPES.get(stat.S_IFMT(st.st_mode), "?")
    return [st.st_ino, kind, stat.S_IMODE(st.st_mode), st.st_size, st.st_mtime_ns, st.st_nlink]


def contents(fd):
    """All bytes, or None of a directory."""
    parts = []
    try:
        while part := os.read(fd, ROOM):
            parts.append(part)
    except IsADirectoryError:
        return None
    return b"".join(parts)


def write_all(fd, text):
    if os.write(fd, text) != len(text):
        raise OSError(EIO, "short write")


class Tree:
    """One process's view of a tree: the names of its root, what it holds open, and its working directory."""

    def __init__(self, roots, is_shadow=False):
        self.roots, self.held, self.cwd, self.is_shadow = roots, {}, None, is_shadow
        self.is_there = not is_shadow  # the process's working directory is `cwd`

    def make(self, call):
        """Makes the call."""
        assert not call.get("path", "").startswith("/"), call  # stays in the tree
        try:
            return [0, getattr(self, call["call"])(call)]
        except OSError as error:
            return [error.errno, None]

    def enter(self):
        """The working directory is the process's, and a process plays several trees."""
        self.is_there = False
        os.chdir("/")
        if self.cwd is not None:
            try:
                os.fchdir(self.cwd)
                self.is_there = True
            except OSError:
                pass  # a client of NFS cannot go back to what another one has removed

    def leave(self):
        for fd in list(self.held.values()) + ([self.cwd] if self.cwd is not None else []):
            os.close(fd)
        self.held, self.cwd = {}, None
        if not self.is_shadow:
            os.chdir("/")

    def name(self, call, which="path"):
        """The path, for calls that take one alone."""
        at, path = call.get("at"), call[which]
        if at is None or (which == "to" and "to_via" in call):
            return self.roots[call.get("via" if which == "path" else "to_via", 0)] + "/" + path
        if at == "cwd" and self.cwd is None:
            raise OSError(EBADF, "not in the tree")  # the chdir failed
        if at == "cwd" and self.is_there:
            return path
        return "/proc/self/fd/%d/%s" % (self.cwd if at == "cwd" else self.slot(at), path)

    def place(self, call):
        """(path, dir_fd)"""
        at = call.get("at")
        if at is None or at == "cwd":
            return self.name(call), None
        return call["path"], self.slot(at)

    # --- Calls that read ---

    def stat(self, call):
        path, fd = self.place(call)
        return told(os.stat(path, dir_fd=fd))

    def lstat(self, call):
        path, fd = self.place(call)
        return told(os.lstat(path) if fd is None else os.stat(path, dir_fd=fd, follow_symlinks=False))

    def statx(self, call):
        path, fd = self.place(call)
        buffer = ctypes.create_string_buffer(256)
        checked(libc.statx(AT_FDCWD if fd is None else fd, path.encode(), 0, 0x7FF, buffer))
        places = ("I", 16), ("H", 28), ("Q", 32), ("Q", 40)
        nlink, mode, ino, size = (struct.unpack_from(form, buffer, at)[0] for form, at in places)
        seconds, nanoseconds = struct.unpack_from("qI", buffer, 112)
        return [ino, TYPES.get(stat.S_IFMT(mode), "?"), stat.S_IMODE(mode), size, seconds * 10**9 + nanoseconds, nlink]

    def access(self, call):
        path, fd = self.place(call)
        if fd is None:
            checked(libc.access(path.encode(), call["mode"]))
        else:
            checked(libc.faccessat(fd, path.encode(), call["mode"], 0))

    def readlink(self, call):
        path, fd = self.place(call)
        target = os.readlink(path, dir_fd=fd)
        return "ROOT" + target[len(self.roots[0]):] if target.startswith(self.roots[0] + "/") else target

    def realpath(self, call):
        """Without the root, if it begins with it."""
        buffer = ctypes.create_string_buffer(4097)
        if not libc.realpath(self.name(call).encode(), buffer):
            fail()
        real = buffer.value.decode()
        return real[len(self.roots[0]):] if real.startswith(self.roots[0]) else "not below " + real

    def open(self, call):
        path, fd = self.place(call)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=fd)
        try:
            return [told(os.fstat(fd)), contents(fd)]
        finally:
            os.close(fd)

    def fopen(self, call):
        stream = libc.fopen(self.name(call).encode(), b"r")
        if not stream:
            fail()
        buffer = ctypes.create_string_buffer(ROOM)
        count = libc.fread(buffer, 1, ROOM, stream)
        is_error = libc.ferror(stream)
        libc.fclose(stream)
        return None if is_error else buffer.raw[:count]

    def listdir(self, call):
        return os.listdir(self.name(call))

    def scandir(self, call):
        with os.scandir(self.name(call)) as entries:
            return [[entry.name, self.kind(entry), entry.inode()] for entry in entries]

    @staticmethod
    def kind(entry):
        return "l" if entry.is_symlink() else "d" if entry.is_dir(follow_symlinks=False) else "f"

    def cscandir(self, call):
        entries = ctypes.POINTER(ctypes.c_void_p)()
        count, out = checked(libc.scandir(self.name(call).encode(), ctypes.byref(entries), None, None)), []
        for i in range(count):
            head = ctypes.string_at(entries[i], 19)
            name = ctypes.string_at(entries[i] + 19).decode()
            out.append([name, DT.get(head[18], "?"), struct.unpack_from("Q", head)[0]])
            libc.free(entries[i])
        libc.free(entries)
        return [entry for entry in out if entry[0] not in (".", "..")]

    def chdir(self, call):
        if self.is_shadow:
            fd = os.open(self.name(call), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        else:
            os.chdir(self.name(call))
            fd = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        if self.cwd is not None:
            os.close(self.cwd)
        self.cwd, self.is_there = fd, not self.is_shadow

    # --- Descriptors that stay open ---

    def keep(self, call, fd):
        if call["slot"] in self.held:
            os.close(self.held[call["slot"]])
        self.held[call["slot"]] = fd
        return told(os.fstat(fd))

    def hold(self, call):
        path, fd = self.place(call)
        return self.keep(call, os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=fd))

    def hold_to_write(self, call):
        path, fd = self.place(call)
        return self.keep(call, os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, dir_fd=fd))

    def slot(self, number):
        if number not in self.held:
            raise OSError(EBADF, "not open")
        return self.held[number]

    def held_stat(self, call):
        return told(os.fstat(self.slot(call["slot"])))

    def held_read(self, call):
        return os.pread(self.slot(call["slot"]), ROOM, 0)

    def held_write(self, call):
        write_all(self.slot(call["slot"]), call["text"].encode())

    def held_truncate(self, call):
        os.ftruncate(self.slot(call["slot"]), call["size"])

    def held_chmod(self, call):
        os.fchmod(self.slot(call["slot"]), call["mode"])

    def held_utime(self, call):
        os.utime(self.slot(call["slot"]), ns=(call["time"], call["time"]))

    def close(self, call):
        os.close(self.slot(call["slot"]))
        del self.held[call["slot"]]

    # --- Calls that write ---

    def mkdir(self, call):
        path, fd = self.place(call)
        os.mkdir(path, call["mode"], dir_fd=fd)

    def rmdir(self, call):
        path, fd = self.place(call)
        os.rmdir(path, dir_fd=fd)

    def unlink(self, call):
        path, fd = self.place(call)
        os.unlink(path, dir_fd=fd)

    def rename(self, call):
        os.rename(self.name(call), self.name(call, "to"))

    def exchange(self, call, flags=2):
        checked(libc.renameat2(AT_FDCWD, self.name(call).encode(), AT_FDCWD, self.name(call, "to").encode(), flags))

    def noreplace(self, call):
        self.exchange(call, 1)

    def link(self, call):
        os.link(self.name(call), self.name(call, "to"), follow_symlinks=False)

    def symlink(self, call):
        path, fd = self.place(call)
        target = call["target"]
        os.symlink(self.roots[0] + target[4:] if target.startswith("ROOT/") else target, path, dir_fd=fd)

    def written(self, call, flags):
        path, fd = self.place(call)
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, call.get("mode", 0), dir_fd=fd)
        try:
            write_all(fd, call["text"].encode())
        finally:
            os.close(fd)

    def create(self, call):
        self.written(call, os.O_CREAT | os.O_EXCL)

    def put(self, call):
        self.written(call, os.O_CREAT | os.O_TRUNC)

    def append(self, call):
        self.written(call, os.O_APPEND)

    def fput(self, call):
        """As put, by stdio."""
        stream = libc.fopen(self.name(call).encode(), b"w")
        if not stream:
            fail()
        text = call["text"].encode()
        libc.fwrite(text, 1, len(text), stream)
        libc.fclose(stream)

    def truncate(self, call):
        os.truncate(self.name(call), call["size"])

    def chmod(self, call):
        path, fd = self.place(call)
        os.chmod(path, call["mode"], dir_fd=fd)

    def utime(self, call):
        path, fd = self.place(call)
        os.utime(path, ns=(call["time"], call["time"]), dir_fd=fd)
