# MPIIO_CACHE_TRACE and mpiio-cache report: what ranks and agents did, event by event.

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  PATH=$MIOC_BUILD/bin:$PATH
  mkdir "$SCRATCH/lib"
  local i
  for i in 1 2 3 4 5 6; do echo "value = $i" >"$SCRATCH/lib/module$i.py"; done
  cat >"$SCRATCH/app.py" <<'PY'
import os, sys
sys.path.insert(0, sys.argv[1])
import module1, module2, module3
if os.environ["PMI_RANK"] == "1":
    import module4
try:
    import missing
except ImportError:
    pass
import module5
print("ran", module5.value)
PY
  export MPIIO_CACHE_PATHS=$SCRATCH/lib
  TRACE=$SCRATCH/trace
}

teardown() { helper_teardown; }

# FILE...: reads each with a JSON parser, and prints one number for each python expression over `events` given by QUERY.
query() {
  "$PYTHON" - "$@" <<'PY'
import json, os, sys
for path in sys.argv[1:]:
    with open(path) as file:
        events = json.load(file)
    print(eval(os.environ["QUERY"]))
PY
}

# Whether nodes' agents are processes of their own, with traces of their own. With MPI they are threads of ranks.
has_agents() {
  MPIIO_CACHE_LOG=info run_cached on_mpiexec 2 "$PYTHON" -c ''
  [[ $(said) == *'active: 2 ranks on 1 node, TCP, '* ]]
}

# FILE...: the names of the threads in each.
threads_of() {
  QUERY='",".join(sorted({e["args"]["name"] for e in events if e["name"] == "thread_name"}))' query "$@"
}

@test "16 ranks leave 16 files of JSON whose counts are the statistics'" {
  need_hosts
  export MPIIO_CACHE_PATHS=/usr/lib/python3.11:/usr/lib/python3:$SCRATCH/lib
  cat >"$SCRATCH/last.py" <<'PY'
import os, sys, time
import numpy, scipy.linalg
print(numpy.ones(3).sum())
def is_whole(path):
    try:
        with open(path, "rb") as file:
            file.seek(-3, os.SEEK_END)
            return file.read() == b"\n]\n"
    except OSError:
        return False
if os.environ["PMI_RANK"] == "0":
    for path in sys.argv[1:]:
        while not is_whole(path):
            time.sleep(0.01)
PY
  local root=$TRACE/rank-00000.json agents=("$TRACE"/rank-000{04,08,12}.json) others=() processes=16
  if has_agents; then
    root=$TRACE/node-00000.json agents=("$TRACE"/node-0000{1,2,3}.json) processes=20
    # There rank 0 waits for nobody, and its statistics are of what has ended. So it ends last.
    others=("$TRACE"/rank-0000{1,2,3}.json "${agents[@]}")
  fi
  run_plain on_hosts 4 4 "$PYTHON" "$SCRATCH/last.py"
  MPIIO_CACHE_TRACE=$TRACE MPIIO_CACHE_TRACE_RANKS=all MPIIO_CACHE_STATS=$SCRATCH/stats.json \
    run_cached on_hosts 4 4 "$PYTHON" "$SCRATCH/last.py" "${others[@]}"
  SLACK=20 assert_same
  [[ $CACHED_RC == 0 ]]
  ls "$TRACE"
  (($(ls "$TRACE"/rank-000[01][0-9].json | wc -l) == 16 && $(ls "$TRACE" | wc -l) == processes))
  [[ $(QUERY='events[-1]["name"], events[-1]["args"]["dropped"]' query "$TRACE"/*.json | sort -u) == \
    "('mpiio_cache_end', 0)" ]]
  export QUERY='" ".join(str(sum(1 for e in events if e["ph"] == "X" and e["cat"] == "call" and (a == "all"
    or e["args"]["answer"] == a))) for a in ("all", "hit", "miss", "passed", "timeout"))'
  query "$TRACE"/*.json |
    awk '{ for (i = 1; i <= 5; i++) sum[i] += $i } END { print sum[1], sum[2], sum[3], sum[4], sum[5] }' \
    >"$SCRATCH/traced"
  jq -r '.calls.all | [.calls, .hit, .miss, .passed, .timeout] | join(" ")' "$SCRATCH/stats.json" >"$SCRATCH/counted"
  cat "$SCRATCH/traced"
  diff "$SCRATCH/traced" "$SCRATCH/counted"
  QUERY='sum(e["args"]["bytes"] for e in events if e["ph"] == "X" and e["cat"] == "call")' query "$TRACE"/*.json |
    awk '{ sum += $1 } END { printf "%.0f\n", sum }' >"$SCRATCH/traced"
  [[ $(<"$SCRATCH/traced") == $(stat_of "$SCRATCH/stats.json" .calls.all.bytes) ]]
  # Nodes have their agents, the root its resolvers; every flow that begins ends.
  if ((processes == 16)); then
    [[ $(threads_of "$root") == 'agent (root),main,resolver' && $(threads_of "${agents[@]}" | sort -u) == agent,main ]]
  else
    [[ $(threads_of "$root") == 'agent (root),resolver' && $(threads_of "${agents[@]}" | sort -u) == agent ]]
    [[ $(threads_of "$TRACE"/rank-*.json | sort -u) == main ]]
    [[ $(QUERY='events[0]["args"]["name"].split(",")[0]' query "$root" "${agents[@]}" | paste -sd ' ') == \
      'agent of node 0 (node0 agent of node 1 (node1 agent of node 2 (node2 agent of node 3 (node3' ]]
  fi
  [[ $(QUERY='sum(1 for e in events if e["ph"] == "s") == sum(1 for e in events if e["ph"] == "f") > 0' query \
    "$TRACE"/rank-*.json | sort -u) == True ]]
  # The page, as a user makes and looks at it.
  run mpiio-cache report -o "$SCRATCH/page.html" --merge "$SCRATCH/merged.json" "$TRACE"
  echo "$output"
  [[ $status == 0 && $output == *"$(cut -d' ' -f1 "$SCRATCH/counted") calls of 16 ranks" ]]
  [[ $(QUERY='len({e["pid"] for e in events})' query "$SCRATCH/merged.json") == "$processes" ]]
  # The flows of all files connect: a question has a step at the agent of its node, while the rank waits and within an
  # event of that agent's thread. The root knows every question. A rank that waits no more may be before its agent.
  "$PYTHON" - "$SCRATCH/merged.json" "$processes" <<'PY'
import collections, json, sys
events = json.load(open(sys.argv[1]))
agent_of = (lambda rank: 10 ** 9 + rank // 4) if sys.argv[2] == "20" else (lambda rank: rank // 4 * 4)
steps, works, begun, questions = collections.defaultdict(list), collections.defaultdict(list), {}, 0
def is_in(flow, work):
    return work["ts"] <= flow["ts"] <= work["ts"] + work["dur"]
for e in events:
    if e["ph"] == "t":
        steps[e["pid"], e["name"], e["id"]].append(e)
    elif e["ph"] == "X" and e["name"] == "question" or e.get("args", {}).get("answer") == "timeout":
        works[e["pid"], e["tid"]].append(e) # an agent's, or a call of a rank
for e in events:
    thread = e["pid"], e["tid"]
    if e["ph"] == "s":
        begun[thread] = e
    elif e["ph"] == "f":
        s = begun.pop(thread)
        assert (s["name"], s["id"]) == (e["name"], e["id"]), (s, e)
        questions += 1
        if not any(is_in(s, call) for call in works[thread]):
            here = steps[agent_of(e["pid"]), e["name"], e["id"]]
            assert any(s["ts"] <= t["ts"] <= e["ts"] and any(is_in(t, work) for work in works[t["pid"], t["tid"]])
                       for t in here), (s, e, here)
            assert steps[agent_of(0), e["name"], e["id"]], e
print(questions, "questions")
assert questions > 16 and not begun
PY
  (($(grep -oE '>(agent of node [0-3]|· agent)</text>' "$SCRATCH/page.html" | sort | wc -l) == 4))
  (($(grep -o '>· resolvers</text>' "$SCRATCH/page.html" | wc -l) == 1))
  grep -oE 'Agents took [1-9][0-9 ]* questions' "$SCRATCH/page.html"
  run grep -oE 'https?://|src=|@import' "$SCRATCH/page.html" # it needs nothing from anywhere
  [[ -z $output ]]
  if command -v chromium >/dev/null; then
    HOME=$SCRATCH timeout 120 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$SCRATCH/chromium" \
      --dump-dom "file://$SCRATCH/page.html" >"$SCRATCH/dom.html" 2>/dev/null
    (($(grep -oE '>rank [0-9]+</text>' "$SCRATCH/dom.html" | sort -u | wc -l) == 16))
    (($(grep -c '<rect ' "$SCRATCH/dom.html") > 200))
    grep -q 'numpy.core._multiarray_umath' "$SCRATCH/dom.html"
  fi
}

@test "errors, passed calls and where ranks diverged are in it" {
  MPIIO_CACHE_TRACE=$TRACE run_cached on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py" "$SCRATCH/lib"
  [[ $CACHED_RC == 0 ]]
  export QUERY='sorted({(e["name"], e["args"]["errno"]) for e in events if e["ph"] == "X"
    and e["args"]["path"].endswith("missing") and e["cat"] == "call"})'
  query "$TRACE/rank-00000.json"
  [[ $(QUERY='any(e["cat"] == "call" and e["args"]["errno"] == 2 and e["args"]["answer"] in ("hit", "miss")
    for e in events if e["ph"] == "X")' query "$TRACE/rank-00000.json") == True ]]
  [[ $(QUERY='any(e["cat"] == "call" and e["args"]["answer"] == "passed" and e["args"]["path"].endswith("/app.py")
    for e in events if e["ph"] == "X")' query "$TRACE/rank-00000.json") == True ]]
  mpiio-cache report -o "$SCRATCH/page.html" "$TRACE"
  grep -oE 'rank 1</td>.*' "$SCRATCH/page.html"
  grep -qE 'rank 1</td>.*lib\.module5</td>.*lib\.module4</td>.*lib\.module4' "$SCRATCH/page.html"
}

@test "only the ranks that are named are traced, in a folder by rank, job and host" {
  MPIIO_CACHE_TRACE=$TRACE/%j/%h-%r MPIIO_CACHE_TRACE_RANKS=1,3-7 run_cached on_mpiexec 4 "$PYTHON" "$SCRATCH/app.py" \
    "$SCRATCH/lib"
  [[ $CACHED_RC == 0 ]]
  (cd "$TRACE" && find . -type f | sort) >"$SCRATCH/found"
  diff "$SCRATCH/found" <(printf './hydra/%s-%d/rank-%05d.json\n' "$(hostname)" 1 1 "$(hostname)" 3 3)
  rm -r "$TRACE"
  # With rank 0 goes the root's agent.
  MPIIO_CACHE_TRACE=$TRACE/%j/%h-%r MPIIO_CACHE_TRACE_RANKS=0 run_cached on_mpiexec 4 "$PYTHON" "$SCRATCH/app.py" \
    "$SCRATCH/lib"
  [[ $CACHED_RC == 0 ]]
  (cd "$TRACE" && find . -type f | sort) >"$SCRATCH/found"
  echo "./hydra/$(hostname)-0/rank-00000.json" >"$SCRATCH/expected"
  if has_agents; then echo "./hydra/$(hostname)-node-0/node-00000.json" >>"$SCRATCH/expected"; fi
  diff "$SCRATCH/found" "$SCRATCH/expected"
}

@test "what a killed rank did is readable" {
  cat >"$SCRATCH/kill.py" <<'PY'
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import module1, module2
if os.environ["PMI_RANK"] == "1":
    os.kill(os.getpid(), signal.SIGKILL)
import time; time.sleep(60)
PY
  STORES_MAY_STAY=1
  MPIIO_CACHE_TRACE=$TRACE run_cached on_mpiexec 2 "$PYTHON" "$SCRATCH/kill.py" "$SCRATCH/lib"
  [[ $CACHED_RC != 0 ]]
  tail -c 200 "$TRACE/rank-00001.json"
  # As Perfetto reads it: an array whose bracket is not closed.
  { cat "$TRACE/rank-00001.json"; echo ']'; } >"$SCRATCH/closed.json"
  [[ $(QUERY='any(e["ph"] == "X" and "module2" in e["args"]["path"] for e in events)' query "$SCRATCH/closed.json") \
    == True ]]
  run mpiio-cache report -o "$SCRATCH/page.html" "$TRACE"
  [[ $status == 0 ]] && grep -q 'rank 1 .*the trace has no end' "$SCRATCH/page.html"
}

@test "what a killed agent did is readable, and its ranks go on" {
  has_agents || skip "the agent is a thread of a rank here"
  cat >"$SCRATCH/kill.py" <<'PY'
import os, re, signal, sys
sys.path.insert(0, sys.argv[1])
import module1, module2
if os.environ["PMI_RANK"] == "0" and len(sys.argv) > 2:
    with open(sys.argv[2] + "/node-00000.json") as file:
        agent = int(re.search(r'"agent of node 0 \(.*, process (\d+)\)"', file.read())[1])
    os.kill(agent, signal.SIGKILL)
import module3
print(module1.value + module2.value + module3.value)
PY
  STORES_MAY_STAY=1
  run_plain on_mpiexec 2 "$PYTHON" "$SCRATCH/kill.py" "$SCRATCH/lib"
  MPIIO_CACHE_TRACE=$TRACE run_cached on_mpiexec 2 "$PYTHON" "$SCRATCH/kill.py" "$SCRATCH/lib" "$TRACE"
  assert_same
  tail -c 200 "$TRACE/node-00000.json"
  { cat "$TRACE/node-00000.json"; echo ']'; } >"$SCRATCH/closed.json"
  [[ $(QUERY='any(e["ph"] == "X" and e["cat"] == "root" and "module2" in e["args"]["path"] for e in events)' query \
    "$SCRATCH/closed.json") == True ]]
  run mpiio-cache report -o "$SCRATCH/page.html" "$TRACE"
  echo "$output"
  [[ $status == 0 && $output == *' calls of 2 ranks' ]]
  grep 'the trace has no end' "$SCRATCH/page.html"
  [[ $(grep 'the trace has no end' "$SCRATCH/page.html") == *'agent of node 0 '*': the agent was killed.'* ]]
}

@test "a bound holds, what does not fit is counted, and the file is whole" {
  MPIIO_CACHE_TRACE=$TRACE MPIIO_CACHE_TRACE_MAX=8K run_cached on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py" "$SCRATCH/lib"
  [[ $CACHED_RC == 0 ]]
  local files=("$TRACE/rank-00000.json") file
  if has_agents; then files+=("$TRACE/node-00000.json"); fi
  for file in "${files[@]}"; do
    (($(stat -c %s "$file") < 8192 + 400))
    QUERY='events[-1]["args"]' query "$file"
    [[ $(QUERY='events[-1]["args"]["dropped"] > 50 and events[-1]["args"]["events"] == len(events) - 1' query "$file") \
      == True ]]
  done
}

@test "a trace changes nothing that a program can see" {
  cat >"$SCRATCH/see.py" <<'PY'
import ctypes, errno, os, subprocess, sys
sys.path.insert(0, sys.argv[1])
import module1
libc = ctypes.CDLL(None, use_errno=True)
ctypes.set_errno(errno.EXFULL)
libc.access(sys.argv[1].encode(), 0)
print(ctypes.get_errno() == errno.EXFULL) # success leaves errno alone
libc.access((sys.argv[1] + "/none").encode(), 0)
print(ctypes.get_errno())
ctypes.set_errno(0)
for nowhere in 0, 1, -1, 1 << 63, 0x4141414141414141: # EFAULT, not a crash
    path, buffer = ctypes.c_void_p(nowhere), ctypes.create_string_buffer(512)
    for call in "open", "access", "stat", "lstat", "readlink", "unlink", "open64":
        ctypes.set_errno(0)
        print(nowhere, call, getattr(libc, call)(path, ctypes.byref(buffer) if "stat" in call or "link" in call else 0,
                                                 512), ctypes.get_errno())
    print(libc.openat(-100, path, os.O_WRONLY), libc.linkat(-100, path, -100, b"x", 0x1000),
          libc.fstatat(-100, path, buffer, 0x1000), ctypes.get_errno())
print(os.open("/dev/null", os.O_RDONLY) < 10)
os.closerange(3, 1024)
if os.fork() == 0:
    import module2
    os._exit(0)
print(os.wait()[1], subprocess.run(["true"]).returncode)
import module6
print(module6.value)
PY
  MPIIO_CACHE_TRACE=$TRACE same_as_plain on_mpiexec 2 "$PYTHON" "$SCRATCH/see.py" "$SCRATCH/lib"
  cat "$CACHED/stdout"
  [[ $(QUERY='any("module6" in e["args"]["path"] for e in events if e["ph"] == "X")' query "$TRACE/rank-00001.json") \
    == True ]]
}

@test "a folder that cannot be made is one warning" {
  need_root
  MPIIO_CACHE_TRACE=/proc/nowhere same_as_plain on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py" "$SCRATCH/lib"
  said
  (($(said | wc -l) == 1)) &&
    [[ $(said) == *'cannot write a trace below MPIIO_CACHE_TRACE=/proc/nowhere: '*'; running without. Name a folder'* ]]
}

@test "what lies in the folder already is neither waited for, nor followed, nor written to" {
  mkdir "$TRACE"
  mkfifo "$TRACE/rank-00000.json" # without reader
  echo precious >"$SCRATCH/precious"
  ln "$SCRATCH/precious" "$TRACE/rank-00001.json"
  ln -s "$SCRATCH/dear" "$TRACE/rank-00002.json"
  mkdir "$TRACE/rank-00003.json"
  mkfifo "$TRACE/node-00000.json"
  RUN_TIMEOUT=30 MPIIO_CACHE_TRACE=$TRACE run_cached on_mpiexec 4 "$PYTHON" "$SCRATCH/app.py" "$SCRATCH/lib"
  [[ $CACHED_RC == 0 && $(<"$SCRATCH/precious") == precious && ! -e $SCRATCH/dear && -d $TRACE/rank-00003.json ]]
  [[ $(QUERY='events[-1]["name"]' query "$TRACE"/rank-0000[012].json | sort -u) == mpiio_cache_end ]]
  if has_agents; then # which ends its trace before it removes its store
    has_no_stores /dev/shm
    [[ $(QUERY='events[-1]["name"]' query "$TRACE/node-00000.json") == mpiio_cache_end ]]
  fi
  # A second job in the folder does not write into what the first may still have open.
  ln "$TRACE/rank-00000.json" "$SCRATCH/first.json"
  MPIIO_CACHE_TRACE=$TRACE run_cached on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py" "$SCRATCH/lib"
  [[ ! $SCRATCH/first.json -ef $TRACE/rank-00000.json ]]
  [[ $(QUERY='events[-1]["name"]' query "$SCRATCH/first.json" "$TRACE/rank-00000.json" | sort -u) == mpiio_cache_end ]]
}

@test "a job's name leads nowhere else" {
  MPIIO_CACHE_TRACE=$TRACE/a/%j run_cached on_mpiexec 2 env SLURM_JOB_ID=../../up "$PYTHON" "$SCRATCH/app.py" \
    "$SCRATCH/lib"
  [[ $CACHED_RC == 0 ]]
  find "$SCRATCH" -name 'rank-*'
  [[ -s $TRACE/a/_._.._up/rank-00000.json && ! -e $SCRATCH/up ]]
}

@test "a limit of files' sizes sends no signal, for an event or for statistics" {
  cat >"$SCRATCH/limit.py" <<'PY'
import os, resource, signal, sys
sys.path.insert(0, sys.argv[1])
got = []
signal.signal(signal.SIGXFSZ, lambda *about: got.append(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
import module1, module2, module3
for i in range(40):
    os.path.exists(sys.argv[1] + "/none%d" % i)
print("signals", len(got), flush=True)
if sys.argv[2] == "end":
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE,
                   (1 if sys.argv[2] == "end" else resource.RLIM_INFINITY, resource.RLIM_INFINITY))
PY
  MPIIO_CACHE_TRACE=$TRACE same_as_plain on_mpiexec 2 "$PYTHON" "$SCRATCH/limit.py" "$SCRATCH/lib" go
  (($(QUERY='events[-1]["args"]["dropped"]' query "$TRACE/rank-00000.json") > 10))
  # Through a pipe, for the limit holds for the files that bats reads too.
  limited() { on_mpiexec "$@" 2> >(cat >"$SCRATCH/said"); }
  MPIIO_CACHE_STATS=$SCRATCH/stats.json same_as_plain limited 2 "$PYTHON" "$SCRATCH/limit.py" "$SCRATCH/lib" end
  cat "$SCRATCH/said"
  grep -q "cannot write statistics to MPIIO_CACHE_STATS=$SCRATCH/stats.json: File too large" "$SCRATCH/said"
}

@test "threads with the smallest stacks make calls, and end the job" {
  cat >"$SCRATCH/small.py" <<'PY'
import ctypes, sys
libc = ctypes.CDLL(None)
attributes, thread = ctypes.create_string_buffer(64), ctypes.c_ulong()
libc.pthread_attr_init(attributes)
libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(16384))
def run(function, argument):
    print(libc.pthread_create(ctypes.byref(thread), attributes, function, argument), libc.pthread_join(thread, None),
          flush=True)
path = ctypes.c_char_p((sys.argv[1] + "/" + "\u1234" * 400).encode())
for function in (libc.chdir, libc.rmdir, libc.opendir):
    run(function, path)
run(libc.exit, None)
PY
  MPIIO_CACHE_TRACE=$TRACE MPIIO_CACHE_STATS=$SCRATCH/stats.json same_as_plain on_mpiexec 2 "$PYTHON" \
    "$SCRATCH/small.py" "$SCRATCH/lib"
  (($(stat_of "$SCRATCH/stats.json" .ranks) == 2))
  [[ $(QUERY='any(e["ph"] == "X" and "\u00e1\u0088\u00b4" in e["args"]["path"] and e["args"]["path"].endswith("...")
    for e in events)' query "$TRACE/rank-00000.json") == True ]]
}

@test "below a low limit of descriptors there is a trace all the same" {
  MPIIO_CACHE_TRACE=$TRACE run_cached on_mpiexec 2 bash -c 'ulimit -n 150 && exec "$@"' bash "$PYTHON" \
    "$SCRATCH/app.py" "$SCRATCH/lib"
  said
  [[ $CACHED_RC == 0 && $(said) != *'cannot write a trace'* ]]
  [[ $(QUERY='len(events)' query "$TRACE/rank-00001.json") -gt 5 ]]
}

@test "report refuses what is no trace" {
  echo '{"a": 1}' >"$SCRATCH/other.json"
  run mpiio-cache report "$SCRATCH/other.json"
  [[ $status == 1 && $output == "mpiio-cache: $SCRATCH/other.json: no trace of mpiio_cache" ]]
  echo '[{"ph": "X", "cat": "call"}]' >"$SCRATCH/other.json"
  run mpiio-cache report "$SCRATCH/other.json"
  [[ $status == 1 && $output == "mpiio-cache: $SCRATCH/other.json: "* && ${#lines[@]} == 1 ]]
  run mpiio-cache report
  [[ $status == 2 && ${#lines[@]} == 1 ]]
  run mpiio-cache report "$SCRATCH/missing.json"
  [[ $status == 1 && ${#lines[@]} == 1 ]]
}
