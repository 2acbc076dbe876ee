# Processes below a rank: however they are started and however they end, they are served from their node's store, never
# touch MPI, and disturb nobody.

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  need_command jq
  SHARED=$SCRATCH/shared
  chmod 755 "$SCRATCH"
  mkdir -p "$SCRATCH/source/package/inner"
  for name in early late other package/__init__ package/part package/inner/__init__; do
    echo "value = '$name'" >"$SCRATCH/source/$name.py"
  done
  echo 'from package.inner import value; import late, other, package.part' >"$SCRATCH/source/all_of_it.py"
  # What the ranks' programs begin with.
  cat >"$SCRATCH/source/helpers.py" <<'PY'
import os, signal, subprocess, sys, early
me, scratch = int(os.environ["PMI_RANK"]), os.environ["SCRATCH"]
guest = [sys.executable, "-S", "-c",
         "import all_of_it, os; os.write(1, ('%s %s\\n' % (all_of_it.__file__, all_of_it.value)).encode())"]
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())
def meet(): # both ranks; each takes the other's end of the two pipes
    for pipe, writer in ("a", 0), ("b", 1):
        os.close(os.open(scratch + "/" + pipe, os.O_WRONLY if me == writer else os.O_RDONLY))
def in_child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:
            say(repr(error))
            os._exit(int(error.code or 0) if isinstance(error, SystemExit) else 1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
def asked(way, work): # what `work` costs the filesystem once the node knows all, to a file: plain has another answer
    meet()
    before = os.path.getsize(scratch + "/log")
    meet()
    work()
    meet()
    if me == 0:
        lines = open(scratch + "/log").read()[before:].splitlines()
        print(way, len(lines), lines[:3], file=open(scratch + "/asked", "a"))
PY
  mkfifo "$SCRATCH/a" "$SCRATCH/b"
  mount_shared "$SCRATCH/source" "$SHARED" --counters "$SCRATCH/counters" --log "$SCRATCH/log"
  export SCRATCH PYTHONPATH=$SHARED PYTHONDONTWRITEBYTECODE=1 MPIIO_CACHE_PATHS=$SHARED
}

teardown() { helper_teardown; }

# NAME COMMAND...: leaves NAME.json, the filesystem's counts.
counted() {
  local rc=0
  "$MIOC_METADATA_SERVER" --reset "$SCRATCH/counters"
  "${@:2}" || rc=$?
  "$MIOC_METADATA_SERVER" --report "$SCRATCH/counters" >"$SCRATCH/$1.json"
  return "$rc"
}

# PROGRAM (on standard input) in 2 ranks, plain and cached; the cached run must have been active.
check() {
  { echo 'from helpers import *'; cat; } >"$SCRATCH/app.py"
  rm -f "$SCRATCH/asked"
  run_plain counted plain on_mpiexec 2 "$PYTHON" -S "$SCRATCH/app.py"
  mv "$SCRATCH/asked" "$SCRATCH/asked.plain" 2>/dev/null || true
  for _ in 1 2; do
    rm -f "$SCRATCH/asked"
    MPIIO_CACHE_STATS=$SCRATCH/stats.json run_cached counted cached on_mpiexec 2 "$PYTHON" -S "$SCRATCH/app.py"
    if is_in_time; then break; fi # a busy machine can make one run slow; only what is slow again is ours
  done
  assert_same
  [[ $PLAIN_RC == "${EXPECTED_RC:-0}" ]] || { cat "$PLAIN/stderr"; return 1; }
  [[ $(stats .line) == *'active: 2 ranks on 1 node'* ]]
}

stats() { stat_of "$SCRATCH/stats.json" "$1"; }

# Each of $1 ways was measured, cost plain something, and cached nothing.
nothing_asked() {
  echo "way, operations, plain:" && cat "$SCRATCH/asked.plain"
  echo "cached:" && cat "$SCRATCH/asked"
  (($(wc -l <"$SCRATCH/asked") == $1))
  awk '$2 == 0 { exit 1 }' "$SCRATCH/asked.plain"
  awk '$2 != 0 { exit 1 }' "$SCRATCH/asked"
}

@test "once the node knows the modules, guests of every kind cost the filesystem nothing and are in the statistics" {
  check <<'PY'
import multiprocessing, shlex
def work(*unused):
    import all_of_it
    say(all_of_it.__file__, all_of_it.value)
def spawned():
    os.waitpid(os.posix_spawn(guest[0], guest, os.environ), 0)
def pool(method):
    with multiprocessing.get_context(method).Pool(2) as pool:
        pool.map(work, range(4))
if __name__ == "__main__":
    say(subprocess.run(guest).returncode)
    asked("subprocess", lambda: subprocess.run(guest))
    asked("no-close_fds", lambda: subprocess.run(guest, close_fds=False))
    asked("session", lambda: subprocess.run(guest, start_new_session=True, stdin=subprocess.DEVNULL))
    asked("preexec_fn", lambda: subprocess.run(guest, preexec_fn=lambda: os.umask(0o77)))
    asked("posix_spawn", spawned)
    asked("system", lambda: os.system(shlex.join(guest) + " && true"))
    asked("script", lambda: subprocess.run(["bash", "-c", '(exec "$@"); "$@"', "script", *guest]))
    asked("fork", lambda: in_child(work))
    asked("nested", lambda: in_child(lambda: in_child(lambda: subprocess.run(guest))))
    for method in "fork", "spawn", "forkserver":
        asked(method, lambda: pool(method))
PY
  nothing_asked 12
  jq -c '[.ranks, .guests, .calls.open]' "$SCRATCH/stats.json"
  # Ten of the rank and three of multiprocessing, whose pool may end before a worker begins. Forked children are
  # counted with their parents.
  (($(stats .ranks) == 2 && $(stats .guests) >= 26))
}

# Seen at once: 16 interpreters that start together, before anybody knows anything.
@test "torchrun-like parents whose eight children import at once cost the filesystem what one Python does" {
  check <<'PY'
children = [subprocess.Popen(guest, env={**os.environ, "RANK": str(8 * me + i), "LOCAL_RANK": str(i),
                                         "WORLD_SIZE": "16"})
            for i in range(8)]
say([child.wait() for child in children])
PY
  "$MIOC_METADATA_SERVER" --reset "$SCRATCH/counters"
  "$PYTHON" -S -c 'import early, all_of_it' # and helpers, which needs to be a rank's
  "$MIOC_METADATA_SERVER" --report "$SCRATCH/counters" >"$SCRATCH/bare.json"
  operations() { stat_of "$SCRATCH/$1.json" .metadata; }
  echo "metadata operations: one bare Python $(operations bare), plain $(operations plain), cached $(operations cached)"
  (($(operations plain) > 10 * $(operations bare) && $(operations cached) <= $(operations bare)))
  (($(stats .guests) == 16))
}

@test "a guest has no MPI, and no thread, descriptor or signal action that it has not without us" {
  cat >"$SCRATCH/look.py" <<'PY'
import all_of_it, os
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())
maps = open("/proc/self/maps").read()
say([name for name in ("libmpich.", "libucp", "libuct", "cache_mpich.so") if name in maps])
for line in open("/proc/self/status"):
    if line.startswith(("Threads", "SigBlk", "SigIgn", "SigCgt", "SigPnd", "NoNewPrivs", "Seccomp")):
        say(*line.split())
fds = [int(fd) for fd in os.listdir("/proc/self/fd")]
say([(fd, os.readlink("/proc/self/fd/%d" % fd).rstrip("0123456789[]")) for fd in fds
     if os.path.exists("/proc/self/fd/%d" % fd)])
PY
  check <<'PY'
look = [sys.executable, "-S", scratch + "/look.py"]
for close_fds in True, False:
    say(subprocess.run(look, close_fds=close_fds).returncode)
say(os.system(" ".join(look)))
PY
  grep -F '[]' "$CACHED/stdout"
}

@test "DataLoader-like workers, forked beside threads and killed while they work, are replaced and served" {
  check <<'PY'
import importlib, multiprocessing, threading, time
def load(tasks, results): # a worker; the first import of `late` is its own
    while (name := tasks.get()) is not None:
        module = importlib.import_module(name)
        results.put((name, module.__file__, module.value))
def work():
    context = multiprocessing.get_context("fork")
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(3)]
    for thread in threads: thread.start()
    results, workers = context.SimpleQueue(), []
    for i in range(4):
        tasks = context.SimpleQueue()
        worker = context.Process(target=load, args=(tasks, results))
        worker.start()
        workers.append((worker, tasks))
    for worker, tasks in workers:
        for name in "late", "package.part", "package.inner":
            tasks.put(name)
    say(sorted(results.get() for _ in range(12)))
    for number, (worker, tasks) in enumerate(workers):
        if number % 2:
            worker.kill()
        else:
            tasks.put(None)
        worker.join()
        say(number, worker.exitcode)
    replacement = context.Process(target=lambda: say(importlib.import_module("other").__file__))
    replacement.start()
    replacement.join()
    stop.set()
if __name__ == "__main__":
    in_child(lambda: __import__("all_of_it"))
    asked("workers", work)
    import other
    say(other.value)
PY
  nothing_asked 1
}

@test "however a child ends, its rank and the other children go on" {
  check <<'PY'
import ctypes
ends = {
    "returns": "pass",
    "exit": "sys.exit(3)",
    "_exit": "os._exit(4)",
    "raise": "raise KeyError('x')",
    "kill": "os.kill(os.getpid(), signal.SIGKILL)",
    "term": "os.kill(os.getpid(), signal.SIGTERM)",
    "abort": "os.abort()",
    "crash": "ctypes.string_at(0)",
    "quick_exit": "ctypes.CDLL(None).quick_exit(5)",
    "C-exit": "ctypes.CDLL(None).exit(6)",
    "exec": "os.execv('/bin/sh', ['sh', '-c', 'echo replaced; exit 7'])",
    "exec-python": "os.execv(sys.executable, guest)",
    "exec-nothing": "os.execv('/nonexistent', ['x'])",
    "exec-bare": "os.execve('/bin/sh', ['sh', '-c', 'exit 8'], {})",
}
import resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
os.close(2)
os.open("/dev/null", os.O_WRONLY)
for name, end in ends.items():
    def go():
        import late
        exec(end)
    say("forked", name, in_child(lambda: in_child(go) and os._exit(1)), in_child(go))
    say("spawned", name, subprocess.run([*guest[:3], "from helpers import *; import late, ctypes; " + end]).returncode)
    say("its rank", subprocess.run(guest).returncode)
import all_of_it
say(all_of_it.value)
PY
}

# A question's slot is freed for somebody else when its process is gone: 256 there are.
@test "300 children that are killed in the middle of a question leave the agent free for others" {
  unset MPIIO_CACHE_PATHS # then no listing answers
  check <<'PY'
def ask(number):
    for i in range(1000000):
        os.path.exists("%s/package/missing_%d_%d_%d.py" % (os.environ["PYTHONPATH"], me, number, i))
        i == 0 and os.write(end, b".")
begin, end = os.pipe()
for number in range(150):
    pid = os.fork()
    if pid == 0:
        ask(number)
        os._exit(0)
    os.read(begin, 1)
    os.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
meet()
import time
since = time.monotonic()
import all_of_it
say(all_of_it.value, subprocess.run(guest).returncode, time.monotonic() - since < 5)
PY
  jq -c '[.root, .calls.all]' "$SCRATCH/stats.json"
  (($(stats .root.requests) >= 300)) # or nothing was tried here
  (($(stats .calls.all.timeout) == 0))
}

@test "children that outlive their rank and the job go on, forked and spawned ones, served before and not" {
  export TOLD=$SCRATCH/told
  cat >"$SHARED/orphan.py" <<'PY'
import os, sys, time
def run(name, rank): # what it reads after the end of rank and launcher is told to a file
    import late
    copy = open(late.__file__)
    open(os.environ["TOLD"] + ".ready" + name, "w").close()
    while os.path.exists("/proc/%d" % rank) or not os.path.exists(os.environ["TOLD"] + ".go"):
        time.sleep(0.01)
    import other, package.part, package.inner
    try:
        import missing
    except ImportError as error:
        print(error)
    with open(os.environ["TOLD"] + ".tmp" + name, "w") as told:
        print(name, copy.read(), os.fstat(copy.fileno()).st_size, other.__file__, package.inner.value,
              os.stat(package.part.__file__).st_size, os.path.exists(other.__file__ + "x"),
              sorted(os.listdir(os.path.dirname(package.__file__))), file=told)
    os.rename(told.name, os.environ["TOLD"] + "." + name)
if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]))
PY
  orphans() {
    rm -f "$TOLD".*
    on_mpiexec 2 "$PYTHON" -S "$SCRATCH/app.py" || return
    : >"$TOLD.go"
    local deadline=$((SECONDS + 30)) name
    for name in forked0 forked1 spawned0 spawned1; do
      until [[ -e $TOLD.$name ]] || ((SECONDS > deadline)); do sleep 0.05; done
      cat "$TOLD.$name"
    done
  }
  cat >"$SCRATCH/app.py" <<'PY'
from helpers import *
import orphan, time
null = os.open("/dev/null", os.O_RDWR)
if os.fork() == 0:
    os.setsid()
    for fd in 0, 1, 2: os.dup2(null, fd)
    os.closerange(3, 1024)
    orphan.run("forked%d" % me, os.getppid())
    os._exit(0)
subprocess.Popen([sys.executable, "-S", orphan.__file__, "spawned%d" % me, str(os.getpid())], start_new_session=True,
                 stdin=null, stdout=null, stderr=null)
for name in "forked%d" % me, "spawned%d" % me:
    while not os.path.exists(os.environ["TOLD"] + ".ready" + name):
        time.sleep(0.01)
PY
  same_as_plain orphans
  cat "$CACHED/stdout"
  (($(wc -l <"$CACHED/stdout") == 8))
}

@test "a shell script that is the task, with Pythons before, beside and instead of itself" {
  cat >"$SCRATCH/task.sh" <<'SH'
python=$1
app="import os, all_of_it
os.write(1, ('%s %s %s\n' % (os.environ.get('WHO'), os.environ['PMI_RANK'], all_of_it.value)).encode())"
"$python" -S -c 'pass' || exit 9 # as `conda activate` does
WHO=child "$python" -S -c "$app" || exit 8
case $2 in
  child) WHO=last "$python" -S -c "$app" ;;
  exec) WHO=exec exec "$python" -S -c "$app" ;;
  one) [[ $PMI_RANK != 0 ]] || WHO=one exec "$python" -S -c "$app"; WHO=other "$python" -S -c "$app" ;;
esac
exit $((PMI_RANK + 3))
SH
  local way
  RUN_TIMEOUT=40
  for way in child exec one; do
    echo "way: $way"
    MPIIO_CACHE_LOG=info same_as_plain on_mpiexec 2 bash "$SCRATCH/task.sh" "$PYTHON" "$way"
    cat "$CACHED/stdout"
    said
  done
}
