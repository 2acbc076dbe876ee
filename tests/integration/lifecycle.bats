# Every way to start a Python and to find its modules: what a program sees of it is what it sees without us. Each rank's
# output and errors are compared line by line.

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  need_python_env
  ENV=$SCRATCH/env SHARED=$SCRATCH/shared
  mkdir -p "$SCRATCH/source/package/inner" "$SCRATCH/home" "$SCRATCH/work"
  for name in early late other package/__init__ package/part package/inner/__init__; do
    echo "value = '$name'" >"$SCRATCH/source/$name.py"
  done
  cp "$PROGRAMS/describe.py" "$SCRATCH/source/"
  mount_shared "$PYTHON_ENV" "$ENV" --counters "$SCRATCH/env.counters"
  mount_shared "$SCRATCH/source" "$SHARED" --counters "$SCRATCH/counters"
  PYTHON=$ENV/bin/python3
  export HOME=$SCRATCH/home PYTHONPATH=$SHARED PYTHONDONTWRITEBYTECODE=1 SCRATCH ENV SHARED
  NAMES='"json", "sqlite3", "email.mime.text", "numpy.fft", "package.inner", "late"'
  DESCRIBE="import describe; describe.describe($NAMES)"
}

teardown() { helper_teardown; }

# COMMAND...: in 2 ranks, what each of them says apart: hydra mixes what it forwards, within lines too.
in_ranks() {
  local rc=0 rank
  rm -f "$SCRATCH"/rank.*
  launch mpiexec.mpich -n "${RANKS:-2}" -outfile-pattern "$SCRATCH/rank.%r.out" -errfile-pattern \
    "$SCRATCH/rank.%r.err" "$@" || rc=$?
  for rank in "$SCRATCH"/rank.*; do
    sed "s/^/${rank##*/rank.} /" "$rank"
  done
  return "$rc"
}

# What we say, and what no two runs share.
without_ours() { grep -vE '^[0-9]+\.err mpiio_cache: ' "$1" |
  sed -E "s, at 0x[0-9a-f]+,,g; ${FILTER:-}" >"$1.filtered" || true; mv "$1.filtered" "$1"; }

# COMMAND...: plain and cached, which must have been active; and has said something.
check() {
  run_plain "${RUN:-in_ranks}" "$@"
  MPIIO_CACHE_LOG=info MPIIO_CACHE_STATS=$SCRATCH/stats.json run_cached "${RUN:-in_ranks}" "$@"
  grep -F "mpiio_cache: " "$CACHED/stdout" >"$SCRATCH/said" || true
  without_ours "$PLAIN/stdout"
  without_ours "$CACHED/stdout"
  SLACK=10 assert_same || { head -n 20 "$SCRATCH/said"; return 1; }
  [[ $PLAIN_RC == "${EXPECTED_RC:-0}" ]] || { tail -n 20 "$PLAIN/stdout"; return 1; }
  (($(wc -l <"$PLAIN/stdout") >= ${LINES_AT_LEAST:-100}))
  grep -F "active: ${RANKS:-2} ranks on 1 node" "$SCRATCH/said" || { head -n 20 "$SCRATCH/said"; return 1; }
  (($(stat_of "$SCRATCH/stats.json" '.calls.open | .hit + .miss') >= ${SERVED_AT_LEAST:-20}))
}

@test "python -c, and without site-packages (-S)" {
  check "$PYTHON" -c "$DESCRIBE"
  NAMES='"json", "sqlite3", "package.inner", "late"'
  check "$PYTHON" -S -c "import describe; describe.describe($NAMES)"
}

@test "python -I takes nothing from the environment, nor from the working directory" {
  cd "$SHARED"
  check "$PYTHON" -I -c 'import sys
try: import late
except ImportError as error: print(error)
sys.path.append(sys.argv[1])
import describe; describe.describe("json", "sqlite3", "numpy.fft", "late")' "$SHARED"
}

@test "python -X importtime tells the same imports in the same order" {
  FILTER='s/import time: +[0-9]+ \| +[0-9]+ \|/import time:/'
  check "$PYTHON" -X importtime -c "$DESCRIBE"
  (($(grep -c 'err import time:' "$CACHED/stdout") > 400))
}

@test "python -m with a module, a package and a module of the working directory" {
  printf 'import describe, sys\nif __name__ == "__main__": describe.describe("late"); sys.exit(7)\n' \
    >"$SCRATCH/source/package/__main__.py"
  EXPECTED_RC=7 check "$PYTHON" -m package argument
  EXPECTED_RC=7 check "$PYTHON" -m package.__main__
  unset PYTHONPATH
  cd "$SHARED"
  EXPECTED_RC=7 check "$PYTHON" -v -m package
}

@test "a program on standard input" {
  printf '%s\n' "$DESCRIBE" >"$SCRATCH/app.py"
  # hydra gives its own input to rank 0; the others' would never end, without us too.
  piped() { in_ranks "$@" <"$SCRATCH/app.py"; }
  # shellcheck disable=SC2016 # for the ranks' shell
  RUN=piped check bash -c '[[ $PMI_RANK == 0 ]] || exec </dev/null; exec "$1" - argument' bash "$PYTHON"
  check bash -c 'exec "$1" <"$2"' bash "$PYTHON" "$SCRATCH/app.py"
}

@test "a script, by a path with a symbolic link, and a directory and a zip archive with a __main__.py" {
  mkdir "$SCRATCH/source/app"
  printf '%s\n' 'import inside, describe' 'print(__file__, __spec__ and __spec__.origin)' \
    'describe.describe("inside", "late")' >"$SCRATCH/source/app/__main__.py"
  echo 'value = 1' >"$SCRATCH/source/app/inside.py"
  ln -s app/__main__.py "$SCRATCH/source/link.py"
  "$PYTHON" -m zipapp "$SCRATCH/source/app" -o "$SCRATCH/source/app.pyz" -c
  check "$PYTHON" "$SHARED/link.py"
  check "$PYTHON" "$SHARED/app"
  check "$PYTHON" "$SHARED/app.pyz"
}

# OPTIONS: a venv of the environment's Python, on the second shared filesystem.
make_venv() {
  "$PYTHON" -m venv --without-pip "$@" "$SHARED/venv"
  printf 'value = "of the venv"\n' >"$SHARED/venv/lib/python3.11/site-packages/own.py"
}

@test "a venv with symbolic links" {
  make_venv --symlinks
  SERVED_AT_LEAST=50 check "$SHARED/venv/bin/python" -c 'import describe; describe.describe("json", "own", "late")'
}

@test "a venv with copies, activated, with site-packages of its base" {
  make_venv --copies --system-site-packages
  # shellcheck disable=SC2016 # for the ranks' shell
  SERVED_AT_LEAST=300 check bash -c '. "$SHARED/venv/bin/activate" && exec python -c "$1"' bash \
    'import describe; describe.describe("json", "own", "numpy.fft", "late")'
}

@test "a prefix that was moved, and one that is reached by a symbolic link" {
  # It was built in /var/tmp and is mounted elsewhere: moved it is in every test here.
  ln -s "$ENV" "$SCRATCH/link"
  check "$SCRATCH/link/bin/python3" -c "$DESCRIBE"
  PYTHONHOME=$SCRATCH/link check "$PYTHON" -c "$DESCRIBE"
}

# PROGRAM (on standard input), which prints what it sees.
check_program() {
  cat >"$SCRATCH/work/app.py"
  LINES_AT_LEAST=${LINES_AT_LEAST:-8} SERVED_AT_LEAST=${SERVED_AT_LEAST:-4} check "$PYTHON" "$SCRATCH/work/app.py"
}

@test "sys.path that changes at run time, by all ways, and packages that extend theirs" {
  mkdir -p "$SCRATCH"/source/{first,second,third/package} "$SCRATCH/local"
  for folder in first second; do
    echo "value = '$folder'" >"$SCRATCH/source/$folder/which.py"
    echo "value = '$folder'" >"$SCRATCH/source/$folder/only_$folder.py"
  done
  echo "value = 'local'" >"$SCRATCH/local/which.py"
  echo "value = 'third'" >"$SCRATCH/source/third/package/third.py"
  check_program <<'PY'
import importlib, os, site, sys
shared, local = os.environ["SHARED"], os.environ["SCRATCH"] + "/local"
def see(name):
    sys.modules.pop(name, None)
    try:
        module = importlib.import_module(name)
        print(name, module.value, module.__file__, module.__spec__)
    except ImportError as error:
        print(name, repr(error), error.path)
see("which")
for change in ('sys.path.append(shared + "/first")', 'sys.path.append(shared + "/second")',
               'sys.path.remove(shared + "/first")', 'sys.path.insert(0, shared + "/first")',
               'sys.path.insert(0, local)', 'sys.path[:] = [shared + "/second"] + sys.path',
               'site.addsitedir(shared + "/first")', 'sys.path_importer_cache.clear()',
               'os.chdir(shared + "/second"); sys.path[0] = ""', 'os.chdir(shared); sys.path[0] = "first"',
               'sys.path[0] = shared + "//./first/"', 'sys.path[0] = shared + "/first/../second"',
               'sys.path[0] = shared + "/nowhere"', 'importlib.invalidate_caches()',
               'sys.path[:] = [p for p in sys.path if "shared" not in p]'):
    exec(change)
    print("--", change)
    for name in "which", "only_first", "only_second":
        see(name)
sys.path[:] = [shared] + sys.path
import package
see("package.third")
package.__path__.append(shared + "/third/package")
see("package.third")
see("package.part")
PY
}

@test "namespace packages, whose parts lie in several directories and come later" {
  mkdir -p "$SCRATCH"/source/{one,two,three}/space/deeper "$SCRATCH/source/regular/space" "$SCRATCH/source/one/empty"
  for part in one two three; do
    echo "value = __file__, __package__" |
      tee "$SCRATCH/source/$part/space/$part.py" >"$SCRATCH/source/$part/space/deeper/$part.py"
  done
  echo "value = 'regular'" >"$SCRATCH/source/regular/space/__init__.py"
  check_program <<'PY'
import importlib, os, pkgutil, sys
shared = os.environ["SHARED"]
sys.path += [shared + "/one", shared + "/two"]
import space, space.one, space.two, space.deeper, space.deeper.two, empty
def see():
    for module in space, space.deeper, empty:
        print(module, getattr(module, "__file__", None), list(module.__path__), type(module.__path__).__name__,
              module.__spec__, type(module.__loader__).__name__)
    print(sorted(m.name for m in pkgutil.walk_packages(space.__path__, "space.")))
see()
print(space.one.value, space.deeper.two.value)
try: import space.three
except ImportError as error: print(error, error.path)
sys.path.append(shared + "/three")
import space.three, space.deeper.three
see()
print(space.three.value, space.deeper.three.value)
for name in [name for name in sys.modules if name.startswith("space")]: del sys.modules[name]
sys.path.append(shared + "/regular") # a package with an __init__ wins wherever it is
import space
print(space.value, space.__file__, list(space.__path__), space.__spec__)
PY
}

@test "lines of .pth files that begin with import run on all ranks, at the start and by addsitedir" {
  make_venv --symlinks
  local packages=$SCRATCH/source/venv/lib/python3.11/site-packages
  mkdir "$packages/added" "$SCRATCH/source/sites" "$SCRATCH/source/sites/more"
  printf '%s\n' '# comment' added nowhere '' \
    'import sys, os, hook; hook.ran.append(sys._getframe().f_code.co_filename and os.environ["PMI_RANK"])' \
    >"$packages/a.pth"
  printf 'import hook; hook.ran.append("b"); import in_added\n' >"$packages/b.pth"
  printf 'import hook; 1 / 0\n' >"$packages/c.pth" # is told, and the site goes on
  echo 'ran = []' >"$packages/hook.py"
  echo 'import hook; hook.ran.append(__file__)' >"$packages/added/in_added.py"
  printf 'more\nimport hook; hook.ran.append("late")\n' >"$SCRATCH/source/sites/d.pth"
  echo 'value = 1' >"$SCRATCH/source/sites/more/in_more.py"
  PYTHON=$SHARED/venv/bin/python check_program <<'PY'
import hook, site, sys, os
print(hook.ran, sys.path)
site.addsitedir(os.environ["SHARED"] + "/sites")
import in_more
print(hook.ran, sys.path, in_more.__file__)
PY
  grep -E "ZeroDivisionError|out \['" "$CACHED/stdout"
  for rank in 0 1; do
    grep -qE "^$rank.err +ZeroDivisionError" "$CACHED/stdout"
    [[ $(grep -cE "^$rank.out \['$rank', 'b'" "$CACHED/stdout") == 2 ]]
  done
}

@test "modules, packages and data in zip archives" {
  mkdir -p "$SCRATCH/zip/zipped/inner" "$SCRATCH/zip/sub"
  echo 'value = __file__, __loader__.archive' | tee "$SCRATCH/zip/zipped/__init__.py" \
    "$SCRATCH/zip/zipped/inner/__init__.py" "$SCRATCH/zip/sub/below.py" >"$SCRATCH/zip/alone.py"
  echo 'data' >"$SCRATCH/zip/zipped/data.txt"
  "$PYTHON" -c 'import shutil, sys; shutil.make_archive(*sys.argv[1:])' "$SCRATCH/source/archive" zip "$SCRATCH/zip"
  mv "$SCRATCH/source/archive.zip" "$SCRATCH/source/archive.egg"
  head -c 100 "$SCRATCH/source/archive.egg" >"$SCRATCH/source/damaged.zip"
  export PYTHONPATH=$SHARED:$SHARED/archive.egg:$SHARED/damaged.zip
  check_program <<'PY'
import os, sys, pkgutil, zipimport, importlib.resources
shared = os.environ["SHARED"]
import alone, zipped, zipped.inner
for module in alone, zipped, zipped.inner:
    print(module.value, module.__spec__, getattr(module, "__path__", None))
print(pkgutil.get_data("zipped", "data.txt"), (importlib.resources.files("zipped") / "data.txt").read_text())
sys.path.insert(0, shared + "/archive.egg/sub")
import below
print(below.value, sorted((p, type(f).__name__) for p, f in sys.path_importer_cache.items()))
for path in shared, shared + "/damaged.zip", shared + "/missing.zip", shared + "/archive.egg/nowhere":
    try: print(zipimport.zipimporter(path))
    except ImportError as error: print(error)
print(sorted(m.name for m in pkgutil.iter_modules([shared + "/archive.egg", shared + "/archive.egg/zipped"])))
try: import zipped.missing
except ImportError as error: print(error, error.path)
PY
}

@test "sub-interpreters import on their own" {
  check_program <<'PY'
import _xxsubinterpreters as interpreters, os, threading
code = """
import sys, json, sqlite3, email.mime.text, package.inner, late
try: import missing
except ImportError as error: print(error)
for m in json, sqlite3, package, package.inner, late: print(number, m.__file__, m.__spec__.origin)
print(number, len(sys.modules), sys.path, hash(tuple(sorted(sys.modules))) and sorted(sys.modules)[:20], flush=True)
"""
made = [interpreters.create() for _ in range(4)]
for number, interpreter in enumerate(made): # one after the other, then at once, without output
    interpreters.run_string(interpreter, code, {"number": number})
threads = [threading.Thread(target=interpreters.run_string,
                            args=(i, "import xml.dom.minidom, difflib, other, package.part")) for i in made]
for thread in threads: thread.start()
for thread in threads: thread.join()
for interpreter in made:
    interpreters.run_string(interpreter, "import other, difflib; print(other.__file__, difflib.__file__, flush=True)")
    interpreters.destroy(interpreter)
print(interpreters.list_all() == [interpreters.get_main()])
PY
}

@test "threads that import the same and other modules at once" {
  check_program <<'PY'
import importlib, sys, threading
names = ["json", "sqlite3", "email.mime.text", "xml.dom.minidom", "unittest.mock", "asyncio", "http.server",
         "ctypes.util", "numpy.fft", "numpy.linalg", "multiprocessing.pool", "concurrent.futures", "logging.handlers",
         "package.inner", "package.part", "late", "missing", "package.missing"]
start, seen = threading.Barrier(16), [None] * 16
def work(i):
    start.wait()
    seen[i] = []
    for name in names[i % 4:] + names[:i % 4]:
        try: seen[i].append((name, importlib.import_module(name).__file__))
        except ImportError as error: seen[i].append((name, str(error), error.path))
threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert all(sorted(s) == sorted(seen[0]) for s in seen)
for one in sorted(seen[0]): print(*one)
print(sorted(name for name in sys.modules))
PY
}

# --- In the company of other preloads ---------------------------------------------------------------------------------

# COMMAND...: in_ranks with $OTHER preloaded; in the cached run before ours or, with $ORDER after, after it.
in_company() {
  local both="$OTHER ${PRELOAD:-}"
  [[ ${ORDER:-before} == before ]] || both="${PRELOAD:-} $OTHER"
  PRELOAD=$both in_ranks "$@"
}

@test "jemalloc beside us, before and after" {
  OTHER=$(ldconfig -p | sed -n 's/.*libjemalloc\.so\.2 .*=> //p' | head -n 1)
  [[ -n $OTHER ]] || skip "libjemalloc2 is not installed"
  export MALLOC_CONF=background_thread:true # a thread more, and handlers at fork
  local program="$DESCRIBE
import os, subprocess, sys
print(os.waitpid(os.fork() or os._exit(3), 0)[1], 'jemalloc' in open('/proc/self/maps').read())
print(subprocess.run([sys.executable, '-c', 'import late']))"
  ORDER=before RUN=in_company check "$PYTHON" -c "$program"
  ORDER=after RUN=in_company check "$PYTHON" -c "$program"
}

@test "a tracer's library beside us: before us it sees each call of the program, after us nobody waits for it" {
  OTHER=$MIOC_BUILD/programs/beside.so
  export BESIDE_BELOW=$ENV BESIDE_LOG=$SCRATCH/beside
  ORDER=before RUN=in_company check "$PYTHON" -c "$DESCRIBE"
  cat "$SCRATCH"/beside.?
  [[ $(sort -u "$SCRATCH/beside.0" | wc -l) == 1 && $(cat "$SCRATCH"/beside.? | wc -l) == 4 ]]
  # Its functions ask the loader, whose lock a thread in dlopen() has; in a constructor too,
  # which opens what no rank knows yet.
  printf '%s\n' '#include <fcntl.h>' '#include <stdlib.h>' '#include <unistd.h>' \
    '__attribute__((constructor)) static void look(void)' \
    '{ if (chdir(getenv("SHARED")) != 0 || open("late.py", O_RDONLY) < 0) abort(); }' |
    gcc -shared -fPIC -x c - -o "$SCRATCH/source/opens.so"
  ORDER=after RUN=in_company check "$PYTHON" \
    -c "import ctypes, os; ctypes.CDLL(os.environ['SHARED'] + '/opens.so'); $DESCRIBE"
  # Beside an agent that is a process of its own nobody waits for that lock.
  if is_by_mpi; then
    grep -F 'loader patch, asking nobody' "$SCRATCH/said"
  else
    grep -E 'loader patch$' "$SCRATCH/said"
  fi
  (($(stat_of "$SCRATCH/stats.json" '[.calls[].timeout] | add') == 0))
}

# --- Extension modules built with AddressSanitizer --------------------------------------------------------------------

# Sets OTHER and builds a module, checked, that fills a buffer and, where it is told, reads one byte behind it.
need_asan_module() {
  OTHER=$(gcc -print-file-name=libasan.so)
  [[ $OTHER == /* ]] || skip "no AddressSanitizer here"
  OTHER=$(realpath "$OTHER")
  cat >"$SCRATCH/checked.c" <<'C'
#include <Python.h>
#include <stdlib.h>
static PyObject *run(PyObject *self, PyObject *arguments)
{
    int behind, n = 100;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "i", &behind)) return NULL;
    volatile char *buffer = malloc((size_t)n);
    for (int i = 0; i < n; i++) buffer[i] = (char)i;
    long sum = buffer[n - 1 + behind];
    free((void *)buffer);
    return PyLong_FromLong(sum);
}
static PyMethodDef methods[] = { { "run", run, METH_VARARGS, NULL }, { NULL, NULL, 0, NULL } };
static struct PyModuleDef definition = { PyModuleDef_HEAD_INIT, "checked", NULL, -1, methods, NULL, NULL, NULL, NULL };
PyMODINIT_FUNC PyInit_checked(void) { return PyModule_Create(&definition); }
C
  gcc -shared -fPIC -g -fsanitize=address \
    "-I$(/usr/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')" \
    "$SCRATCH/checked.c" -o "$SCRATCH/source/checked.so"
  # CPython itself frees not all, and verify_asan_link_order is for the tests where we come first.
  export ASAN_OPTIONS=detect_leaks=0:exitcode=23
}

@test "an extension module built with AddressSanitizer, its library before ours and after" {
  need_asan_module
  local program="import checked; print(checked.run(0), checked.__file__); $DESCRIBE"
  ORDER=before RUN=in_company check "$PYTHON" -c "$program"
  ASAN_OPTIONS+=:verify_asan_link_order=0
  ORDER=after RUN=in_company check "$PYTHON" -c "$program"
}

# bats test_tags=all
@test "AddressSanitizer's report of an extension module, and the end of its rank, are what they are without us" {
  need_asan_module
  # It ends the process by a system call of its own, as a signal would.
  STORES_MAY_STAY=1
  local program='import checked, os, late
try: checked.run(0)
finally: print(late.value, flush=True)
if os.fork() == 0: checked.run(1)
print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)'
  local legend='Addressable|Partially|Heap|Freed|Stack|Global|Poisoned|Container|Array|Intra|ASan|Left|Right'
  local filter='s/==[0-9]+==/==PID==/; s/0x[0-9a-f]+/ADDRESS/g; s/BuildId: [0-9a-f]+//'
  FILTER="$filter; /Shadow byte|ADDRESS:|^[01].err  ($legend)/d"
  LINES_AT_LEAST=10 SERVED_AT_LEAST=1 RUN=in_company check "$PYTHON" -c "$program"
  [[ $(grep -c 'heap-buffer-overflow on address' "$CACHED/stdout") == 2 &&
    $(grep -cE '^[01].out 23$' "$CACHED/stdout") == 2 ]]
  [[ $(grep -c "in run $SCRATCH/checked.c" "$CACHED/stdout") -ge 2 ]]
  EXPECTED_RC=any RUN=in_company both_fail "$PYTHON" -c 'import checked; checked.run(1)'
}

# hydra's exit code is random where ranks fail at once; the reports are not.
both_fail() {
  run_plain in_company "$@"
  run_cached in_company "$@"
  ((PLAIN_RC != 0 && CACHED_RC != 0))
  grep -q 'heap-buffer-overflow on address' "$PLAIN/stdout"
  grep -q 'heap-buffer-overflow on address' "$CACHED/stdout"
}
