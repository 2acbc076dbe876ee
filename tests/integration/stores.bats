# The node's store: if its directory cannot be used, the library says so once, the program runs uncached, and nothing is
# left.

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  mkdir -p "$SCRATCH/lib/package"
  echo 'value = 42' >"$SCRATCH/lib/package/__init__.py"
  cat >"$SCRATCH/app.py" <<PY
import sys
sys.path.insert(0, "$SCRATCH/lib")
sys.dont_write_bytecode = True
import package
print(package.value, package.__file__)
PY
  export MPIIO_CACHE_PATHS=$SCRATCH/lib
  APP=("$PYTHON" "$SCRATCH/app.py")
}

teardown() {
  for mounted in "$SCRATCH"/tmpfs*; do
    [[ ! -d $mounted ]] || umount "$mounted" 2>/dev/null || true
  done
  helper_teardown
}

# DIRECTORY: the job must run uncached and say so in exactly one line that names it.
check_unusable() {
  run_plain on_mpiexec 2 "${APP[@]}"
  MPIIO_CACHE_DIR=$1 run_cached on_mpiexec 2 "${APP[@]}"
  assert_same
  said
  (($(said | grep -c .) == 1))
  [[ $(said) == *"$1"* ]]
}

@test "a missing directory is one warning and the program runs" { check_unusable "$SCRATCH/nowhere"; }

@test "a read-only directory is one warning and the program runs" {
  need_root
  mkdir "$SCRATCH/tmpfs"
  mount -t tmpfs -o ro tmpfs "$SCRATCH/tmpfs"
  check_unusable "$SCRATCH/tmpfs"
}

@test "a full directory is one warning and the program runs" {
  need_root
  mkdir "$SCRATCH/tmpfs"
  mount -t tmpfs -o size=64k tmpfs "$SCRATCH/tmpfs"
  head -c 128k /dev/zero >"$SCRATCH/tmpfs/full" 2>/dev/null || true
  check_unusable "$SCRATCH/tmpfs"
}

@test "a directory that fills up while the job runs costs the cache, not the program" {
  need_root
  mkdir "$SCRATCH/tmpfs"
  # Room for the store itself and little more: the contents do not fit.
  mount -t tmpfs -o size=6m tmpfs "$SCRATCH/tmpfs"
  for i in 1 2 3 4; do head -c 3000000 /dev/urandom | base64 -w 60 | sed 's/^/# /' >"$SCRATCH/lib/big$i.py"; done
  cat >>"$SCRATCH/app.py" <<'PY'
import big1, big2, big3, big4, hashlib
print([hashlib.sha256(open(m.__file__, "rb").read()).hexdigest() for m in (big1, big2, big3, big4)])
PY
  MPIIO_CACHE_DIR=$SCRATCH/tmpfs same_as_plain on_mpiexec 3 "${APP[@]}"
}

@test "MPIIO_CACHE_MAX_BYTES bounds the store; what does not fit is read from the filesystem" {
  for i in 1 2 3 4; do head -c 3000000 /dev/urandom | base64 -w 60 | sed 's/^/# /' >"$SCRATCH/lib/big$i.py"; done
  echo 'import big1, big2, big3, big4; print("all")' >>"$SCRATCH/app.py"
  run_plain on_mpiexec 2 "${APP[@]}"
  MPIIO_CACHE_STATS=$SCRATCH/stats.json MPIIO_CACHE_MAX_BYTES=9M run_cached on_mpiexec 2 "${APP[@]}"
  assert_same
  jq .store "$SCRATCH/stats.json"
  (($(stat_of "$SCRATCH/stats.json" .store.bytes) <= 9 * 1048576))
  (($(stat_of "$SCRATCH/stats.json" .calls.open.hit) + $(stat_of "$SCRATCH/stats.json" .calls.open.miss) > 0))
}

@test "a noexec directory serves Python's files" {
  need_root
  mkdir "$SCRATCH/tmpfs"
  mount -t tmpfs -o noexec tmpfs "$SCRATCH/tmpfs"
  MPIIO_CACHE_DIR=$SCRATCH/tmpfs MPIIO_CACHE_LOG=info same_as_plain on_mpiexec 2 "${APP[@]}"
  [[ $(said) == *'active: 2 ranks'* ]]
}

@test "two jobs of one user on a node at once do not disturb each other" {
  both() { on_mpiexec 2 "${APP[@]}" & on_mpiexec 3 "${APP[@]}"; local rc=$?; wait $! && return "$rc"; }
  same_as_plain both
}

@test "two jobs of two users on a node at once do not disturb each other" {
  need_root
  chmod 755 "$SCRATCH"
  both() { on_mpiexec 2 "${APP[@]}" & launch setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/tmp \
    mpiexec.mpich -n 2 "${APP[@]}"; local rc=$?; wait $! && return "$rc"; }
  same_as_plain both
}

@test "what a killed job left is reclaimed by the next one" {
  cat >"$SCRATCH/killed.py" <<'PY'
import os, signal
import package
os.kill(os.getpid(), signal.SIGKILL)
PY
  export PYTHONPATH=$SCRATCH/lib
  run_cached on_mpiexec 2 "$PYTHON" "$SCRATCH/killed.py"
  ((CACHED_RC != 0))
  unset PYTHONPATH
  same_as_plain on_mpiexec 2 "${APP[@]}"
  are_stores_as_before
}

# The index has room for much more than an import needs, and locking it would fill that with pages of /dev/shm.
@test "mlockall locks what is in use of the store, and not its whole room" {
  need_root # to lock without limit
  cat >"$SCRATCH/lock.py" <<PY
import ctypes, os, sys
sys.path.insert(0, "$SCRATCH/lib")
import package
def shared():
    fs = os.statvfs("/dev/shm")
    return (fs.f_blocks - fs.f_bfree) * fs.f_frsize >> 20
# MB of the index that are mapped, and so locked. (Threads of rank 0 also have address space for heaps, which has no
# pages.)
def room():
    spans = [line.split()[0].split("-") for line in open("/proc/self/maps") if line.rstrip().endswith("/index")]
    return sum(int(end, 16) - int(start, 16) for start, end in spans) >> 20
libc, before = ctypes.CDLL(None), shared()
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
    os.write(2, b"%d MB more of /dev/shm, %d MB of the index\\n" % (shared() - before, room()))
say(package.value, libc.mlockall(3), shared() - before < 64, 0 < room() < 32)
import json, email.mime.text, xml.dom.minidom
say(shared() - before < 64, 0 < room() < 32, libc.munlockall())
PY
  MPIIO_CACHE_LOG=info run_cached on_mpiexec 2 "$PYTHON" "$SCRATCH/lock.py"
  cat "$CACHED/stdout" "$CACHED/stderr"
  [[ $(said) == *'active: 2 ranks'* ]]
  [[ $(sort -u "$CACHED/stdout") == "42 0 True True"$'\n'"True True 0" ]]
}
