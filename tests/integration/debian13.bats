# Debian 13 (glibc 2.41, MPICH 4.2, UCX 1.18, Python 3.13), in a root folder: built there, run there, and as many loads
# served as here. UCX's memory hooks take dlopen out of every object's table of functions there.

setup() {
  load helper
  helper_setup
  need_hosts
  need_command jq
  need_command gcc
}

teardown() { helper_teardown; }

# COMMAND...: in the other root.
there() { "$FIXTURES/in-root" "$ROOT" "$MIOC_ROOT" "$SCRATCH" -- "$@"; }

# NAME COMMAND...: what the cached job served of the eight libraries, in NAME.json.
job() {
  local name=$1
  shift
  "$@" env MPIIO_CACHE_LOG=info MPIIO_CACHE_PATHS="$SCRATCH/libraries" MPIIO_CACHE_STATS="$SCRATCH/$name.json" \
    "$FIXTURES/simulated-hosts" 2 2 /usr/bin/python3 "$SCRATCH/app.py" "$SCRATCH/libraries" >"$SCRATCH/$name" 2>&1
}

here() { "$@"; }

# bats test_tags=all
@test "Debian 13: it is built without an error, a job's loads are served there as here, and no fork warns" {
  ROOT=$PYTHON_ENVS/debian-13
  fixture debian-root "$ROOT" trixie gcc libc6-dev cmake ninja-build pkg-config mpich libmpich-dev libxxhash-dev \
    libsodium-dev python3 python3-numpy
  there cmake -S "$MIOC_ROOT" -B "$SCRATCH/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF \
    >"$SCRATCH/log" 2>&1 || { tail -n 20 "$SCRATCH/log"; return 1; }
  there cmake --build "$SCRATCH/build" >"$SCRATCH/log" 2>&1 || { tail -n 20 "$SCRATCH/log"; return 1; }
  grep -A 3 'warning:' "$SCRATCH/log" || true

  mkdir "$SCRATCH/libraries"
  for i in {0..7}; do
    gcc -shared -fPIC -x c - -o "$SCRATCH/libraries/lib$i.so" <<<"int value(void) { return $i; }"
  done
  cat >"$SCRATCH/app.py" <<'END'
import ctypes, os, sys, warnings
with warnings.catch_warnings(): # from Python 3.12 on a fork in a process with threads warns; numpy brings some
    warnings.simplefilter("error")
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
import numpy
values = [ctypes.CDLL(f"{sys.argv[1]}/lib{i}.so").value() for i in range(8)]
sys.stdout.write(f"{values} {numpy.arange(4).sum()}\n")
END
  job here here env LD_PRELOAD="$MIOC_LIBRARY"
  job there there env LD_PRELOAD="$SCRATCH/build/lib/libmpiio_cache.so"
  for job in here there; do
    cat "$SCRATCH/$job"
    jq -c '.loader, .calls.loader' "$SCRATCH/$job.json"
    grep -q 'active: 4 ranks on 2 nodes, .*, loader patch$' "$SCRATCH/$job"
    [[ $(grep -c '^\[0, 1, 2, 3, 4, 5, 6, 7\] 6$' "$SCRATCH/$job") == 4 ]]
    # Each library in each rank, from the store.
    [[ $(jq '.calls.loader | .hit + .miss' "$SCRATCH/$job.json") == 32 ]]
    [[ $(jq '.loader.patched' "$SCRATCH/$job.json") == 4 ]]
  done
}
