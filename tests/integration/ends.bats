# How a job's processes end while the cache still works for the others: nobody is killed, kept or told a wrong exit code for it.

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  mkdir "$SCRATCH/lib"
  echo 'value = 42' >"$SCRATCH/lib/package.py"
  export MPIIO_CACHE_PATHS=$SCRATCH/lib PYTHONPATH=$SCRATCH/lib PYTHONDONTWRITEBYTECODE=1
}

teardown() { helper_teardown; }

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
