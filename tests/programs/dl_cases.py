# dl_cases.py LIBRARY CASE... - runs cases of dl_cases.so in this interpreter.
import ctypes
import sys

# Global: what constructors of the loaded libraries call is in it.
library = ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)
for name in sys.argv[2:]:
    if library.dl_case(name.encode()) != 0:
        sys.exit("no such case: " + name)
