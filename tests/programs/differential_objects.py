# SPDX-License-Identifier: BSD-3-Clause
"""differential_objects.py - loads every shared object of some packages and prints what the loader then says of it.

usage: differential_objects.py FOLDER PACKAGE|OBJECT...

Each object is loaded in a child of its own, because some cannot be loaded together. Those that load are then all loaded
in this process once more. A line holds rank, place and object, and then either dlerror()'s text, or the names that
link_map and dl_iterate_phdr give to the object and to all that it needs, and dladdr()'s file, symbol and offset of its
PyInit function.
"""
import ctypes
import os
import sys
from ctypes import POINTER, CFUNCTYPE, Structure, byref, c_char_p, c_int, c_long, c_size_t, c_ulong, c_void_p, cast

libc = ctypes.CDLL(None)
RTLD_DI_LINKMAP = 2
DT_NEEDED, DT_STRTAB, DT_SONAME = 1, 5, 14


class LinkMap(Structure):
    pass


LinkMap._fields_ = [("address", c_ulong), ("name", c_char_p), ("dynamic", POINTER(c_long)), ("next", POINTER(LinkMap)),
                    ("previous", POINTER(LinkMap))]


class Found(Structure):  # Dl_info
    _fields_ = [("file", c_char_p), ("base", c_ulong), ("symbol", c_char_p), ("address", c_ulong)]


class Header(Structure):  # the beginning of dl_phdr_info
    _fields_ = [("address", c_ulong), ("name", c_char_p)]


VISITOR = CFUNCTYPE(c_int, POINTER(Header), c_size_t, c_void_p)
libc.dlsym.restype = c_void_p
libc.dlsym.argtypes = [c_void_p, c_char_p]


def dynamic(object_map):
    """The needed names and the soname."""
    entries, i = [], 0
    while object_map.dynamic[2 * i] != 0:
        entries.append((object_map.dynamic[2 * i], object_map.dynamic[2 * i + 1]))
        i += 1
    strings = dict(entries).get(DT_STRTAB, 0)
    if strings < object_map.address:  # the loader has made it an address, but not in the vdso, which is read-only
        strings += object_map.address
    text = {tag: [ctypes.string_at(strings + value) for t, value in entries if t == tag]
            for tag in (DT_NEEDED, DT_SONAME)}
    return text[DT_NEEDED], text[DT_SONAME]


def visible():
    """address -> name, as unwinders and profilers see what is loaded."""
    names = {}

    def visit(header, size, context):
        names[header.contents.address] = header.contents.name
        return 0

    libc.dl_iterate_phdr(VISITOR(visit), None)
    return names


def closure(handle):
    """The names of an object and of all that it needs, breadth first.
    What else is loaded in this process does not matter."""
    first = POINTER(LinkMap)()
    assert libc.dlinfo(c_void_p(handle), RTLD_DI_LINKMAP, byref(first)) == 0
    loaded, at = {}, first
    while at.contents.previous:
        at = at.contents.previous
    while at:
        needed, soname = dynamic(at.contents)
        for key in soname + [os.path.basename(at.contents.name)]:
            loaded.setdefault(key, (at.contents, needed))
        at = at.contents.next
    todo, done, headers = [(first.contents, dynamic(first.contents)[0])], [], visible()
    while todo:
        found, needed = todo.pop(0)
        name = os.fsdecode(found.name)
        if name in done:
            continue
        done.append(name)
        assert os.fsdecode(headers[found.address]) == name or not name.startswith("/"), (headers[found.address], name)
        todo += [loaded[key] for key in needed if key in loaded] + [(LinkMap(0, b"missing " + key), [])
                                                                    for key in needed
                                                                     if key not in loaded]
    return done


def describe(path):
    try:
        library = ctypes.CDLL(path, sys.getdlopenflags())
    except OSError as error:
        return f"error: {error}"
    names = closure(library._handle)
    symbol = "PyInit_" + os.path.basename(path).split(".")[0]
    address, found = libc.dlsym(library._handle, symbol.encode()), Found()
    if address is None:
        return f"{names} no {symbol}"
    assert libc.dladdr(c_void_p(address), byref(found)) != 0
    return (f"{names} {os.fsdecode(found.file)} {os.fsdecode(found.symbol)} "
            f"{found.address - found.base:#x} {address - found.address}")


def in_child(path):
    """What a child that loads it says, or how it ends."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write_end, describe(path).encode())
        os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as f:
        text = f.read().decode()
    status = os.waitpid(child, 0)[1]
    return text if status == 0 else f"ends with {os.waitstatus_to_exitcode(status)}"


def objects(folder, package):
    if os.path.isfile(f"{folder}/{package}"):
        yield f"{folder}/{package}"
        return
    yield from (f"{folder}/{package}", f"{folder}/{package}/__init__.py", f"{folder}/{package}/missing.so")
    for parent, folders, files in os.walk(f"{folder}/{package}", followlinks=True):
        folders.sort()
        yield from (f"{parent}/{name}" for name in sorted(files) if name.endswith(".so") or ".so." in name)


def main():
    folder, packages = sys.argv[1], sys.argv[2:]
    rank = int(os.environ.get("PMI_RANK", "0"))
    paths = [path for package in packages for path in objects(folder, package)]
    lines, good = [], []
    for path in paths:
        text = in_child(path)
        lines.append(f"{rank} child {path} {text}\n")
        if text.startswith("["):
            good.append(path)
    for path in good:
        lines.append(f"{rank} here {path} {describe(path)}\n")
    # Whole and at once: ranks share one output.
    sys.stdout.writelines(lines)


main()
