# The agent as a process of its own: it comes and goes with its node's ranks, and no program can tell that it is there.

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  export MPIIO_CACHE_TRANSPORT=tcp
  mkdir -p "$SCRATCH/lib"
  echo 'value = 42' >"$SCRATCH/lib/package.py"
  export MPIIO_CACHE_PATHS=$SCRATCH/lib PYTHONPATH=$SCRATCH/lib PYTHONDONTWRITEBYTECODE=1
}

teardown() { helper_teardown; }

# COMMAND...: this test's agents, as PID lines.
agents() {
  local comm
  for comm in $(grep -lx mpiio_cache /proc/[0-9]*/comm 2>/dev/null); do
    grep -qzx "MIOC_TEST_ID=$MIOC_TEST_ID" "${comm%comm}environ" 2>/dev/null && basename "${comm%/comm}"
  done
  return 0
}

# PID...: milliseconds of processor time that these have taken.
took() {
  local pid
  for pid in "$@"; do cat /proc/"$pid"/task/*/schedstat; done | awk '{ ns += $1 } END { printf "%d", ns / 1000000 }'
}

# Whether they have ended; they have a second for it.
are_gone() {
  local until=$((${EPOCHREALTIME/./} + 1000000))
  while [[ -n $(agents) ]]; do
    ((${EPOCHREALTIME/./} < until)) || { ps -fp "$(agents | paste -sd,)"; return 1; }
    sleep 0.05
  done
}

# Waits for a line in a file that a rank writes.
await_line() {
  local deadline=$((SECONDS + 30))
  until grep -qs "$1" "$2"; do
    ((SECONDS < deadline)) || { echo "no line $1 in $2"; return 1; }
    sleep 0.02
  done
}

# A job of four ranks (LAUNCHER: on_hosts 2 2), cached, that is asleep when this returns; JOB is its process. It ends
# when $SCRATCH/go is there.
start_job() {
  local launcher=(${LAUNCHER:-on_hosts 2 2})
  cat >"$SCRATCH/waits.py" <<'PY'
import os, sys, time, package
open(sys.argv[1] + "/there", "a").write("rank %s %d\n" % (os.environ["PMI_RANK"], os.getpid()))
while not os.path.exists(sys.argv[1] + "/go"):
    time.sleep(0.02)
print("done", package.value)
PY
  rm -f "$SCRATCH/there" "$SCRATCH/go"
  PRELOAD=${PRELOAD-$MIOC_LIBRARY} "${launcher[@]}" "$PYTHON" "$SCRATCH/waits.py" "$SCRATCH" >"$SCRATCH/out" \
    2>"$SCRATCH/err" 3>&- &
  JOB=$!
  for rank in 0 1 2 3; do await_line "^rank $rank " "$SCRATCH/there"; done
}

end_job() {
  : >"$SCRATCH/go"
  RC=0
  wait "$JOB" || RC=$?
}

@test "a rank has no thread, child, descriptor, library, signal action or limit that it has not without us" {
  need_hosts
  same_as_plain on_mpiexec 3 "$PYTHON" -S "$PROGRAMS/seen.py"
  (($(grep -c '^threads 1 children False' "$CACHED/stdout") == 3))
  MPIIO_CACHE_LOG=info same_as_plain on_hosts 3 2 "$PYTHON" -S "$PROGRAMS/seen.py"
  [[ $(said) == *'active: 6 ranks on 3 nodes, TCP'* ]]
}

@test "a program that its orphans come back to does not get the agent" {
  cat >"$SCRATCH/reaper.py" <<'PY'
import ctypes, os, sys
PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
os.execv(sys.executable, [sys.executable, "-S", sys.argv[1]])
PY
  # The first Python is without us, so that the second one starts the agent.
  MPIIO_CACHE_LOG=info same_as_plain launch mpiexec.mpich -n 2 env -u LD_PRELOAD "$PYTHON" "$SCRATCH/reaper.py" \
    "$PROGRAMS/seen.py"
  (($(grep -c 'children False' "$CACHED/stdout") == 2))
}

@test "the agent is nobody's child, has no descriptor of the job, and all processors" {
  need_hosts
  start_job
  local agent parent session found=0
  for agent in $(agents); do
    found=$((found + 1))
    read -r parent session < <(awk '{ sub(/.*\) /, ""); print $2, $4 }' "/proc/$agent/stat")
    grep -q "^Name:.*mpiio_cache" "/proc/$agent/status"
    [[ ! -e /proc/$session && $(readlink "/proc/$agent/cwd") == / ]] # its session's leader has started it and is gone
    ! grep -q " $parent$" "$SCRATCH/there"
    [[ $(readlink "/proc/$agent/fd/"[012] | sort -u) == /dev/null ]]
    ls -l "/proc/$agent/fd"
    ! readlink "/proc/$agent/fd/"* | grep -E "^pipe:|^/tmp|^/dev/pts"
    [[ $(taskset -pc "$agent" | sed 's/.*: //') == $(taskset -pc 1 | sed 's/.*: //') ]]
    [[ $(awk '/^SigBlk/ { print $2 }' "/proc/$agent/status") == 0000000000000000 ]]
  done
  ((found == 2))
  end_job
  [[ $RC == 0 && $(sort -u "$SCRATCH/out") == 'done 42' ]]
}

@test "the launcher's pipes close and the job ends when the ranks do; within a second the agents are gone" {
  need_hosts
  same_as_plain on_hosts 2 2 "$PYTHON" -c 'import package; print(package.value)'
  are_gone
}

@test "an agent that is killed costs the cache, not the job, and leaves nothing that stays" {
  need_hosts
  local agent
  for agent in first second; do
    start_job
    kill -KILL "$(agents | if [[ $agent == first ]]; then head -n 1; else tail -n 1; fi)"
    end_job
    cat "$SCRATCH/err"
    [[ $RC == 0 && $(grep -c 'done 42' "$SCRATCH/out") == 4 ]]
    are_gone
  done
  # Another host's /dev/shm is gone with it; on this one the ranks remove the store at their end.
  LAUNCHER='on_mpiexec 4' start_job
  kill -KILL "$(agents)"
  [[ -n $(own_stores) ]]
  end_job
  [[ $RC == 0 && $(grep -c 'done 42' "$SCRATCH/out") == 4 ]]
  are_stores_as_before
}

@test "ranks that are killed end the job as without us, and their agents with them" {
  need_hosts
  local mode
  # On two hosts plain ends with 9 or 255, by chance.
  for mode in plain cached cached-on-hosts; do
    case $mode in
      plain) LAUNCHER='on_mpiexec 4' PRELOAD='' start_job ;;
      cached) LAUNCHER='on_mpiexec 4' start_job ;;
      *) start_job ;;
    esac
    kill -KILL "$(awk '$2 == 1 { print $3 }' "$SCRATCH/there")"
    RC=0
    wait "$JOB" || RC=$?
    echo "$mode $RC" >>"$SCRATCH/codes"
  done
  cat "$SCRATCH/codes"
  [[ $(xargs <"$SCRATCH/codes") == 'plain 9 cached 9 cached-on-hosts '@(9|255) ]]
}

@test "a task that execs another Python, one after another, or a shell, is served in each" {
  cat >"$SCRATCH/again.py" <<'PY'
import os, sys, package
n = int(sys.argv[1])
print(n, package.value, flush=True)
if n == 2:
    os.execv("/bin/sh", ["sh", "-c", "\"$0\" -c 'import package; print(9, package.value)'; exec \"$0\" \"$1\" 1",
                         sys.executable, sys.argv[0]])
if n > 0:
    os.execv(sys.executable, [sys.executable, sys.argv[0], str(n - 1)])
PY
  MPIIO_CACHE_LOG=info same_as_plain on_mpiexec 2 "$PYTHON" "$SCRATCH/again.py" 3
  (($(grep -c 42 "$CACHED/stdout") == 10))
  need_hosts
  same_as_plain on_hosts 2 2 "$PYTHON" "$SCRATCH/again.py" 3
}

@test "a task that starts one Python after another, with nothing between, is served in each" {
  cat >"$SCRATCH/task" <<'SH'
for i in 1 2 3; do "$1" -c 'import package; print(package.value)'; done
SH
  MPIIO_CACHE_LOG=info same_as_plain on_mpiexec 2 sh "$SCRATCH/task" "$PYTHON"
  (($(wc -l <"$CACHED/stdout") == 6))
}

@test "without the agent program, and where it may not be executed, the job is inactive and says why" {
  local what
  mkdir -p "$SCRATCH/alone/lib" "$SCRATCH/alone/libexec/mpiio_cache"
  cp "$MIOC_LIBRARY" "$SCRATCH/alone/lib"
  for what in missing "not executable" "ends at once"; do
    case $what in
      'not executable') cp "$MIOC_BUILD/libexec/mpiio_cache/agent" "$SCRATCH/alone/libexec/mpiio_cache/agent"
        chmod 644 "$SCRATCH/alone/libexec/mpiio_cache/agent" ;;
      'ends at once') printf '#!/bin/sh\nexit 1\n' >"$SCRATCH/alone/libexec/mpiio_cache/agent"
        chmod 755 "$SCRATCH/alone/libexec/mpiio_cache/agent" ;;
    esac
    MIOC_LIBRARY=$SCRATCH/alone/lib/libmpiio_cache.so MPIIO_CACHE_LOG=info same_as_plain on_mpiexec 2 "$PYTHON" \
      -c 'import package; print(package.value)'
    said
    [[ $(said | wc -l) == 1 && $(said) == *'inactive: '*'agent'*'; running uncached. '* ]]
  done
}

@test "_exit, quick_exit and a handler that calls _exit leave the statistics, and their status" {
  local how n=0
  for how in 'os._exit(7)' 'ctypes.CDLL(None).quick_exit(7)' \
    'signal.signal(signal.SIGALRM, lambda *_: os._exit(7)); signal.alarm(1); time.sleep(9)'; do
    MPIIO_CACHE_STATS=$SCRATCH/$((++n)).json same_as_plain on_mpiexec 2 "$PYTHON" \
      -c "import ctypes, os, signal, time, package; $how"
    [[ $CACHED_RC == 7 && $(stat_of "$SCRATCH/$n.json" '.ranks, .job.status' | xargs) == '2 7' ]]
  done
}

@test "where the root's ranks have ended the others go on, and their agent sleeps" {
  need_hosts
  local before agent
  cat >"$SCRATCH/left.py" <<'PY'
import os, sys, time, package
if os.environ["PMI_RANK"] in "01":
    while len(os.listdir(sys.argv[1])) < 2: # both others have come
        time.sleep(0.02)
    sys.exit(0)
open("%s/%s" % (sys.argv[1], os.environ["PMI_RANK"]), "w").close()
while not os.path.exists(sys.argv[1] + "/go"):
    time.sleep(0.02)
print("done", package.value)
PY
  mkdir "$SCRATCH/there"
  PRELOAD=$MIOC_LIBRARY on_hosts 2 2 "$PYTHON" "$SCRATCH/left.py" "$SCRATCH/there" >"$SCRATCH/out" 3>&- &
  JOB=$!
  local until=$((SECONDS + 30))
  # The root's agent goes with its ranks.
  until [[ $(find "$SCRATCH/there" -type f | wc -l) == 2 && $(agents | wc -l) == 1 ]]; do
    ((SECONDS < until))
    sleep 0.05
  done
  agent=$(agents)
  sleep 0.5 # it hears of the root's end
  before=$(took "$agent")
  sleep 2
  echo "processor time in 2 s: $(($(took "$agent") - before)) ms"
  (($(took "$agent") - before < 50))
  : >"$SCRATCH/there/go"
  wait "$JOB"
  [[ $(sort -u "$SCRATCH/out") == 'done 42' && $(wc -l <"$SCRATCH/out") == 2 ]]
}

@test "rank 0 that ends first waits for nobody, and the others go on being served" {
  need_hosts
  cat >"$SCRATCH/first.py" <<'PY'
import os, sys, time
if os.environ["PMI_RANK"] == "0":
    if os.fork() == 0: # outlives the rank, and sees when that has ended
        parent = os.getppid()
        while os.getppid() == parent:
            time.sleep(0.02)
        open(sys.argv[1] + "/ended", "w").write(str(time.time()))
        os._exit(0)
    sys.exit(0)
time.sleep(4)
import package
open(sys.argv[1] + "/later", "w").write(str(time.time()))
print("later", package.value)
PY
  MPIIO_CACHE_LOG=info run_cached on_hosts 2 2 "$PYTHON" "$SCRATCH/first.py" "$SCRATCH"
  cat "$CACHED/stdout"
  [[ $CACHED_RC == 0 && $(grep -c 'later 42' "$CACHED/stdout") == 3 ]]
  awk -v ended="$(cat "$SCRATCH/ended")" -v later="$(cat "$SCRATCH/later")" 'BEGIN { exit !(later - ended > 3) }'
}

@test "where a user may start no process more, no agent comes: the job is as without us, and says why in a line" {
  need_root
  mkdir -p "$SCRATCH/alone/lib" "$SCRATCH/alone/libexec/mpiio_cache"
  cp "$MIOC_LIBRARY" "$SCRATCH/alone/lib"
  cp "$MIOC_BUILD/libexec/mpiio_cache/agent" "$SCRATCH/alone/libexec/mpiio_cache"
  chmod -R a+rX "$SCRATCH"
  # shellcheck disable=SC2016
  MIOC_LIBRARY=$SCRATCH/alone/lib/libmpiio_cache.so MPIIO_CACHE_LOG=info same_as_plain on_mpiexec 2 setpriv \
    --reuid 65532 --regid 65532 --clear-groups bash -c 'ulimit -u 1; exec "$@"' bash "$PYTHON" \
    -c 'import package, sys; print(package.value); sys.exit(3)'
  said
  [[ $CACHED_RC == 3 && $(grep -c '^42$' "$CACHED/stdout") == 2 && $(said | wc -l) == 1 ]]
  [[ $(said) == *'inactive: cannot start the agent: Resource temporarily unavailable; running uncached. Raise '* ]]
}
