# SPDX-License-Identifier: BSD-3-Clause
"""load.py FOLDER OUTPUT: imports all modules of FOLDER/modules in an order of their own, and writes to OUTPUT/RANK what
they compute and which objects below FOLDER dl_iterate_phdr shows, in its order."""
import ctypes
import os
import sys
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_size_t, c_ulong, c_void_p

folder, output = sys.argv[1:]


class Header(Structure):  # the beginning of dl_phdr_info
    _fields_ = [("address", c_ulong), ("name", c_char_p)]


names = []


@CFUNCTYPE(c_int, POINTER(Header), c_size_t, c_void_p)
def visit(header, size, context):
    name = os.fsdecode(header.contents.name)
    if folder in name:
        names.append(name)
    return 0


sys.path.insert(0, folder + "/modules")
modules = sorted(name.removesuffix(".so") for name in os.listdir(folder + "/modules"))
# With the libraries that no path finds loaded first, as a launcher script's LD_PRELOAD or an earlier import would do
# it.
held = [ctypes.CDLL(f"{folder}/bare/{name}", os.RTLD_LAZY)
        for name in sorted(os.listdir(folder + "/bare"), reverse=True)]
values = [__import__(modules[i * 7 % len(modules)]).value() for i in range(len(modules))]
ctypes.CDLL(None).dl_iterate_phdr(visit, None)
rank = os.environ.get("PMI_RANK", "0")
with open(f"{output}/{rank}", "w") as f:
    f.writelines(f"{line}\n" for line in (values, *names))
print(f"{rank}: {len(values)} modules, {len(names)} objects")
