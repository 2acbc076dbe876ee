# Ends by way of exec and of C's own functions, descriptors that MPI holds, launchers that are not preloaded themselves.

setup() {
  load helper
  helper_setup
  need_hosts
  mkdir -p "$SCRATCH/lib"
  for name in package late; do echo "value = '$name'" >"$SCRATCH/lib/$name.py"; done
  export MPIIO_CACHE_PATHS=$SCRATCH/lib PYTHONPATH=$SCRATCH/lib:$MIOC_BUILD/lib PYTHONDONTWRITEBYTECODE=1
  # os.write: one system call a line, as ranks share one output.
  cat >"$SCRATCH/lib/mpi_program.py" <<'PY'
import os, mioc_mpi as m
m.init()
os.write(1, b"MPI: %d of %d\n" % (m.rank(), m.size()))
m.finalize()
PY
}

teardown() { helper_teardown; }

# PROGRAM (on standard input) on 2 hosts x 2 ranks, plain and cached; the cached run must have been active.
check() {
  { echo 'import os, sys, ctypes, package; me = int(os.environ["PMI_RANK"]); libc = ctypes.CDLL(None)'; cat; } \
    >"$SCRATCH/app.py"
  run_plain on_hosts 2 2 "$PYTHON" "$SCRATCH/app.py"
  MPIIO_CACHE_LOG=info run_cached on_hosts 2 2 "$PYTHON" "$SCRATCH/app.py"
  assert_same && [[ $(said) == *'active: 4 ranks on 2 nodes'* ]]
}

@test "all ranks exec a program that starts MPI" {
  check <<'PY'
os.execv(sys.executable, [sys.executable, "-m", "mpi_program"])
PY
  [[ $(grep -c '^MPI: . of 4' "$CACHED/stdout") == 4 ]]
}

@test "all ranks exec a shell that runs, or in its turn execs, a program that starts MPI" {
  check <<PY
os.execvp("bash", ["bash", "-c", "$PYTHON -m mpi_program; echo behind"])
PY
  check <<PY
os.execvp("bash", ["bash", "-c", "exec env A=1 $PYTHON -m mpi_program"])
PY
}

@test "rank 1 execs a program that closes all descriptors, one without environment, a missing one" {
  check <<'PY'
if me == 1:
    os.execv(sys.executable, [sys.executable, "-c", "import os; os.closerange(3, 1024); os.write(1, b'closed\\n')"])
os.write(1, b"%d\n" % me)
PY
  check <<'PY'
if me == 1:
    os.execve("/bin/echo", ["echo", "bare"], {})
os.write(1, b"%d\n" % me)
PY
  check <<'PY'
for path in "/nonexistent", "/etc/passwd", "/":
    try:
        os.execv(path, ["x"])
    except OSError as error:
        os.write(1, b"%d %d\n" % (me, error.errno))
import late
os.write(1, late.value.encode() + b"\n")
PY
}

@test "rank 1 execs a static program" {
  echo 'int main(void) { return 0; }' >"$SCRATCH/static.c"
  gcc -static -o "$SCRATCH/static" "$SCRATCH/static.c" || skip "no static libc here"
  check <<PY
if me == 1:
    os.execv("$SCRATCH/static", ["static"])
os.write(1, b"%d\n" % me)
PY
}

@test "the program that follows by exec finds the environment as without us" {
  check <<'PY'
show = ("import os; os.write(1, repr(sorted(k for k in os.environ if 'MPIIO' in k and 'LOG' not in k)).encode() "
        "+ b'\\n')")
os.execv(sys.executable, [sys.executable, "-c", show])
PY
}

@test "exit, _Exit and quick_exit called from C end a rank with their status" {
  local call
  for call in 'exit(0)' 'exit(4)' '_Exit(0)' '_Exit(5)' 'quick_exit(0)' 'quick_exit(6)' 'exit(256)'; do
    check <<PY
os.write(1, b"%d\n" % me)
if me == 1:
    libc.$call
PY
  done
}

@test "a handler that calls _exit with another status has its way" {
  check <<'PY'
import atexit
os.write(1, b"%d\n" % me)
if me == 1:
    atexit.register(os._exit, 7)
PY
}

@test "the descriptors that MPI holds cannot be closed or taken, and all others can" {
  export MPIIO_CACHE_TRANSPORT=mpi
  cat >"$SCRATCH/app.py" <<'PY'
import ctypes, os, errno, package
taken = 0
libc = ctypes.CDLL(None, use_errno=True)
bad = os.dup(0)
os.close(bad)
for fd in range(200, 240):
    try:
        os.fstat(fd)
        held = True
    except OSError:
        held = False
    try:
        os.dup2(1, fd)
        assert not held, fd
        os.close(fd)
    except OSError as error:
        assert held and error.errno == errno.EBUSY, (fd, error)
        taken += 1
    try: # CPython's test_dup2 does this, onto PMI's where that is 20
        os.dup2(bad, fd)
        assert False, fd
    except OSError as error:
        assert error.errno == errno.EBADF, (fd, error)
    assert libc.dup3(1, fd, os.O_APPEND) == -1 and ctypes.get_errno() == errno.EINVAL, fd
    try:
        os.close(fd)
        assert False, fd
    except OSError as error:
        assert error.errno == errno.EBADF
child = os.fork()
if child == 0: # a child's are its own
    os.closerange(3, 1024)
    os._exit(len(os.listdir("/proc/self/fd")) - 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
import late
os.write(1, b"held\n" if taken > 2 else b"none\n")
PY
  run_cached on_hosts 2 2 "$PYTHON" "$SCRATCH/app.py"
  cat "$CACHED/stderr"
  [[ $CACHED_RC == 0 && $(sort -u "$CACHED/stdout") == held ]]
}

@test "a rank with few descriptors left works" {
  check <<'PY'
import resource, late
os.write(1, late.value.encode() + b"\n")
PY
  run_plain on_hosts 2 2 bash -c "ulimit -n 200; exec $PYTHON $SCRATCH/app.py"
  run_cached on_hosts 2 2 bash -c "ulimit -n 200; exec $PYTHON $SCRATCH/app.py"
  assert_same
}

@test "an MPMD launch whose launcher is not preloaded runs as plain" {
  local preload=(env "LD_PRELOAD=$MIOC_LIBRARY" "$PYTHON" \
    -c 'import os, package; os.write(1, package.value.encode() + b"\n")')
  RUN_TIMEOUT=30
  run_plain mpiexec.mpich -n 3 "${preload[@]:2}" : -n 1 /bin/sleep 0.5
  run_cached mpiexec.mpich -n 3 "${preload[@]}" : -n 1 /bin/sleep 0.5
  PRELOAD='' assert_same
}

@test "ranks behind shells that take their time all take part" {
  run_plain on_hosts 2 2 bash -c "sleep 0.\$PMI_RANK; exec $PYTHON -c 'import package; print(package.value)'"
  MPIIO_CACHE_LOG=info run_cached on_hosts 2 2 bash \
    -c "sleep 0.\$PMI_RANK; exec $PYTHON -c 'import package; print(package.value)'"
  assert_same
  [[ $(said) == *'active: 4 ranks on 2 nodes'* ]]
}
