# SPDX-License-Identifier: BSD-3-Clause
"""descriptor_names.py - prints the functions of libc's headers that take a descriptor, one a line.

usage: descriptor_names.py        all that a C program with _GNU_SOURCE can call
"""
import os
import re
import subprocess

FOLDERS = "/usr/include", "/usr/include/x86_64-linux-gnu", "/usr/include/sys", "/usr/include/x86_64-linux-gnu/sys"
# Of other languages, for other libraries, or not to be included by programs.
NOT_PROGRAMS = re.compile(r"(^|/)(_|python|c\+\+|linux|asm|bits|gnu|"
                          r"rpcsvc|scsi|video|sound|rdma|xen|misc|mtd|drm|finclude)")

NOT_IN_LIBC = {"bindresvport6", "gtty", "stty"}  # declared only


def headers():
    """Names of headers that belong to libc6-dev."""
    listed = subprocess.run(["dpkg", "-L", "libc6-dev"], check=True, capture_output=True, text=True).stdout.split()
    for path in listed:
        folder = next((f for f in FOLDERS[1::-1] if path.startswith(f + "/")), None)
        if folder and path.endswith(".h") and os.path.isfile(path):
            name = path[len(folder) + 1:]
            if not NOT_PROGRAMS.search(name):
                yield name


def compiles(name):
    return subprocess.run(["gcc", "-E", "-xc", "-", "-o", "/dev/null"], input="#include <%s>\n" % name, text=True,
                          capture_output=True).returncode == 0


def main():
    source = "#define _GNU_SOURCE\n" + "".join("#include <%s>\n" % name for name in sorted(headers()) if compiles(name))
    text = subprocess.run(["gcc", "-E", "-P", "-xc", "-"], input=source, capture_output=True, text=True).stdout
    text = re.sub(r"\s+", " ", re.sub(r"__attribute__\s*\(\(.*?\)\)", "", text))
    names = set()
    for statement in re.split(r"[;{}]", text):
        found = re.match(r"(?! ?typedef|.*=)[\w\s*]*?\b([a-zA-Z]\w*) ?\((.*)\)", statement)
        if found and re.search(r"\bint (__)?[a-z_]*(fd|fildes|sock|fp)\w*\b", found[2]):
            names.add(found[1])
    print("\n".join(sorted(names - NOT_IN_LIBC)))


main()
