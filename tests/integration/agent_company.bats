# What else may be in a rank's process and around it, with the agent as a process of its own: other preloaded libraries,
# debuggers, namespaces, limits, stopped processes. Each comes out as without us.

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  export MPIIO_CACHE_TRANSPORT=tcp
  mkdir -p "$SCRATCH/lib/many"
  : >"$SCRATCH/lib/many/__init__.py"
  for i in {0..19}; do echo "value = $i" >"$SCRATCH/lib/many/m$i.py"; done
  echo 'value = 42' >"$SCRATCH/lib/package.py"
  export MPIIO_CACHE_PATHS=$SCRATCH/lib PYTHONPATH=$SCRATCH/lib PYTHONDONTWRITEBYTECODE=1 MPIIO_CACHE_LOG=info
}

teardown() { helper_teardown; }

is_active() {
  said
  [[ $(said) == *"active: $1 ranks on $2 node"*', TCP'* ]]
}

# On one host and on two.
on_each() {
  local ranks=$1
  shift
  same_as_plain on_mpiexec "$ranks" "$@"
  is_active "$ranks" 1
  need_hosts
  same_as_plain on_hosts 2 "$ranks" "$@"
  is_active $((2 * ranks)) 2
}

# LIBRARY COMMAND...: LIBRARY is preloaded before us, then after us.
beside() {
  local order
  for order in "$1:\$LD_PRELOAD" "\${LD_PRELOAD:+\$LD_PRELOAD:}$1"; do
    echo "$order"
    on_each 2 sh -c "LD_PRELOAD=$order exec \"\$@\"" sh "${@:2}"
  done
}

@test "libfaketime, whose clocks stand still, is preloaded before and after us" {
  local library=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1
  [[ -e $library ]] || skip "libfaketime is not installed"
  FAKETIME='2020-12-24 20:30:00' FAKETIME_NO_CACHE=1 beside $library "$PYTHON" -c '
import os, subprocess, sys, time, many.m1, package
print(time.gmtime().tm_year, many.m1.value, time.gmtime(os.stat(package.__file__).st_mtime).tm_year > 2000)
print(subprocess.check_output([sys.executable, "-c", "import many.m2; print(many.m2.value)"]))'
}

@test "a tracer that overrides the start of main and the file calls is preloaded before and after us" {
  BESIDE_BELOW=/nothing BESIDE_LOG=/dev/null beside "$MIOC_BUILD/programs/beside.so" "$PYTHON" -c '
import os, many.m1, sqlite3
print(many.m1.value, os.listdir(os.path.dirname(many.__file__))[:0])'
}

@test "a malloc that keeps descriptors of its own leaves the program's output alone" {
  beside "$MIOC_BUILD/programs/malloc_pipe.so" "$PYTHON" -c '
import os, sys
for i in range(20):
    __import__("many.m%d" % i)
os.write(2, b"said\n")
print("said")'
  (($(grep -c '^said$' "$CACHED/stderr") == 4))
}

@test "a profiler that wraps MPI counts what the program calls, and no call of ours" {
  need_command mpicc.mpich
  cat >"$SCRATCH/profile.c" <<'C'
#include <mpi.h>
#include <stdio.h>
static int calls;
int MPI_Init_thread(int *c, char ***v, int r, int *p) { calls++; return PMPI_Init_thread(c, v, r, p); }
int MPI_Init(int *c, char ***v) { calls++; return PMPI_Init(c, v); }
int MPI_Barrier(MPI_Comm c) { calls++; return PMPI_Barrier(c); }
int MPI_Iprobe(int s, int t, MPI_Comm c, int *f, MPI_Status *st) { calls++; return PMPI_Iprobe(s, t, c, f, st); }
int MPI_Test(MPI_Request *r, int *f, MPI_Status *s) { calls++; return PMPI_Test(r, f, s); }
int MPI_Session_init(MPI_Info i, MPI_Errhandler e, MPI_Session *s) { calls++; return PMPI_Session_init(i, e, s); }
int MPI_Finalize(void) { printf("calls %d\n", calls); fflush(stdout); return PMPI_Finalize(); }
C
  mpicc.mpich -shared -fPIC -o "$SCRATCH/profile.so" "$SCRATCH/profile.c"
  PYTHONPATH+=:$MIOC_BUILD/lib beside "$SCRATCH/profile.so" "$PYTHON" -c '
import many.m1, mioc_mpi
mioc_mpi.init(); mioc_mpi.barrier()
import many.m2
mioc_mpi.finalize()'
  (($(grep -c '^calls 2$' "$CACHED/stdout") == 4))
  [[ ! $(<"$CACHED/stderr") =~ UCX.*WARN ]]
}

@test "ranks that have a /dev/shm of their own hear of each other's writes" {
  need_root
  cat >"$SCRATCH/apart.py" <<'PY'
import os, sys, time
sync, rank = sys.argv[1], int(os.environ["PMI_RANK"])
name = os.path.join(sys.argv[2], "fresh.py")
def barrier(step):
    open("%s/%s.%s.%d" % (sync, os.environ.get("LD_PRELOAD", "plain")[-2:], step, rank), "w")
    while sum(".%s." % step in file for file in os.listdir(sync)) < 2:
        time.sleep(0.01)
import many.m1
print(rank, os.path.exists(name), os.path.exists(name), "fresh.py" in os.listdir(sys.argv[2]))
barrier("looked")
if rank == 1:
    open(name, "w").write("value = 7")
barrier("written")
print(rank, os.path.exists(name), open(name).read(), "fresh.py" in os.listdir(sys.argv[2]))
PY
  # shellcheck disable=SC2016
  own_shm() {
    rm -rf "$SCRATCH/sync" "$SCRATCH/lib/many/fresh.py"
    mkdir "$SCRATCH/sync"
    on_mpiexec 2 unshare --mount --propagation private sh -c 'mount -t tmpfs tmpfs /dev/shm && exec "$@"' sh \
      "$PYTHON" "$SCRATCH/apart.py" "$SCRATCH/sync" "$SCRATCH/lib/many"
  }
  same_as_plain own_shm
  said
  [[ $(said) == *'do not share MPIIO_CACHE_DIR'*'Give '* ]]
}

@test "a /dev/shm that is read-only costs the cache" {
  need_root
  # shellcheck disable=SC2016
  same_as_plain on_mpiexec 2 unshare --mount --propagation private sh -c 'mount -o bind,ro /dev/shm /dev/shm &&
    mount -o remount,bind,ro /dev/shm && exec "$@"' sh "$PYTHON" -c 'import many.m1; print(many.m1.value)'
  [[ $(said) == *'inactive: cannot use MPIIO_CACHE_DIR=/dev/shm'* ]]
}

@test "ranks in network, IPC, UTS, cgroup and user namespaces of their own are served from one store" {
  need_root
  local namespace
  for namespace in --net --ipc --uts --cgroup '--user --map-root-user'; do
    echo "$namespace"
    # shellcheck disable=SC2086 # words
    same_as_plain on_mpiexec 2 unshare $namespace "$PYTHON" -c '
import os, sys, many.m1
print(many.m1.value)
# The other rank may still have the turn, in which it has started the agent.
stores = [name for name in os.listdir("/dev/shm") if name.startswith("mpiio_cache-%d-" % os.geteuid())
          and not name.endswith("-turn")]
print("stores", len(stores), file=sys.stderr)'
    is_active 2 1
    (($(grep -c '^stores 1$' "$CACHED/stderr") == 2))
    has_no_stores /dev/shm # so that the next job sees its own
  done
}

@test "nodes that do not reach the root's go on uncached when the time is over, and say so" {
  need_hosts
  # shellcheck disable=SC2016
  SLACK=4 MPIIO_CACHE_TIMEOUT=1 same_as_plain on_hosts 2 2 unshare --net sh -c 'ip link set lo up; exec "$@"' sh \
    "$PYTHON" -c 'import many.m1; print(many.m1.value)'
  said
  [[ $(said | grep -c 'node 1 does not reach the others') == 1 ]]
}

@test "a task in a PID namespace of its own says why it is not served, and the others are" {
  need_root
  # shellcheck disable=SC2016
  same_as_plain on_mpiexec 2 sh -c '[ "$PMI_RANK" = 0 ] || exec unshare --pid --fork --kill-child --mount-proc "$@"
    exec "$@"' sh "$PYTHON" -c 'import many.m1; print(many.m1.value)'
  is_active 2 1
  [[ $(said) == *'inactive: started neither by mpiexec nor by srun'* ]]
  # Nor does it where a list says where the nodes are: it would not hear of the others' writes.
  # shellcheck disable=SC2016
  MPIIO_CACHE_HOSTS=$(hostname) same_as_plain on_mpiexec 2 sh -c '
    [ "$PMI_RANK" = 0 ] || exec unshare --pid --fork --kill-child --mount-proc "$@"
    exec "$@"' sh "$PYTHON" -c 'import many.m1; print(many.m1.value)'
  is_active 2 1
  [[ $(said) == *'inactive: started neither by mpiexec nor by srun'* ]]
}

@test "a program that is linked with libpython is served, as a task and as a task's child" {
  local config=/usr/bin/python3-config
  [[ -x $config ]] || skip "python3-config is not installed"
  cat >"$SCRATCH/embed.c" <<'C'
#include <Python.h>
int main(int argc, char **argv)
{
    Py_Initialize();
    return PyRun_SimpleString(argv[1]) != 0 || Py_FinalizeEx() != 0 || argc != 2;
}
C
  # shellcheck disable=SC2046 # words
  gcc -o "$SCRATCH/embed" "$SCRATCH/embed.c" $($config --cflags --ldflags --embed)
  on_each 2 "$SCRATCH/embed" 'import many.m1; print(many.m1.value)'
  # shellcheck disable=SC2016
  MPIIO_CACHE_STATS=$SCRATCH/stats.json same_as_plain on_mpiexec 2 "$PYTHON" -c '
import subprocess, sys
print(subprocess.check_output([sys.argv[1], "import many.m2; print(many.m2.value)"]))' "$SCRATCH/embed"
  is_active 2 1
}

@test "a fork sees one thread, so no Python warns" {
  local python count=0 code='
import os, sys, warnings, many.m1
warnings.simplefilter("error")
import multiprocessing, pty
assert len(os.listdir("/proc/self/task")) == 1
child = os.fork()
if child == 0:
    import many.m2
    os._exit(many.m2.value)
print(os.waitpid(child, 0)[1])
child, fd = pty.fork()
if child == 0:
    os._exit(4)
print(os.waitpid(child, 0)[1])
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(abs, [-1, -2]))'
  for python in "$PYTHON" "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python3 /usr/bin/python3.1[2-9]; do
    [[ -x $python ]] || continue
    echo "$python"
    same_as_plain on_mpiexec 2 "$python" -c "$code"
    is_active 2 1
    (($(grep -c '^\[1, 2\]$' "$CACHED/stdout") == 2))
  done
}

@test "gdb is attached to a rank, by another process and by itself; the others go on" {
  need_command gdb
  cat >"$SCRATCH/look.py" <<'PY'
import os, subprocess, sys, many.m1
def gdb(pid, *commands):
    line = ["gdb", "-nx", "-batch", "-p", str(pid)] + [word for c in commands for word in ("-ex", c)]
    out = subprocess.run(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return out.returncode, "#0" in out.stdout
there, seen = sys.argv[1] + "/there", sys.argv[1] + "/seen"
if os.environ["PMI_RANK"] == "0":
    open(there + ".new", "w").write(str(os.getpid()))
    os.rename(there + ".new", there)
    while not os.path.exists(seen):
        pass
    import many.m2
    print(many.m2.value, gdb(os.getpid(), "python import wave, tabnanny", "bt 1", "detach"))
else:
    while not os.path.exists(there):
        pass
    # Rank 0 stands still while this one imports.
    code = "import many.m3, sqlite3; open(%r, 'w')" % seen
    print(gdb(open(there).read(), "bt 1", "shell %s -c \"%s\"" % (sys.executable, code), "detach"))
import many.m4
print(many.m4.value)
PY
  attach() {
    rm -f "$SCRATCH/there" "$SCRATCH/seen"
    on_mpiexec 2 "$PYTHON" "$SCRATCH/look.py" "$SCRATCH"
  }
  same_as_plain attach
  is_active 2 1
  (($(grep -c '(0, True)' "$CACHED/stdout") == 2))
}

@test "a rank that stands still holds up nobody, whichever rank started the agent" {
  need_hosts
  cat >"$SCRATCH/still.py" <<'PY'
import os, signal, subprocess, sys, time, many.m1
sync, still, rank = sys.argv[1], sys.argv[2], os.environ["PMI_RANK"]
if rank == still:
    # Its child lets it go on when all others have imported and ended.
    code = """
import os, signal, sys, time
os.kill(os.getppid(), signal.SIGSTOP)
open(sys.argv[1] + "/stopped", "w")
until = time.monotonic() + 30
while time.monotonic() < until and len([n for n in os.listdir(sys.argv[1]) if n.startswith("done")]) < 3:
    time.sleep(0.01)
print("in time", time.monotonic() < until, flush=True)
os.kill(os.getppid(), signal.SIGCONT)"""
    subprocess.run([sys.executable, "-c", code, sync])
else:
    while not os.path.exists(sync + "/stopped"):
        time.sleep(0.01)
    for i in range(2, 20):
        assert __import__("many.m%d" % i, fromlist=["value"]).value == i
    open(sync + "/done" + rank, "w")
import many.m1, decimal
print("rank", rank, decimal.Decimal(1))
PY
  stand_still() {
    rm -rf "$SCRATCH/sync"
    mkdir "$SCRATCH/sync"
    on_hosts 2 2 "$PYTHON" "$SCRATCH/still.py" "$SCRATCH/sync" "$1"
  }
  local rank
  for rank in 0 1 2 3; do
    same_as_plain stand_still "$rank"
    is_active 4 2
    grep -q '^in time True' "$CACHED/stdout"
  done
}

# The agents of this test, as PID lines.
agents() {
  local comm
  for comm in $(grep -lx mpiio_cache /proc/[0-9]*/comm 2>/dev/null); do
    ! grep -qzx "MIOC_TEST_ID=$MIOC_TEST_ID" "${comm%comm}environ" 2>/dev/null || basename "${comm%/comm}"
  done
}

@test "a stopped agent costs each call no more than the deadline, and when it goes on nothing is served that is old" {
  cat >"$SCRATCH/calls.py" <<'PY'
import os, sys, time, many.m1
sync, rank = sys.argv[1], os.environ["PMI_RANK"]
made = os.path.dirname(many.__file__) + "/made.py"
def await_file(name):
    while not os.path.exists(sync + "/" + name):
        time.sleep(0.01)
def look():
    return os.path.exists(made), "made.py" in os.listdir(os.path.dirname(made))
print(look())
open(sync + "/there" + rank, "w")
await_file("stopped")
since = time.monotonic()
for i in range(8):
    print(__import__("apart%d.inner" % i, fromlist=["value"]).value)
if rank == "1":
    open(made, "w").write("value = 5")
print("seconds", int(time.monotonic() - since))
open(sync + "/real" + rank, "w")
await_file("real0"); await_file("real1")
print(look())
await_file("continued")
import package
print(look(), package.value)
PY
  mkdir "$SCRATCH/sync"
  local job agent i
  for i in {0..7}; do
    mkdir "$SCRATCH/lib/apart$i"
    echo "value = $i" >"$SCRATCH/lib/apart$i/inner.py"
  done
  MPIIO_CACHE_TIMEOUT=1 PRELOAD=$MIOC_LIBRARY on_mpiexec 2 "$PYTHON" "$SCRATCH/calls.py" "$SCRATCH/sync" \
    >"$SCRATCH/out" 2>"$SCRATCH/err" 3>&- &
  job=$!
  await "$SCRATCH/sync/there0" "$SCRATCH/sync/there1"
  agent=$(agents)
  kill -STOP "$agent"
  : >"$SCRATCH/sync/stopped"
  await "$SCRATCH/sync/real0" "$SCRATCH/sync/real1" || { kill -CONT "$agent"; return 1; }
  kill -CONT "$agent"
  : >"$SCRATCH/sync/continued"
  wait "$job"
  cat "$SCRATCH/out" "$SCRATCH/err"
  (($(awk '/^seconds/ && $2 < 5' "$SCRATCH/out" | wc -l) == 2))
  diff <(grep -v seconds "$SCRATCH/out" | sort) <(for i in 0 1; do
    printf '%s\n' {0..7} '(False, False)' '(True, True)' '(True, True) 42'
  done | sort)
}

# Waits for files.
await() {
  local file deadline=$((SECONDS + 30))
  for file in "$@"; do
    until [[ -e $file ]]; do
      ((SECONDS < deadline)) || { echo "no $file"; return 1; }
      sleep 0.02
    done
  done
}
