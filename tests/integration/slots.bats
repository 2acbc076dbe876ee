# More threads of a node that wait for answers than the ring has slots (ring.h): they wait for one, and are served too.

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  need_command jq
  SHARED=$SCRATCH/shared
  mkdir -p "$SCRATCH/source"
  (cd "$SCRATCH/source" && seq -f 'name%g.py' 0 719 | xargs touch)
  export SCRATCH SHARED MPIIO_CACHE_PATHS=$SHARED
}

teardown() { helper_teardown; }

# Two ranks of 400 threads each, before a filesystem that takes 40 ms for each operation.
@test "800 threads that ask at once cost the filesystem as many operations as there are names" {
  cat >"$SCRATCH/app.py" <<'PY'
import os, threading
shared, scratch, me, count = os.environ["SHARED"], os.environ["SCRATCH"], int(os.environ["PMI_RANK"]), 400
threading.stack_size(256 << 10)
def meet(): # both ranks
    for pipe, writer in ("a", 0), ("b", 1):
        os.close(os.open(scratch + "/" + pipe, os.O_WRONLY if me == writer else os.O_RDONLY))
def operations():
    return sum("/name" in line for line in open(scratch + "/log"))
def at_once(what, work):
    barrier, bad = threading.Barrier(count), []
    def run(i):
        barrier.wait()
        try:
            work(i)
        except OSError as error:
            bad.append(error)
    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    meet()
    before = operations()
    meet()
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    meet()
    if me == 0:
        print(what, operations() - before, file=open(scratch + "/asked", "a"), flush=True)
    print(me, what, bad[:1], flush=True)
    meet()
def name(i):
    return "%s/name%d.py" % (shared, i)
def write_or_ask(i):
    if i < 320: os.stat(name(i + 400))
    else: os.utime(name(i), (i, i))
os.listdir(shared)
at_once("same", lambda i: os.stat(name(0)))
at_once("other", lambda i: os.stat(name(i)))
at_once("writing", write_or_ask)
print(me, [int(os.stat(name(i)).st_mtime) for i in range(320, 400)], flush=True)
PY
  mkfifo "$SCRATCH/a" "$SCRATCH/b"
  mount_shared "$SCRATCH/source" "$SHARED" --latency-us 40000 --servers 64 --log "$SCRATCH/log"
  run_plain on_mpiexec 2 "$PYTHON" -S "$SCRATCH/app.py"
  [[ $PLAIN_RC == 0 ]] || { cat "$PLAIN/stderr"; return 1; }
  mv "$SCRATCH/asked" "$SCRATCH/asked.plain"
  MPIIO_CACHE_STATS=$SCRATCH/stats.json run_cached on_mpiexec 2 "$PYTHON" -S "$SCRATCH/app.py"
  echo plain: && cat "$SCRATCH/asked.plain"
  echo cached: && cat "$SCRATCH/asked"
  jq -c '.line, .calls.stat, .calls.write' "$SCRATCH/stats.json"
  SLACK=30 assert_same # one node's questions are put by eight threads, plain's by 800
  [[ $(stat_of "$SCRATCH/stats.json" .line) == *'active: 2 ranks on 1 node'* ]]
  [[ $(awk '{ print $1 }' "$SCRATCH/asked" | xargs) == "same other writing" ]]
  (($(awk '$1 == "same" { print $2 }' "$SCRATCH/asked") == 1))
  (($(awk '$1 == "other" { print $2 }' "$SCRATCH/asked") == 399))
  (($(stat_of "$SCRATCH/stats.json" '.calls.stat.timeout + .calls.write.timeout') == 0))
}
