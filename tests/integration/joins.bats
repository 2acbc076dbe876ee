# Programs that are no interpreters and write: whatever happens while they look for their job's store, no write is lost.

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  need_command jq
  SHARED=$SCRATCH/shared SOURCE=$SCRATCH/source
  mkdir "$SOURCE"
  mount_shared "$SOURCE" "$SHARED" --dir-timeout 0 --file-attr-timeout 0
  export MPIIO_CACHE_PATHS=$SHARED MPIIO_CACHE_STATS=$SCRATCH/stats.json
}

teardown() {
  find /dev/shm -maxdepth 1 -name "$(basename "$SCRATCH").*" -delete
  helper_teardown
}

# ROUNDS WAY...: as tests/programs/joins.py says, and the ranks were served all the time.
removed() {
  run_cached on_mpiexec 2 "$PYTHON" -S "$PROGRAMS/joins.py" "$SHARED" "$SOURCE" "$1" \
    "$MIOC_BUILD/programs/joins" "${@:2}"
  cat "$CACHED/stdout" "$CACHED/stderr"
  jq -c '.line, .calls.stat' "$SCRATCH/stats.json"
  [[ $CACHED_RC == 0 && $(stat_of "$SCRATCH/stats.json" .line) == *'active: 2 ranks on 1 node'* ]]
  (($(grep -c ' 0 wrong of [1-9]' "$CACHED/stdout") == $# - 1))
  # Not because a write that could not be told has ended the cache.
  (($(stat_of "$SCRATCH/stats.json" '.calls.stat.hit + .calls.stat.miss') >= 4 * $1 * ($# - 1)))
}

@test "a fork, a vfork, a kill, a signal or a cancellation in the midst of a first write loses none" {
  removed 60 threads fork vfork killed handler cancel cancel-at-once descriptor
}

# By names that come and go all the time, too.
@test "a busy /dev/shm loses no first write" {
  local i shell=$BASHPID
  for i in {1..3000}; do : >"/dev/shm/$(basename "$SCRATCH").$i"; done
  "$PYTHON" -S - "$shell" "/dev/shm/$(basename "$SCRATCH").new" 3>&- <<'PY' &
import os, sys
while os.getppid() == int(sys.argv[1]):
    open(sys.argv[2], "w").close()
    os.unlink(sys.argv[2])
PY
  local other=$!
  removed 30 threads fork handler cancel
  kill "$other"
}

@test "a program that has used up its descriptors, and one where the system has none for a while, lose no first write" {
  removed 20 no-descriptors no-files
}

# A shell whose first write comes before there is a store: its fork writes again when there is one.
@test "a program that wrote before the ranks' start is heard when it writes again" {
  echo "value = 1" >"$SOURCE/one.py"
  mkfifo "$SCRATCH/looked" "$SCRATCH/wrote"
  cat >"$SCRATCH/app.py" <<'PY'
import os, sys
path, scratch = sys.argv[1] + "/one.py", sys.argv[2]
before = os.stat(path).st_size
if os.environ["PMI_RANK"] == "0":
    open(scratch + "/looked", "w").close()
    open(scratch + "/wrote").close()
    print(before, os.stat(path).st_size, flush=True)
PY
  cat >"$SCRATCH/task.sh" <<'SH'
: >"$1/before.$PMI_RANK"
if [[ $PMI_RANK == 0 ]]; then
  (: <"$2/looked"; echo "value = 'another one'" >"$1/one.py"; : >"$2/wrote") &
fi
exec "$3" -S "$2/app.py" "$1" "$2"
SH
  run_plain on_mpiexec 2 bash "$SCRATCH/task.sh" "$SHARED" "$SCRATCH" "$PYTHON"
  echo "value = 1" >"$SOURCE/one.py"
  run_cached on_mpiexec 2 bash "$SCRATCH/task.sh" "$SHARED" "$SCRATCH" "$PYTHON"
  SLACK=10 assert_same
  [[ $PLAIN_RC == 0 && $(<"$PLAIN/stdout") == "10 22" ]]
  [[ $(stat_of "$SCRATCH/stats.json" .line) == *'active: 2 ranks on 1 node'* ]]
}
