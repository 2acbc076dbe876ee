# SPDX-License-Identifier: BSD-3-Clause
"""writes_install.py - ranks install, compile and remove packages below a cached prefix;
behind a barrier all look and import.

usage: writes_install.py FOLDER-OF-MIOC_MPI FOLDER SCRATCH     4 ranks

Where $CLIENT_TIME lets other nodes see the old state for a time, they look until they see what the writer sees.
"""
import compileall
import importlib
import importlib.util
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
import zipfile

sys.path.append(sys.argv[1])
import client_view  # noqa: E402
import mioc_mpi  # noqa: E402

folder, scratch = sys.argv[2:4]
mioc_mpi.init()
me = mioc_mpi.rank()
target = folder + "/target"
sys.path[:0] = [folder, target]


def make_wheel(version):
    path = "%s/mioc_wheel-%s-py3-none-any.whl" % (scratch, version)
    files = {"mioc_wheel/__init__.py": "value = %r\nfrom . import sub" % version, "mioc_wheel/data.txt": version}
    files.update(("mioc_wheel/sub/%s.py" % name, "value = %r" % (name + version)) for name in ("__init__", "a", "b"))
    info = "mioc_wheel-%s.dist-info/" % version
    files[info + "METADATA"] = "Metadata-Version: 2.1\nName: mioc-wheel\nVersion: %s\n" % version
    files[info + "WHEEL"] = "Wheel-Version: 1.0\nGenerator: mioc\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[info + "RECORD"] = "".join("%s,,\n" % name for name in [*files, info + "RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return path


def install(version):
    subprocess.run([sys.executable, "-m", "pip", "-q", "install", "--no-index", "--no-deps", "--no-compile",
                    "--upgrade", "--root-user-action=ignore", "--disable-pip-version-check", "--no-cache-dir",
                    "--target", target, make_wheel(version)], check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)


def temporary():
    with tempfile.TemporaryDirectory(dir=folder) as made:
        with tempfile.NamedTemporaryFile("w", dir=made, suffix=".py") as f:
            f.write("value = 1")
            f.flush()
            assert os.path.exists(f.name) and open(f.name).read() == "value = 1"
        assert not os.path.exists(f.name) and os.listdir(made) == []
    assert not os.path.exists(made)
    fd, name = tempfile.mkstemp(dir=folder, suffix=".py")
    os.write(fd, b"value = 'temporary'")
    os.close(fd)
    os.replace(name, folder + "/kept.py")


def own():
    """Modules that the same rank writes and imports at once."""
    for k in range(20):
        with open("%s/own_%d.py" % (folder, k), "w") as f:
            f.write("value = %d" % k)
        importlib.invalidate_caches()
        assert importlib.import_module("own_%d" % k).value == k
        os.unlink("%s/own_%d.py" % (folder, k))
        del sys.modules["own_%d" % k]
        importlib.invalidate_caches()
        assert importlib.util.find_spec("own_%d" % k) is None
    assert not [name for name in os.listdir(folder) if name.startswith("own_")]


def tree():
    return sorted(os.path.relpath(os.path.join(at, name), folder) for at, dirs, files in os.walk(target)
                  for name in dirs + files if not at.endswith("__pycache__"))


def value(name):
    importlib.invalidate_caches()
    for known in [m for m in sys.modules if m.split(".")[0] == name.split(".")[0]]:
        del sys.modules[known]
    try:
        return importlib.import_module(name).value
    except (ImportError, OSError) as error:  # OSError: a listing is older than the rest
        return str(error)


def bytecode():
    return [os.path.exists(importlib.util.cache_from_source("%s/mioc_wheel/sub/%s.py" % (target, name)))
            for name in "ab"]


def look():
    return [tree(), bytecode(), value("mioc_wheel"), value("mioc_wheel.sub.a"), value("mioc_wheel.sub.b"),
            value("kept")]


steps = [(3, lambda: install("1.0")), (2, lambda: compileall.compile_dir(target, quiet=1)), (1, lambda: install("2.0")),
         (0, lambda: py_compile.compile(target + "/mioc_wheel/sub/a.py", doraise=True)), (3, temporary), (2, own),
         (3, lambda: shutil.rmtree(target))]
for number, (writer, work) in enumerate(steps):
    look()
    client_view.kernel_knows([folder, target, target + "/mioc_wheel"])
    mioc_mpi.barrier()
    if me == writer:
        work()
    mioc_mpi.barrier()
    print(me, number, client_view.settled(writer, look), flush=True)
mioc_mpi.finalize()
