# What programs do in the ranks: children, closed descriptors, MPI of their own, every way to end.
# Plain and cached agree.

setup() {
  load helper
  helper_setup
  need_hosts
  mkdir -p "$SCRATCH/lib"
  for name in package late other; do echo "value = '$name'" >"$SCRATCH/lib/$name.py"; done
  export MPIIO_CACHE_PATHS=$SCRATCH/lib PYTHONPATH=$SCRATCH/lib:$MIOC_BUILD/lib PYTHONDONTWRITEBYTECODE=1
}

teardown() { helper_teardown; }

# PROGRAM (on standard input) on 2 hosts x 2 ranks, plain and cached; the cached run must have been active.
check() {
  cat >"$SCRATCH/app.py"
  run_plain on_hosts 2 2 "$PYTHON" "$SCRATCH/app.py"
  MPIIO_CACHE_LOG=info run_cached on_hosts 2 2 "$PYTHON" "$SCRATCH/app.py"
  assert_same && [[ $(said) == *'active: 4 ranks on 2 nodes'* ]]
}

# The library by clients of $CLIENT_MODEL, on each host.
share_library() {
  HOSTS_MOUNT="$SCRATCH/lib:$SCRATCH/shared:$CLIENT_OPTIONS"
  export MPIIO_CACHE_PATHS=$SCRATCH/shared PYTHONPATH=$SCRATCH/shared:$MIOC_BUILD/lib
}

@test "subprocess.run with an importing Python in the child" {
  check <<'PY'
import subprocess, sys, package
print(subprocess.run([sys.executable, "-c", "import late; print(late.value, late.__file__)"], capture_output=True,
                     text=True))
print(subprocess.run("exit 7", shell=True).returncode)
PY
}

written_by_children() {
  share_library
  check <<'PY'
import os, subprocess, package
lib, rank = os.environ["MPIIO_CACHE_PATHS"], os.environ["PMI_RANK"]
for i, command in enumerate(["touch %s", "echo x >%s", "tar -cf %s /etc/hostname", "cp /etc/passwd %s",
                             "install -m 700 /etc/passwd %s", "ln -s late.py %s", "mkdir %s"]):
    name = "%s/made.%d.%s" % (lib, i, rank)
    before = os.path.exists(name), os.path.basename(name) in os.listdir(lib)
    subprocess.run(command.replace("%s", name) + " 2>&-", shell=True)
    print(command, before, os.path.exists(name), os.path.basename(name) in os.listdir(lib))
    os.path.isdir(name) and subprocess.run(["rmdir", name]) or subprocess.run(["rm", name])
    print(os.path.lexists(name), os.path.basename(name) in os.listdir(lib))
name = "%s/rewritten.%s.py" % (lib, rank)
open("%s/new.%s" % (lib, rank), "w").write("old")
os.rename("%s/new.%s" % (lib, rank), name)
print(open(name).read(), open(name).read())
subprocess.run("echo new >%s" % name, shell=True)
print(open(name).read())
os.remove(name)
PY
}

@test "what a child that is no Python writes below a cached prefix is seen at once" {
  for_each_client written_by_children
}

@test "multiprocessing with fork and with spawn, importing in the children" {
  check <<'PY'
import multiprocessing, package
def work(name):
    return __import__(name).value
if __name__ == "__main__":
    for method in "fork", "spawn":
        with multiprocessing.get_context(method).Pool(2) as pool:
            print(method, pool.map(work, ["late", "other", "package"]))
PY
}

@test "os.closerange(3, 1024), then imports and a normal end" {
  check <<'PY'
import os, package
os.closerange(3, 1024)
import late
print(late.value, os.open("/dev/null", os.O_RDONLY))
PY
}

@test "the first descriptor that a program opens is 3, and its signal actions are its own" {
  check <<'PY'
import os, signal, package
print(os.open("/dev/null", os.O_RDONLY))
for line in open("/proc/self/status"):
    if line.startswith(("SigCgt", "SigIgn", "SigBlk")): # without 32 and 33, which glibc takes for any thread
        print(line.split()[0], hex(int(line.split()[1], 16) & ~(3 << 31)))
ours = "PMI_", "MPI_", "MPIR_", "HYD", "LD_PRELOAD", "PRELOAD", "MPIIO_CACHE_", "_", "BATS", "TMPDIR"
import hashlib
names = sorted(k for k in os.environ if not k.startswith(ours))
print(len(names), hashlib.sha256(repr([(k, os.environ[k]) for k in names]).encode()).hexdigest())
PY
}

# Seen: a thread of MPI's took them.
@test "signals that a program blocks in all its threads wait for it" {
  check <<'PY'
import os, signal, package
numbers = (signal.SIGABRT, signal.SIGSYS, signal.SIGTERM, signal.SIGUSR1, signal.SIGALRM, signal.SIGCHLD,
           signal.SIGRTMIN + 1)
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
for number in numbers:
    os.kill(os.getpid(), number)
    is_pending = number in signal.sigpending()
    print(number, is_pending, signal.sigtimedwait([number], 0).si_signo)
PY
}

@test "a program that starts MPI late, ends it, and imports more afterwards" {
  check <<'PY'
import package, mioc_mpi
print(mioc_mpi.initialized())
mioc_mpi.init()
import late
print(mioc_mpi.initialized(), mioc_mpi.size(), mioc_mpi.allreduce_sum(2.0))
mioc_mpi.barrier()
mioc_mpi.finalize()
import other
print(mioc_mpi.finalized(), late.value, other.value)
PY
}

@test "MPI_Init_thread gives what it gives without us" {
  check <<'PY'
import package, mioc_mpi
print(mioc_mpi.init_thread(1) >= 1, mioc_mpi.rank() < mioc_mpi.size())
mioc_mpi.finalize()
PY
}

@test "every way in which rank 1 can end gives what plain gives" {
  local end
  for end in 'os._exit(0)' 'os._exit(3)' 'os.execv("/bin/echo", ["echo", "replaced"])' 'sys.exit(1)' \
    'sys.exit("words")' 'raise ValueError("wrong")' 'os.execv("/nowhere", ["nowhere"])'; do
    echo "rank 1: $end"
    cat >"$SCRATCH/app.py" <<PY
import os, sys, package
print(package.value)
sys.stdout.flush()
if os.environ["PMI_RANK"] == "1":
    $end
import late
PY
    same_as_plain on_hosts 2 2 "$PYTHON" "$SCRATCH/app.py"
  done
}

# hydra's exit code for a job with a crashed rank depends on which of its proxies speaks first: seen without us, over 25
# runs of one program, 4, 9, 15 and 255. So what is compared is that both runs failed, and that nobody waited.
both_failed_in_time() {
  run_plain on_hosts 2 2 "$PYTHON" "$SCRATCH/app.py"
  run_cached on_hosts 2 2 "$PYTHON" "$SCRATCH/app.py"
  echo "exit codes: plain $PLAIN_RC, cached $CACHED_RC; seconds: $PLAIN_SECONDS, $CACHED_SECONDS"
  ((PLAIN_RC != 0 && CACHED_RC != 0)) && awk -v c="$CACHED_SECONDS" -v most="$1" 'BEGIN { exit !(c <= most) }'
}

@test "rank 1 killed by SIGKILL ends the job as without us" {
  cat >"$SCRATCH/app.py" <<'PY'
import os, signal, time, package
if os.environ["PMI_RANK"] == "1":
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(30)
PY
  both_failed_in_time 10
}

@test "a rank that ends without MPI_Finalize fails the job and holds up nobody" {
  # hydra kills the others at once, or lets them run; without us too.
  cat >"$SCRATCH/app.py" <<'PY'
import os, time, package, mioc_mpi
mioc_mpi.init()
if mioc_mpi.rank() == 1:
    os._exit(4)
time.sleep(5)
PY
  both_failed_in_time 12
}

@test "an MPMD launch with a C program runs as plain" {
  echo 'import package; print(package.value)' >"$SCRATCH/app.py"
  same_as_plain launch mpiexec.mpich -n 1 /bin/sleep 1 : -n 3 "$PYTHON" "$SCRATCH/app.py"
  same_as_plain launch mpiexec.mpich -n 3 "$PYTHON" "$SCRATCH/app.py" : -n 1 /bin/sleep 1
}

# bats test_tags=slow
@test "ranks that end 20 s apart leave nobody waiting" {
  cat >"$SCRATCH/app.py" <<'PY'
import os, time, package
time.sleep(20 if os.environ["PMI_RANK"] == "2" else 0)
import late
print(late.value)
PY
  same_as_plain on_hosts 2 2 "$PYTHON" "$SCRATCH/app.py"
}

@test "an import writes no bytecode on ranks above 0, but of what the rank wrote itself; py_compile does" {
  unset PYTHONDONTWRITEBYTECODE
  for rank in 0 1 2 3; do echo 'value = 1' >"$SCRATCH/lib/given$rank.py"; done
  check <<PY
import os, sys
rank = int(os.environ["PMI_RANK"])
import importlib, importlib.util, py_compile
def compiled(name): return importlib.util.cache_from_source("$SCRATCH/lib/%s.py" % name)
given = "given%d" % rank
importlib.import_module(given)
if "mpiio_cache" in os.environ.get("LD_PRELOAD", "") and rank > 0:
    assert not os.path.exists(compiled(given)), compiled(given)
if os.path.exists(compiled(given)):
    os.unlink(compiled(given))
print(os.path.exists(py_compile.compile("$SCRATCH/lib/%s.py" % given)))
os.unlink(compiled(given))
for name, way in ("own%d" % rank, ""), ("folder%d/own" % rank, ""), ("moved%d" % rank, ".new"):
    path = "$SCRATCH/lib/%s.py" % name
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + way, "w") as source: source.write("value = 1")
    if way: os.replace(path + way, path)
    importlib.invalidate_caches()
    module = importlib.import_module(name.replace("/", "."))
    print(name, module.__file__, os.path.exists(module.__cached__))
    os.unlink(path)
    os.path.exists(module.__cached__) and os.unlink(module.__cached__)
PY
}

written_by_ranks() {
  share_library
  check <<PY
import os
rank = int(os.environ["PMI_RANK"])
path = "$MPIIO_CACHE_PATHS/written%d.py" % rank
print(os.path.exists(path))
open(path, "w").write("value = %d" % rank)
print(os.path.exists(path), os.stat(path).st_size, open(path).read(),
      os.path.basename(path) in os.listdir("$MPIIO_CACHE_PATHS"))
os.rename(path, path + ".moved")
print(os.path.exists(path), os.path.exists(path + ".moved"))
os.unlink(path + ".moved")
print(os.path.exists(path + ".moved"))
PY
}

@test "what a rank writes it sees at once, and so does its node" { for_each_client written_by_ranks; }

@test "ranks whose leader is slow to start wait for it, and ask the filesystem nothing" {
  export MPIIO_CACHE_STATS=$SCRATCH/stats.json
  slowly() { PRELOAD="$MIOC_BUILD/programs/beside.so $PRELOAD" BESIDE_THREAD_MS=$MS on_mpiexec 2 "$@"; }
  local passed=() MS
  for MS in 0 300; do
    run_cached slowly "$PYTHON" -c 'import package, late; print(package.value, late.value)'
    [[ $CACHED_RC == 0 && $(sort -u "$CACHED/stdout") == "package late" ]]
    passed+=("$(stat_of "$SCRATCH/stats.json" '[.calls.open, .calls.stat, .calls.opendir] | map(.passed) | @csv')")
  done
  echo "passed: at once ${passed[0]}, slow ${passed[1]}"
  [[ ${passed[0]} == "${passed[1]}" ]]
}
