# Processes of a job end while the cache still works for the others: nobody is killed, kept waiting, or told a wrong
# exit code.

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  mkdir "$SCRATCH/lib"
  echo 'value = 42' >"$SCRATCH/lib/package.py"
  export MPIIO_CACHE_PATHS=$SCRATCH/lib PYTHONPATH=$SCRATCH/lib PYTHONDONTWRITEBYTECODE=1
}

teardown() { helper_teardown; }

# HOW CODE VICTIMS THREADS SEEDS: runs jobs of two ranks, in which signal handlers end the victims. Each job must end as
# the plain one does.
handlers_end() {
  local seed
  for seed in $5; do
    on_ends() { on_mpiexec 2 "$PYTHON" "$PROGRAMS/ends.py" "$MIOC_BUILD/programs/ends.so" "$SCRATCH/lib" "$3" "$1" \
      "$2" "$4" "$seed"; }
    # What plain does is the same for each seed.
    [[ $seed != "${5%% *}" ]] || run_plain on_ends "$@"
    run_cached on_ends "$@"
    is_in_time || run_cached on_ends "$@"
    assert_same || { echo "$1 $2 of rank $3 with $4 threads, seed $seed"; return 1; }
    [[ ! -s $CACHED/stderr ]] || { cat "$CACHED/stderr"; return 1; }
  done
}

prepare_ends() {
  echo 'value = 42' >"$SCRATCH/lib/module.py"
  echo 'int ends_library;' >"$SCRATCH/library.c"
  gcc -shared -fPIC -o "$SCRATCH/lib/library0.so" "$SCRATCH/library.c"
  cp "$SCRATCH/lib/library0.so" "$SCRATCH/lib/library1.so"
  RUN_TIMEOUT=30
}

# Seen: rank 0 started a thread at its end, which allocates; exit() ran the destructors of MPI, which free.
@test "a signal's handler that interrupts malloc ends its rank as without us" {
  local how
  prepare_ends
  for how in _exit exit quick_exit; do
    handlers_end "$how" 0 0 0 1
    handlers_end "$how" 3 1 0 1
    handlers_end "$how" 0 0,1 0 1
  done
}

# Seen: besides, exit() waited 10 s for a dlopen() of another thread, which asked the agent that had just ended.
# bats test_tags=slow
@test "a signal's handler ends its rank wherever it comes, in one thread or four" {
  local how seeds
  prepare_ends
  for how in _exit exit quick_exit; do
    seeds=$(echo {1..17})
    handlers_end "$how" 0 0,1 1 "$seeds"
    handlers_end "$how" 0 0,1 4 "$seeds"
    handlers_end "$how" 5 0,1 4 "$seeds"
  done
}

# Seen: the second end found the first under way, said nothing to hydra, and hydra killed the job.
@test "a thread that calls _exit or exit while the leader's main thread waits for the others does not end the job" {
  local function
  for function in _exit exit; do
    cat >"$SCRATCH/ender.c" <<C
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
static void *end(void *unused) { (void)unused; sleep(1); $function(0); return NULL; }
void start(void) { pthread_t thread; pthread_create(&thread, NULL, end, NULL); }
C
    gcc -shared -fPIC -o "$SCRATCH/ender.so" "$SCRATCH/ender.c"
    cat >"$SCRATCH/app.py" <<PY
import ctypes, os, time, package
if os.environ["PMI_RANK"] == "0":
    ctypes.CDLL("$SCRATCH/ender.so").start()
else:
    time.sleep(3)
print("done", os.environ["PMI_RANK"])
PY
    same_as_plain on_mpiexec 3 "$PYTHON" "$SCRATCH/app.py"
  done
}

# Seen: exit code 142.
@test "an alarm that a rank set and did not live to see does not change its exit code" {
  cat >"$SCRATCH/app.py" <<'PY'
import os, signal, time, package
if os.environ["PMI_RANK"] == "0":
    signal.alarm(1)
else:
    time.sleep(3)
print("done", os.environ["PMI_RANK"])
PY
  same_as_plain on_mpiexec 3 "$PYTHON" "$SCRATCH/app.py"
}

# Seen: exit code 143. Rank 1 ends the leader once it has said its last word.
@test "a signal to a leader that is done but serves the others ends that, with status 0" {
  cat >"$SCRATCH/app.py" <<PY
import os, time, package
if os.environ["PMI_RANK"] == "0":
    with open("$SCRATCH/pid", "w") as f:
        f.write(str(os.getpid()))
    os.rename("$SCRATCH/pid", "$SCRATCH/leader")
else:
    while not os.path.exists("$SCRATCH/leader"):
        time.sleep(0.01)
    pid = int(open("$SCRATCH/leader").read())
    time.sleep(1) # for its way out
    try:
        os.kill(pid, 15)
    except ProcessLookupError:
        pass
    time.sleep(1)
print("done", os.environ["PMI_RANK"])
PY
  run_plain on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py"
  rm -f "$SCRATCH/leader"
  run_cached on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py"
  assert_same
}

# Seen: node 1, whose parent had left, kept its process for MPIIO_CACHE_LINGER for a child that it had sent away.
@test "a leader whose parent has left waits for nobody" {
  need_hosts
  cat >"$SCRATCH/app.py" <<PY
import os, sys, time, package
rank = int(os.environ["PMI_RANK"])
if rank == 0:
    sys.exit(3)
if rank == 1:
    time.sleep(1)
    with open("$SCRATCH/pid", "w") as f:
        f.write(str(os.getpid()))
    os.rename("$SCRATCH/pid", "$SCRATCH/one")
if rank == 5:
    while not os.path.exists("$SCRATCH/one"):
        time.sleep(0.01)
    pid = int(open("$SCRATCH/one").read())
    deadline = time.monotonic() + 5
    def is_there():
        try:
            return open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[0] not in "ZX"
        except OSError:
            return False
    while is_there() and time.monotonic() < deadline:
        time.sleep(0.05)
    print("one is there:", is_there())
PY
  run_plain on_hosts 6 1 "$PYTHON" "$SCRATCH/app.py"
  rm -f "$SCRATCH/one"
  run_cached on_hosts 6 1 "$PYTHON" "$SCRATCH/app.py"
  assert_same
}

# Seen: 0.4 to 0.6 percent of a core.
@test "an idle job's agents use less than 0.2 percent of a core each" {
  need_hosts
  cat >"$SCRATCH/app.py" <<'PY'
import os, time, package
def used():
    return sum(int(open("/proc/self/task/%s/schedstat" % t).read().split()[0])
               for t in os.listdir("/proc/self/task") if int(t) != os.getpid()) / 1e9
time.sleep(6)
before = used()
time.sleep(10)
percent = (used() - before) * 10
print("idle" if percent < 0.2 else "%.2f percent" % percent)
PY
  same_as_plain on_hosts 4 2 "$PYTHON" "$SCRATCH/app.py"
}
