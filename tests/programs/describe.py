# SPDX-License-Identifier: BSD-3-Clause
"""describe.py - what a program can see of how it was started and where its modules came from, a line each; for tests.

describe() prints all of it; import it from a module's directory, or run this file's text by any of Python's ways.
"""
import sys


def describe(*names):
    """Imports the names, then tells of every module that there is."""
    import importlib

    for name in names:
        importlib.import_module(name)
    print("flags", sys.flags)
    print("argv", sys.argv, sys.orig_argv)
    for name in ("prefix", "base_prefix", "exec_prefix", "executable", "_base_executable", "platlibdir", "path",
                 "_xoptions", "warnoptions"):
        print(name, getattr(sys, name))
    print("importers", sorted((path, type(finder).__name__) for path, finder in sys.path_importer_cache.items()))
    for name, module in sorted(sys.modules.items()):
        spec, path = getattr(module, "__spec__", None), getattr(module, "__path__", None)
        loader = getattr(module, "__loader__", None)
        print(name, getattr(module, "__file__", None), getattr(module, "__cached__", None),
              loader.__name__ if isinstance(loader, type) else type(loader).__name__, getattr(loader, "path", None),
              path and list(path), spec and (spec.origin, spec.has_location, spec.parent))
    site = sys.modules.get("site")
    print("site", site and (site.ENABLE_USER_SITE, site.PREFIXES, site.USER_SITE))
