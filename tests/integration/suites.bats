# The regression tests of CPython and of numpy, run by each rank of a job with the standard library and site-packages cached: test for
# test they come out as without us. Both runs are jobs of as many ranks, so that what depends on timing meets the same load.

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

# ARGUMENTS...: sets DIFFERENT to the tests that came out differently. Fails if the cached run was none.
run_both() {
  run_plain outcomes_in run "$@"
  MPIIO_CACHE_LOG=info run_cached outcomes_in run "$@"
  if ! grep -q "mpiio_cache: active: $RANKS ranks on 1 node" "$SCRATCH"/run/rank0/log; then
    head -n 5 "$SCRATCH"/run/rank*/log
    return 1
  fi
  # A time-out or deadline of ours is no way to get the right results.
  if grep -h 'mpiio_cache: ' "$SCRATCH"/run/rank*/log | grep -v 'mpiio_cache: active'; then return 1; fi
  DIFFERENT=$(diff <(sort "$PLAIN/stdout") <(sort "$CACHED/stdout") | grep '^[<>]' || true)
  ((PLAIN_RC == CACHED_RC)) || DIFFERENT+=$'\n'"exit code: plain $PLAIN_RC, cached $CACHED_RC"
}

# MODULE...: the outcomes are the same. What differs is run again alone: if it then agrees it depends on luck, and is named.
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
    for test in $(awk '$2 ~ /^[0-9]$/ && $3 ~ /^test\./ { print $3 }' <<<"$DIFFERENT" | sort -u); do again+=(-m "$test"); done
  fi
  run_both "$@" "${again[@]}"
  [[ -z $DIFFERENT ]] || { echo "differ again: $DIFFERENT"; return 1; }
  echo "# depends on luck: ${again[*]:-the whole}" >&3
}

@test "a short selection of CPython's own tests comes out as without us, test for test" {
  need_module "python3.11/test/test_import" libpython3.11-testsuite
  check_outcomes test_import test_posix test_fileio test_zipimport test_pkgutil test_posixpath test_stat test_dbm test_py_compile
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
@test "CPython's tests of files and paths come out as without us" {
  all_modules_of test_os test_posix test_io test_fileio test_glob test_pathlib test_shutil test_tempfile test_stat test_posixpath test_mmap test_dbm
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

# bats test_tags=all
@test "CPython's tests of multiprocessing with spawn come out as without us" {
  all_modules_of test_multiprocessing_spawn
}

# MODULE...: the same of numpy, in 2 ranks.
check_numpy() {
  SUITE=numpy RANKS=2
  need_module python3/dist-packages/numpy python3-numpy
  need_module python3/dist-packages/pytest python3-pytest
  need_module python3/dist-packages/hypothesis python3-hypothesis
  check_outcomes "$@"
}

@test "a short selection of numpy's own tests comes out as without us, test for test" {
  check_numpy numpy.fft numpy.matrixlib numpy.compat
}

# bats test_tags=all
@test "numpy's own tests come out as without us" {
  local module
  for module in numpy.core numpy.lib numpy.linalg numpy.random numpy.ma numpy.fft numpy.polynomial numpy.matrixlib numpy.compat numpy.testing numpy.typing; do
    check_numpy "$module"
  done
}
