# What users of the older ways relied on, MPI_Import.py, cached_import.py and mpiimport.pyx with its site.py: all of it
# holds, with no change to their programs. Two simulated hosts with two ranks each share a filesystem that logs what
# reaches it.

setup() {
  load helper
  helper_setup
  need_fuse
  need_hosts
  need_command jq
  SOURCE=$SCRATCH/source SHARED=$SCRATCH/shared RANKS=4
  mkdir "$SOURCE"
  export PYTHONPATH=$SHARED PYTHONDONTWRITEBYTECODE=1 SHARED SCRATCH
}

teardown() { helper_teardown; }

on_shared() {
  rm -f "$SCRATCH/log"
  HOSTS_MOUNT="$SOURCE:$SHARED:--log $SCRATCH/log" on_hosts 2 2 "$@"
}

# PROGRAM (on standard input), plain and cached: the same output, one line of each rank for each line said.
check() {
  cat >"$SCRATCH/app.py"
  run_plain on_shared "${PYTHON_OF_TEST:-$PYTHON}" "$SCRATCH/app.py"
  mv "$SCRATCH/log" "$SCRATCH/log.plain"
  MPIIO_CACHE_LOG=info MPIIO_CACHE_STATS=$SCRATCH/stats.json run_cached on_shared "${PYTHON_OF_TEST:-$PYTHON}" \
    "$SCRATCH/app.py"
  assert_same
  [[ $PLAIN_RC == 0 ]] || { cat "$PLAIN/stderr"; return 1; }
  [[ $(said) == *"active: 4 ranks on 2 nodes"* ]]
  cat "$CACHED/stdout"
}

# LINE: so said all ranks, and nobody anything else in its place.
all_say() { [[ $(grep -cxF -- "$1" "$CACHED/stdout") == "$RANKS" ]] || { echo "not said by all: $1"; return 1; }; }

# OPERATION NAME: how often the filesystem saw that, in the cached run and in the plain one.
seen() { grep -c "^$1 .*$2 " "$SCRATCH/log" || true; }
seen_plain() { grep -c "^$1 .*$2 " "$SCRATCH/log.plain" || true; }
# NAME: opened and read by one rank for all; without us, by each.
is_read_once() {
  echo "$1: opened $(seen open "$1") times, read $(seen read "$1") times;" \
    "plain: $(seen_plain open "$1"), $(seen_plain read "$1")"
  [[ $(seen open "$1") == 1 ]] && (($(seen_plain open "$1") >= RANKS))
}

# FILE NAME: an extension module that has a value, and an atexit function that says so if the module is called of_c.
make_extension() {
  cat >"$SCRATCH/$2.c" <<C
#include <Python.h>
#include <unistd.h>
static void end(void) { if (write(1, "of C\n", 5) != 5) _exit(99); }
static struct PyModuleDef definition = { PyModuleDef_HEAD_INIT, "$2", NULL, -1, NULL, NULL, NULL, NULL, NULL };
PyMODINIT_FUNC PyInit_$2(void)
{
    PyObject *module = PyModule_Create(&definition);
    PyModule_AddStringConstant(module, "value", "extension");
    if (strcmp("$2", "of_c") == 0 && atexit(end) != 0) return NULL;
    return module;
}
C
  gcc -shared -fPIC "-I$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("include"))')" "$SCRATCH/$2.c" \
    -o "$SOURCE/$1"
}

@test "one lookup for all ranks, and one error on all of them, for a module that is missing" {
  check <<'PY'
try:
    import mioc_missing
except ModuleNotFoundError as error:
    print(repr(error), error.name, error.path)
try:
    import json.mioc_missing
except ModuleNotFoundError as error:
    print(repr(error), error.name, error.path)
PY
  all_say "ModuleNotFoundError(\"No module named 'mioc_missing'\") mioc_missing None"
  all_say "ModuleNotFoundError(\"No module named 'json.mioc_missing'\") json.mioc_missing None"
}

@test "one rank looks, reads and compiles: .py, .pyc and .so are read once and sent to all" {
  local name
  mkdir "$SOURCE/package"
  for name in source package/__init__ package/below compiled; do echo "value = '$name'" >"$SOURCE/$name.py"; done
  "$PYTHON" -c 'import py_compile, sys; py_compile.compile(sys.argv[1], sys.argv[1] + "c", doraise=True)' \
    "$SOURCE/compiled.py"
  rm "$SOURCE/compiled.py"
  make_extension extension.so extension
  check <<'PY'
import source, package, package.below, compiled, extension
for module in source, package, package.below, compiled, extension:
    print(module.__name__, module.value, module.__file__, type(module.__loader__).__name__,
          getattr(module, "__path__", None))
# Pages of the node's memory. Only /proc/self/maps knows.
mapped = [line.split()[-1] for line in open("/proc/self/maps") if line.rstrip().endswith("/extension.so")]
import os
with open(os.environ["SCRATCH"] + "/mapped." + os.environ["PMI_RANK"], "w") as out: print(mapped[0], file=out)
PY
  all_say "source source $SHARED/source.py SourceFileLoader None"
  all_say "package package/__init__ $SHARED/package/__init__.py SourceFileLoader ['$SHARED/package']"
  all_say "package.below package/below $SHARED/package/below.py SourceFileLoader None"
  all_say "compiled compiled $SHARED/compiled.pyc SourcelessFileLoader None"
  all_say "extension extension $SHARED/extension.so ExtensionFileLoader None"
  for name in /source.py /package/__init__.py /package/below.py /compiled.pyc; do is_read_once "$name"; done
  is_read_once /extension.so
  cat "$SCRATCH"/mapped.?
  [[ $(cat "$SCRATCH"/mapped.? | grep -c '^/dev/shm/mpiio_cache-.*/extension.so$') == 4 ]] ||
    skip "this kernel has no Syscall User Dispatch"
}

@test "bytecode that is there is what is read, the source is not" {
  echo "value = 'source'" >"$SOURCE/module.py"
  "$PYTHON" -m py_compile "$SOURCE/module.py"
  check <<<'import module; print(module.value, module.__cached__)'
  all_say "source $SHARED/__pycache__/module.cpython-311.pyc"
  is_read_once /__pycache__/module.cpython-311.pyc
  [[ $(seen open '/module.py') == 0 ]]
}

@test "a package comes before an extension module, that before a source file, and a directory without __init__ last" {
  local name
  mkdir "$SOURCE"/{all,bare,later,later/bare_and_module}
  echo "value = 'package'" >"$SOURCE/all/__init__.py"
  for name in all extension both; do
    echo "value = 'source'" >"$SOURCE/$name.py"
    make_extension "$name.so" "$name"
  done
  make_extension both.cpython-311-x86_64-linux-gnu.so both
  mkdir "$SOURCE/bare_and_module"
  echo "value = 'module'" >"$SOURCE/later/bare_and_module.py"
  check <<'PY'
import os, sys, all, extension, both, bare
shared = os.environ["SHARED"] + "/"
for module in all, extension, both:
    print(module.__name__, module.value, module.__file__.replace(shared, ""))
print(bare.__name__, getattr(bare, "__file__", None), [p.replace(shared, "") for p in bare.__path__],
      type(bare.__loader__).__name__)
sys.path.append(shared + "later") # a regular module anywhere comes before a namespace package
import bare_and_module
print(bare_and_module.value)
PY
  all_say "all package all/__init__.py"
  all_say "extension extension extension.so"
  all_say "both extension both.cpython-311-x86_64-linux-gnu.so"
  all_say "bare None ['bare'] NamespaceLoader"
  all_say module
}

@test "a directory that is put before the others in sys.path wins, one that is appended does not" {
  local folder
  mkdir "$SOURCE/before" "$SOURCE/behind"
  for folder in . before behind; do
    echo "value = '$folder'" >"$SOURCE/$folder/one.py"
    echo "value = '$folder'" >"$SOURCE/$folder/two.py"
  done
  check <<'PY'
import os, sys
sys.path.append(os.environ["SHARED"] + "/behind")
import one
sys.path.insert(0, os.environ["SHARED"] + "/before")
import two
print(one.value, one.__file__, two.value, two.__file__)
PY
  all_say ". $SHARED/one.py before $SHARED/before/two.py"
  [[ $(seen open behind) == 0 ]]
}

@test "packages in packages, with relative imports, circles and __path__ of their own" {
  mkdir -p "$SOURCE/a/b/c" "$SOURCE/elsewhere"
  echo 'from . import b; from .b.c import deep; name = __name__' >"$SOURCE/a/__init__.py"
  echo 'import a; from .. import a as again; name = __name__; from . import c' >"$SOURCE/a/b/__init__.py"
  sed -i 's/from \.\. import a as again; //' "$SOURCE/a/b/__init__.py"
  printf 'import os\n__path__.append(os.environ["SHARED"] + "/elsewhere")\nfrom . import deep, far\n' \
    >"$SOURCE/a/b/c/__init__.py"
  echo 'from ... import b as up; value = up.name' >"$SOURCE/a/b/c/deep.py"
  echo 'from .deep import value' >"$SOURCE/elsewhere/far.py"
  check <<'PY'
import a, sys
for name in sorted(n for n in sys.modules if n == "a" or n.startswith("a.")):
    module = sys.modules[name]
    print(name, module.__package__, module.__file__, getattr(module, "__path__", None), module.__loader__.path,
          module.__spec__.parent)
print(a.b.c.far.value)
PY
  all_say 'a.b'
  all_say "a.b.c.far a.b.c $SHARED/elsewhere/far.py None $SHARED/elsewhere/far.py a.b.c"
  is_read_once /elsewhere/far.py
  is_read_once /a/b/c/deep.py
}

@test "site runs as ever without -S: .pth files are read once, sitecustomize and usercustomize are imported" {
  local packages=$SOURCE/venv/lib/python3.11/site-packages
  "$PYTHON" -m venv --without-pip "$SOURCE/venv"
  mkdir "$packages/added" "$packages/customs"
  printf 'added\nimport sys; sys.from_pth = True\n' >"$packages/own.pth"
  echo "value = 'added'" >"$packages/added/in_added.py"
  echo "import sys; sys.custom = __file__" >"$SOURCE/sitecustomize.py"
  echo "import sys; sys.user_custom = __file__" >"$SOURCE/usercustomize.py"
  export HOME=$SHARED/home
  mkdir -p "$SOURCE/home/.local/lib/python3.11/site-packages"
  PYTHON_OF_TEST=$SHARED/venv/bin/python check <<'PY'
import sys, site, in_added
print(sys.from_pth, sys.custom, in_added.__file__, sys.prefix)
print(sys.flags.no_site, sys.flags.no_user_site, site.ENABLE_USER_SITE, getattr(sys, "user_custom", None))
PY
  all_say "True $SHARED/sitecustomize.py $SHARED/venv/lib/python3.11/site-packages/added/in_added.py $SHARED/venv"
  is_read_once /site-packages/own.pth
  is_read_once /added/in_added.py
}

@test "tmpdir, verbose, disable and timers are variables" {
  echo 'value = 1' >"$SOURCE/module.py"
  mkdir -m 700 "$SCRATCH/stores"
  # No rank ends before all have come: where the root's node has ended the others read for themselves.
  local program='
import glob, module, os, time
scratch = os.environ["SCRATCH"]
open(scratch + "/there." + os.environ["PMI_RANK"], "w").close()
while len(glob.glob(scratch + "/there.*")) < 4:
    time.sleep(0.01)
print(len(glob.glob(scratch + "/stores/mpiio_cache-*")))'
  MPIIO_CACHE_DIR=$SCRATCH/stores MPIIO_CACHE_LOG=debug MPIIO_CACHE_STATS=1 run_cached on_shared "$PYTHON" -c "$program"
  cat "$CACHED/stdout" "$CACHED/stderr"
  # The hosts share this folder: one store, or two.
  has_no_stores "$SCRATCH/stores"
  [[ $CACHED_RC == 0 && -z $(grep -vx '[12]' "$CACHED/stdout") ]]
  [[ $(said) == *'active: 4 ranks on 2 nodes'* ]]
  # A timer for each class of calls.
  local class
  for class in stat open opendir loader; do grep -qE "^ *$class +[0-9]+" "$CACHED/stderr"; done
  is_read_once_cached
  rm "$SCRATCH"/there.*
  # Off: no store, no MPI, each rank on its own; the timers of rank 0 stay.
  MPIIO_CACHE_DISABLE=1 MPIIO_CACHE_DIR=$SCRATCH/stores MPIIO_CACHE_LOG=info MPIIO_CACHE_STATS=$SCRATCH/stats.json \
    run_cached on_shared "$PYTHON" -c "$program"
  cat "$CACHED/stdout" "$CACHED/stderr"
  [[ $CACHED_RC == 0 && $(sort -u "$CACHED/stdout") == 0 ]]
  [[ $(said) == *'inactive: MPIIO_CACHE_DISABLE is set'* && $(seen open /module.py) == 4 ]]
  (($(stat_of "$SCRATCH/stats.json" .calls.stat.calls) > 10 && $(stat_of "$SCRATCH/stats.json" .calls.all.hit) == 0))
  # Nothing asked: nothing said.
  rm "$SCRATCH"/there.*
  run_cached on_shared "$PYTHON" -c "$program"
  # What the manifest brought before node 1 was linked has expired there, as names beside a script do: asked once more.
  [[ $CACHED_RC == 0 && -z $(said) && $(seen open /module.py) == [12] ]]
}

is_read_once_cached() { [[ $(seen open /module.py) == 1 ]]; }

@test "the program's atexit functions run once, in their order, and its exit code is the job's" {
  local end
  echo 'value = 1' >"$SOURCE/module.py"
  cat >"$SCRATCH/app.py" <<'PY'
import os, sys
rank = os.environ["PMI_RANK"]
# What a rank says goes to a file: hydra may throw away what others say once one of them failed.
os.dup2(os.open(os.environ["SCRATCH"] + "/said." + rank, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
def say(*words): os.write(1, (" ".join(map(str, words)) + "\n").encode())
import atexit, module, of_c, threading
atexit.register(say, "first registered")
@atexit.register
def late(): # imports at the end are served too
    import module_at_end
    say("second registered", module_at_end.value)
class Dies:
    def __del__(self): say("collected")
kept = Dies()
thread = threading.Thread(target=say, args=("thread",))
thread.start()
thread.join()
sys.stdout.write("buffered\n")
if rank == "3":
    exec(sys.argv[1])
PY
  echo 'value = 2' >"$SOURCE/module_at_end.py"
  make_extension of_c.so of_c
  ended() {
    local rc=0
    rm -f "$SCRATCH"/said.*
    on_shared "$PYTHON" "$SCRATCH/app.py" "$1" >"$SCRATCH/launcher" || rc=$?
    cat "$SCRATCH/said.3"
    ((rc != 0)) || cat "$SCRATCH"/said.[012]
    return "$rc"
  }
  for end in 'pass:0' 'sys.exit(0):0' 'sys.exit(42):42' 'raise SystemExit("words"):1' 'raise ValueError("wrong"):1' \
    'os._exit(5):5'; do
    run_plain ended "${end%:*}"
    run_cached ended "${end%:*}"
    echo "end: ${end%:*}; exit code $CACHED_RC; $(tr '\n' ',' <"$CACHED/stdout")"
    assert_same
    [[ $CACHED_RC == "${end##*:}" ]]
  done
}
