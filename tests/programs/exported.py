# SPDX-License-Identifier: BSD-3-Clause
"""exported.py - runs exported.so's cases in this process, and in children that are guests and no interpreters.

usage: exported.py --make FOLDERS                 the files that the cases need, anew
       exported.py --names MODULE                 the names that have a case
       exported.py FOLDERS MODULE MAIN OUT [ROOM]
                                                  as ranks of a job: writes OUT/{rank0,rank1,guest,other}, what each
                                                  role found. ROOM: on an alternate stack of so many bytes, or "least",
                                                  or "all"
       exported.py --compare PLAIN OTHER          of two such OUTs: what is wrong in the second
       exported.py --frames PLAIN OTHER [MOST]    of two such OUTs with a ROOM: what takes 512 bytes more in the second,
                                                  or more than MOST altogether
       exported.py --idle PLAIN                   the names whose case succeeds nowhere
"""
import ctypes
import os
import shutil
import subprocess
import sys

# What acts on the file itself fails where there is only a copy of it left (README);
# it leaves nothing in errno then that it should not.
NEEDS_ORIGINAL = {"fchmod", "fchown", "fchownat", "futimens", "futimes", "fsetxattr", "fremovexattr", "copy_file_range",
                  "open_by_handle_at"}
OURS = "mpiio_cache_"
ROLES = "rank0", "rank1", "guest", "other"
SPARES = 200


def make_folder(folder):
    os.makedirs(folder)
    for name in ["module.py"] + ["spare%d.py" % i for i in range(SPARES)]:
        with open(folder + name, "w") as f:
            f.write("pass\n")
    os.setxattr(folder + "module.py", "trusted.mioc", b"1")
    os.symlink("module.py", folder + "link.py")


def make(top):
    shutil.rmtree(top, ignore_errors=True)
    for where in ("library", "outside"):
        for role in ROLES:
            make_folder("%s/%s/%s/" % (top, where, role))


def names(module):
    module = ctypes.CDLL(module)
    module.exported_name.restype = ctypes.c_char_p
    i = 0
    while (name := module.exported_name(i)) is not None:
        print(name.decode())
        i += 1


def run(top, module, main, out, room=None):
    role = os.environ.get("EXPORTED_ROLE", "rank" + os.environ.get("PMI_RANK", "0"))
    folders = ["%s/%s/%s/" % (top, where, role) for where in ("library", "outside")]
    arguments = [*folders, out + "/" + role, room]
    if ctypes.CDLL(module).exported_run(*(a if a is None else a.encode() for a in arguments)) != 0:
        sys.exit("exported_run failed")
    if role == "rank" + str(int(os.environ.get("PMI_SIZE", "1")) - 1):
        subprocess.run([sys.executable, *sys.argv], check=True, env={**os.environ, "EXPORTED_ROLE": "guest"})
        arguments = [module, *(f.replace(role, "other") for f in folders), out + "/other", room]
        subprocess.run([main, *(a for a in arguments if a is not None)], check=True)


def read(path):
    """Place and function, ": ", what came of it; the bytes are not looked at."""
    with open(path) as f:
        return [line.partition(";")[0].partition(": ") for line in f]


def compare(plain, other):
    wrong = 0
    for role in ROLES:
        for (name, _, before), (same, _, after) in zip(read(plain + "/" + role), read(other + "/" + role), strict=True):
            place, function = name.split(" ")[0], name.split(" ")[-1]
            if function.startswith(OURS):
                is_right = not after.startswith("succeeds") or after.endswith("untouched")
            elif place == "gone" and function in NEEDS_ORIGINAL and after.startswith("fails"):
                is_right = True
            else:
                is_right = after == before or after == "succeeds, errno untouched"
            if name != same or not is_right:
                print("%s: %s: plain %s, with the library %s" % (role, name, before, after))
                wrong = 1
    return wrong


def read_bytes(path):
    with open(path) as f:
        return {line.partition(":")[0]: int(line.rpartition(";")[2].split()[0]) for line in f}


def frames(plain, other, most=None):
    wrong = 0
    for role in ROLES:
        before, after = read_bytes(plain + "/" + role), read_bytes(other + "/" + role)
        for name, taken in after.items():
            limit = int(most) if most else before[name] + 512
            if taken > limit and not name.split(" ")[1].startswith(OURS):
                print("%s: %s: plain takes %d bytes, with the library %d" % (role, name, before[name], taken))
                wrong = 1
    return wrong


def idle(plain):
    found = {}
    for role in ROLES:
        for name, _, answer in read(plain + "/" + role):
            found[name.split(" ")[-1]] = found.get(name.split(" ")[-1], False) or answer.startswith("succeeds")
    print(" ".join(sorted(name for name, succeeds in found.items() if not succeeds and not name.startswith(OURS))))


COMMANDS = {"--make": make, "--names": names, "--compare": compare, "--frames": frames, "--idle": idle}
if sys.argv[1] in COMMANDS:
    sys.exit(COMMANDS[sys.argv[1]](*sys.argv[2:]))
run(*sys.argv[1:])
