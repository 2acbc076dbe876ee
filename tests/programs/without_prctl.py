# SPDX-License-Identifier: BSD-3-Clause
"""without_prctl.py MODE CMD...: runs CMD where prctl(PR_SET_SYSCALL_USER_DISPATCH, mode >= MODE) is EINVAL, as on older
kernels: 1: before Linux 5.11, 2: before 6.17. By a seccomp filter."""
import ctypes
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JEQ, JGE, RET = 0x20, 0x15, 0x35, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, …JGE…, BPF_RET|BPF_K
SYS_PRCTL, PR_SET_SYSCALL_USER_DISPATCH, EINVAL = 157, 59, 22
NUMBER, ARGUMENT_0, ARGUMENT_1 = 0, 16, 24  # offsets in struct seccomp_data
ALLOW, ERRNO = 0x7FFF0000, 0x00050000


def step(code, if_true, if_false, value):
    return struct.pack("HBBI", code, if_true, if_false, value)


filter_program = b"".join([
    step(LOAD, 0, 0, NUMBER), step(JEQ, 0, 5, SYS_PRCTL),
    step(LOAD, 0, 0, ARGUMENT_0), step(JEQ, 0, 3, PR_SET_SYSCALL_USER_DISPATCH),
    step(LOAD, 0, 0, ARGUMENT_1), step(JGE, 0, 1, int(sys.argv[1])),
    step(RET, 0, 0, ERRNO | EINVAL), step(RET, 0, 0, ALLOW)])


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]


steps = ctypes.create_string_buffer(filter_program)
libc = ctypes.CDLL(None, use_errno=True)
for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
                                                ctypes.byref(Program(len(filter_program) // 8, ctypes.addressof(steps))))):
    if libc.prctl(*arguments, 0, 0) != 0:
        sys.exit("without_prctl: " + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[2], sys.argv[2:])
