# Descriptors of copies: what a program can do with one, and what others see of it. Plain and cached agree.

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  mkdir -p "$SCRATCH/lib"
  echo "value = 'package'" >"$SCRATCH/lib/package.py"
  head -c 16384 /dev/urandom >"$SCRATCH/lib/bytes.bin"
  chmod 644 "$SCRATCH/lib/bytes.bin"
  touch -d @1234567890 "$SCRATCH/lib/bytes.bin"
  export SCRATCH MPIIO_CACHE_PATHS=$SCRATCH/lib PYTHONPATH=$SCRATCH/lib PYTHONDONTWRITEBYTECODE=1
}

teardown() { helper_teardown; }

# PROGRAM (on standard input) in 2 ranks, plain and cached; the cached run must have been active, and have opened the file from the store.
check() {
  { echo 'import os, sys, package; me = int(os.environ["PMI_RANK"]); lib = os.environ["SCRATCH"] + "/lib"; path = lib + "/bytes.bin"'
    cat; } >"$SCRATCH/app.py"
  run_plain on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py"
  MPIIO_CACHE_LOG=info MPIIO_CACHE_STATS=$SCRATCH/stats.json run_cached on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py"
  cat "$PLAIN/stdout" "$PLAIN/stderr"
  assert_same
  [[ $PLAIN_RC == 0 && $(said) == *'active: 2 ranks'* ]]
  (($(stat_of "$SCRATCH/stats.json" '.calls.open | .hit + .miss') > 4))
}

@test "a descriptor, its dups and those that children inherit share one offset" {
  check <<'PY'
import subprocess
f = os.open(path, os.O_RDONLY)
def at(what):
    print(me, what, os.lseek(f, 0, os.SEEK_CUR), flush=True)
def child(act):
    pid = os.fork()
    if pid == 0:
        act()
        os._exit(0)
    os.waitpid(pid, 0)
subprocess.run(["head", "-c", "10"], stdin=f, stdout=subprocess.DEVNULL)
at("subprocess")
child(lambda: (os.dup2(f, 9), os.read(9, 100)))
at("fork, dup2")
child(lambda: os.read(os.dup(f), 100))
at("fork, dup")
subprocess.run([sys.executable, "-c", "import os, sys; os.read(int(sys.argv[1]), 7)", str(f)], pass_fds=[f])
at("an interpreter that inherits it")
subprocess.run("read -r -N 3 <&%d; dd bs=11 count=1 <&%d >/dev/null 2>&1" % (f, f), shell=True, pass_fds=[f], executable="/bin/bash")
at("a shell and what it starts")
PY
}
