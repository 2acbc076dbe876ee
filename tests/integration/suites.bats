# Each rank of a job runs the regression tests of CPython and of numpy, with the standard library and site-packages
# cached: each test comes out as without us. Both runs are jobs of as many ranks, so that tests that depend on timing
# meet the same load.

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  SUITE=cpython RANKS=4
  export MPIIO_CACHE_PATHS=/usr/lib/python3.11:/usr/lib/python3
  RUN_TIMEOUT=600
}

teardown() { helper_teardown; }

need_module() { [[ -e /usr/lib/$1/__init__.py ]] || skip "Debian's $2 is not installed"; }

# FOLDER ARGUMENTS...: runs them in all ranks and tells the outcomes. The exit code is the launcher's.
outcomes_in() {
  local rc=0
  rm -rf "$SCRATCH/$1"
  launch mpiexec.mpich -n "$RANKS" "$PROGRAMS/test-suite" "$SUITE" "$SCRATCH/$1" "${@:2}" || rc=$?
  "$PROGRAMS/test-suite" outcomes "$SCRATCH/$1"
  return "$rc"
}

# MODULE...: prints what the library says although nothing is wrong. As root, test_posix changes its groups, after which
# the rank and its children are not served, and test_subprocess has children of another user, who has no store.
may_say() {
  echo -n 'mpiio_cache: active'
  [[ " $* " != *\ test_@(posix|subprocess)\ * ]] ||
    echo -n '|mpiio_cache: inactive: no rank of this job step has a store on this node'
}

# ARGUMENTS...: sets DIFFERENT to the tests that came out differently. Fails if the cached run was none.
run_both() {
  run_plain outcomes_in run "$@"
  MPIIO_CACHE_LOG=info run_cached outcomes_in run "$@"
  if ! grep -q "mpiio_cache: active: $RANKS ranks on 1 node" "$SCRATCH"/run/rank0/log; then
    head -n 5 "$SCRATCH"/run/rank*/log
    return 1
  fi
  # A time-out or deadline of ours is no way to get the right results.
  if grep -h 'mpiio_cache: ' "$SCRATCH"/run/rank*/log | grep -vE "$(may_say "$@")"; then return 1; fi
  DIFFERENT=$(diff <(sort "$PLAIN/stdout") <(sort "$CACHED/stdout") | grep '^[<>]' || true)
  ((PLAIN_RC == CACHED_RC)) || DIFFERENT+=$'\n'"exit code: plain $PLAIN_RC, cached $CACHED_RC"
}

# MODULE...: the outcomes are the same. Tests that differ run again alone. Those that then agree depend on luck, and are
# named.
check_outcomes() {
  local -a again=()
  local test
  run_both "$@"
  echo "$*: $(wc -l <"$PLAIN/stdout") outcomes, $(grep -c 'skipped$' "$PLAIN/stdout" || true) of them skipped;" \
    "seconds: plain $PLAIN_SECONDS, cached $CACHED_SECONDS"
  (($(wc -l <"$PLAIN/stdout") >= 16))
  grep -E ' (failure|error)$' "$PLAIN/stdout" | sed 's/^/fails without us: /' || true
  [[ -n $DIFFERENT ]] || return 0
  echo "differ: $DIFFERENT"
  if [[ $SUITE == cpython ]]; then
    for test in $(awk '$2 ~ /^[0-9]$/ && $3 ~ /^test\./ { print $3 }' <<<"$DIFFERENT" | sort -u); do
      again+=(-m "$test")
    done
  fi
  run_both "$@" "${again[@]}"
  [[ -z $DIFFERENT ]] || { echo "differ again: $DIFFERENT"; return 1; }
  echo "# depends on luck: ${again[*]:-the whole}" >&3
}

@test "a short selection of CPython's own tests comes out as without us, test for test" {
  need_module "python3.11/test/test_import" libpython3.11-testsuite
  check_outcomes test_import test_fileio test_zipimport test_pkgutil test_posixpath test_stat test_dbm test_py_compile
  # In a job of its own: as root it changes its groups, by which a leader ends the store. Where the others are still at
  # test_py_compile then, their children say so on stderr, which those tests compare.
  check_outcomes test_posix
}

# MODULE...: each in a job of its own.
all_modules_of() {
  local module
  need_module "python3.11/test/test_import" libpython3.11-testsuite
  for module in "$@"; do check_outcomes "$module"; done
}

# bats test_tags=all
@test "CPython's tests of imports come out as without us where the folders that they write to are cached, too" {
  need_module "python3.11/test/test_import" libpython3.11-testsuite
  MPIIO_CACHE_PATHS+=:$SCRATCH
  check_outcomes test_import test_runpy test_py_compile test_zipimport test_pkgutil
}

# bats test_tags=all
@test "CPython's tests of the import system come out as without us" {
  all_modules_of test_import test_importlib test_zipimport test_pkgutil test_runpy test_site test_py_compile
}

# bats test_tags=all
@test "CPython's tests of files come out as without us" {
  all_modules_of test_os test_posix test_io test_fileio test_mmap
}

# bats test_tags=all
@test "CPython's tests of paths and folders come out as without us" {
  all_modules_of test_glob test_pathlib test_shutil test_tempfile test_stat test_posixpath test_dbm
}

# bats test_tags=all
@test "CPython's tests of ctypes, venv, signals, faults and fork come out as without us" {
  all_modules_of test_ctypes test_venv test_fork1 test_faulthandler test_signal
}

# bats test_tags=all
@test "CPython's tests of threads and subprocess come out as without us" {
  all_modules_of test_threading test_subprocess
}

# bats test_tags=all
@test "CPython's tests of multiprocessing with fork come out as without us" {
  all_modules_of test_multiprocessing_fork
}

# PATTERN...: of the classes of test_multiprocessing_spawn, most of whose tests start Pythons.
spawning() {
  need_module "python3.11/test/test_import" libpython3.11-testsuite
  check_outcomes test_multiprocessing_spawn "$@"
}

# bats test_tags=all
@test "CPython's tests of multiprocessing with spawn come out as without us: threads" { spawning -m 'WithThreads*'; }

# bats test_tags=all
@test "CPython's tests of multiprocessing with spawn come out as without us: managers" { spawning -m 'WithManager*'; }

# bats test_tags=all
@test "CPython's tests of multiprocessing with spawn come out as without us: processes and pools" {
  spawning -m 'WithProcessesTestP*'
}

# bats test_tags=all
@test "CPython's tests of multiprocessing with spawn come out as without us: what processes share" {
  spawning -m 'WithProcesses*' -i 'WithProcessesTestP*'
}

# bats test_tags=all
@test "CPython's tests of multiprocessing with spawn come out as without us: all others" { spawning -i 'With*'; }

# MODULE...: the same of numpy, in 2 ranks.
check_numpy() {
  SUITE=numpy RANKS=2
  export OPENBLAS_NUM_THREADS=1 NPY_AVAILABLE_MEM=1GB # tests of many gigabytes, in each rank, are skipped
  need_module python3/dist-packages/numpy python3-numpy
  need_module python3/dist-packages/pytest python3-pytest
  need_module python3/dist-packages/hypothesis python3-hypothesis
  check_outcomes "$@"
}

@test "a short selection of numpy's own tests comes out as without us, test for test" {
  check_numpy numpy.fft numpy.matrixlib numpy.compat
}

# PATTERN...: of the names of numpy.core's files of tests.
check_numpy_core() {
  local pattern file
  local -a modules=()
  for pattern in "$@"; do
    # shellcheck disable=SC2231 # a pattern
    for file in /usr/lib/python3/dist-packages/numpy/core/tests/test_$pattern.py; do
      modules+=("numpy.core.tests.$(basename "$file" .py)")
    done
  done
  check_numpy "${modules[@]}"
}

# bats test_tags=all
@test "numpy.core's own tests come out as without us, a to e" { check_numpy_core '[_a-e]*'; }

# bats test_tags=all
@test "numpy.core's own tests come out as without us, f to m" { check_numpy_core '[f-l]*' 'm[ae]*'; }

# bats test_tags=all
@test "numpy.core's own tests come out as without us, multiarray" { check_numpy_core 'multiarray'; }

# bats test_tags=all
@test "numpy.core's own tests come out as without us, n to r" { check_numpy_core '[n-r]*'; }

# bats test_tags=all
@test "numpy.core's own tests come out as without us, s" { check_numpy_core 's*'; }

# bats test_tags=all
@test "numpy.core's own tests come out as without us, u" { check_numpy_core 'u*'; }

# MODULE...: each in a job of its own.
each_of_numpy() {
  local module
  for module in "$@"; do check_numpy "$module"; done
}

# bats test_tags=all
@test "numpy.lib's own tests come out as without us" { check_numpy numpy.lib; }

# bats test_tags=all
@test "numpy.random's and numpy.linalg's own tests come out as without us" { each_of_numpy numpy.random numpy.linalg; }

# bats test_tags=all
@test "the own tests of numpy's other parts come out as without us" {
  each_of_numpy numpy.ma numpy.polynomial numpy.matrixlib numpy.testing numpy.typing
  check_numpy numpy.compat numpy.fft # compat alone is one test
}
