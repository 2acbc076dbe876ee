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
