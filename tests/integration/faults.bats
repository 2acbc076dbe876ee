# Faults under a running import: ranks that die or stand still, a full /dev/shm, a file server in trouble, limits that
# are reached. Survivors go on with right answers, nothing waits longer than the deadline, nothing is left.

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  mkdir "$SCRATCH/lib"
  for i in 1 2 3; do echo "value = $i" >"$SCRATCH/lib/package$i.py"; done
  export MPIIO_CACHE_PATHS=$SCRATCH/lib PYTHONPATH=$SCRATCH/lib PYTHONDONTWRITEBYTECODE=1
}

teardown() { helper_teardown; }

random_faults() {
  local rc=0
  need_fuse
  need_hosts
  "$PROGRAMS/faults" --seeds "$1" || rc=$?
  ((rc != 77)) || skip "see above"
  return "$rc"
}

@test "seeded random faults: no wrong answer, no hang, nothing left" {
  random_faults 3,5,11,16,31,38,63,99,107,112,156,159
}

# bats test_tags=all
@test "200 seeded random faults, survivors of killed ranks under Slurm too: no wrong answer, no hang, nothing left" {
  need_command slurmctld
  random_faults 1-200
}

# Seen: UCX ended a leader by abort() when it read from a node that had just been killed, and with it the program.
@test "MPI that aborts in the cache's thread costs the cache, not the program" {
  need_hosts
  cat >"$SCRATCH/app.py" <<'PY'
import os, time, package1
rank = int(os.environ["PMI_RANK"])
if rank == 3:
    open(os.environ["MIOC_ABORT_FILE"], "w").close()
while not os.path.exists(os.environ["MIOC_ABORT_FILE"]):
    time.sleep(0.01)
time.sleep(1) # the agents look at MPI all the time
import package2, package3
print("done", rank, package2.value, package3.value)
PY
  export MPIIO_CACHE_TRANSPORT=mpi
  export MIOC_ABORT_FILE=$SCRATCH/abort MIOC_ABORT_RANK=2 MPIIO_CACHE_TIMEOUT=2 MPIIO_CACHE_LINGER=3
  SLACK=8 # rank 0's node notices the silence of rank 2's
  run_plain on_hosts 2 2 "$PYTHON" "$SCRATCH/app.py"
  rm "$SCRATCH/abort"
  PRELOAD="$MIOC_LIBRARY:$MIOC_BUILD/programs/aborting_mpi.so" run_into "$CACHED" on_hosts 2 2 "$PYTHON" \
    "$SCRATCH/app.py"
  CACHED_RC=$RC CACHED_SECONDS=$TOOK
  assert_same
  [[ $(said) == *'node 1: MPI gave up'* ]]
}

# Seen: Bus error in MPICH, Abort in UCX; the program, which needs no MPI, was killed.
@test "a /dev/shm without room for MPI does not end the program" {
  need_root
  local size
  small() { unshare --mount bash \
    -c 'mount -t tmpfs -o size='"$size"' tmpfs /dev/shm && head -c '"$size"' /dev/zero >/dev/shm/full; exec "$@"' \
    bash env ${PRELOAD:+LD_PRELOAD="$PRELOAD"} timeout 60 mpiexec.mpich -n 4 "$PYTHON" \
    -c 'import package1; print(package1.value)'; }
  for size in 64k 4m; do
    same_as_plain small
    said
  done
}

@test "a subprocess with another clock is answered as ever" {
  need_root
  unshare --time --monotonic 1000 true 2>/dev/null || skip "no time namespaces here"
  cat >"$SCRATCH/app.py" <<'PY'
import subprocess, sys, package1
for offset in ("100000", "-1"):
    done = subprocess.run(["unshare", "--time", "--monotonic", offset, sys.executable, "-c",
                           "import package1, package2; print(package2.value)"],
                          capture_output=True, text=True)
    print(done.returncode, done.stdout)
PY
  same_as_plain on_mpiexec 3 "$PYTHON" "$SCRATCH/app.py"
}

# LIMIT COMMAND...: in a memory cgroup of its own; the kernel's file names differ.
in_cgroup() {
  local limit=$1 group rc=0
  shift
  if [[ -d /sys/fs/cgroup/memory ]]; then
    group=/sys/fs/cgroup/memory/$MIOC_TEST_ID
    mkdir "$group"
    echo "$limit" >"$group/memory.limit_in_bytes"
  else
    group=/sys/fs/cgroup/$MIOC_TEST_ID
    mkdir "$group"
    echo "$limit" >"$group/memory.max"
  fi
  bash -c 'echo $$ >"$0" && exec "$@"' "$group/cgroup.procs" timeout -k 5 60 env ${PRELOAD:+LD_PRELOAD="$PRELOAD"} \
    "$@" || rc=$?
  for _ in {1..50}; do rmdir "$group" 2>/dev/null && break; sleep 0.1; done
  return "$rc"
}

# Seen: what was read at the start stayed in the store, and the kernel killed the job. 64 MiB are more than MPI takes in
# 3 ranks.
@test "a program that grows to just below its memory cgroup's limit is not killed for what the cache holds" {
  need_root
  mkdir "/sys/fs/cgroup/memory/$MIOC_TEST_ID" 2>/dev/null || mkdir "/sys/fs/cgroup/$MIOC_TEST_ID" 2>/dev/null ||
    skip "no memory cgroup to write to"
  rmdir "/sys/fs/cgroup/memory/$MIOC_TEST_ID" 2>/dev/null || rmdir "/sys/fs/cgroup/$MIOC_TEST_ID"
  for i in 1 2 3 4; do head -c 14M /dev/zero >"$SCRATCH/lib/blob$i.py"; done
  cat >"$SCRATCH/app.py" <<'PY'
import sys, time, package1
lib = sys.path[1]
for i in range(1, 5):
    with open("%s/blob%d.py" % (lib, i), "rb") as file:
        file.read(1)
held = []
for _ in range(60):  # to 180 MB in all ranks
    held.append(bytearray(b"x") * (1 << 20))
    time.sleep(0.02)
import package2
time.sleep(0.5)
print(package2.value, len(held))
PY
  export MPIIO_CACHE_LOG=info
  same_as_plain in_cgroup $(((180 + 3 * 10 + 64) << 20)) mpiexec.mpich -n 3 "$PYTHON" "$SCRATCH/app.py"
  [[ $(said) == *'limit is near'* ]]
}
