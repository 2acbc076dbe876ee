# A step of eight nodes, three levels of agents: the agents of inner nodes go, and those below find another parent.

setup_file() {
  export EIGHT_NODES=$BATS_FILE_TMPDIR/slurm
  if [[ $EUID -ne 0 ]] || ! command -v slurmctld slurmd munged srun >/dev/null; then
    export WITHOUT="Slurm, munge or root is missing"
    return 0
  fi
  EIGHT_NODES=$(mktemp -d /tmp/mioc-slurm.XXXXXX)
  "$BATS_TEST_DIRNAME/../fixtures/slurm" start "$EIGHT_NODES" 8
}

teardown_file() {
  [[ -n ${WITHOUT:-} ]] || { "$BATS_TEST_DIRNAME/../fixtures/slurm" stop "$EIGHT_NODES" && rm -rf "$EIGHT_NODES"; }
}

setup() {
  [[ -z ${WITHOUT:-} ]] || skip "$WITHOUT"
  load helper
  helper_setup
  need_command jq
  # shellcheck disable=SC1091
  source "$EIGHT_NODES/env"
  export MPIIO_CACHE_TRANSPORT=tcp MPIIO_CACHE_PATHS=$SCRATCH/lib PYTHONDONTWRITEBYTECODE=1 MPIIO_CACHE_TIMEOUT=5
}

teardown() { helper_teardown; }

# HOW: all come out as without us, and were served.
goes() {
  # shellcheck disable=SC2317
  afresh() {
    rm -rf "$SCRATCH/lib" "$SCRATCH/sync"
    mkdir -p "$SCRATCH/lib" "$SCRATCH/sync"
    for i in {0..19}; do echo "value = $i" >"$SCRATCH/lib/m$i.py"; done
    for i in first second; do echo 'value = None' >"$SCRATCH/lib/$i.py"; done
    on_slurm 8 1 "$PYTHON" "$PROGRAMS/reparent.py" "$SCRATCH/sync" "$SCRATCH/lib" "$1"
  }
  run_plain afresh "$1"
  MPIIO_CACHE_LOG=info MPIIO_CACHE_STATS=$SCRATCH/stats.json run_cached afresh "$1"
  cat "$CACHED/stderr"
  jq -c '.line, .calls.stat' "$SCRATCH/stats.json"
  SLACK=15 assert_same
  [[ $(said) == *'active: 8 ranks on 8 nodes'* ]]
}

@test "an inner node's agent is killed: the nodes below go on being served, and hear of writes" {
  goes killed
  # The other seven look 1500 times each.
  (($(stat_of "$SCRATCH/stats.json" .calls.stat.hit) >= 7 * 1500 * 9 / 10))
}

@test "an inner node's rank ends first: the nodes below go on being served, and hear of writes" {
  goes ended
  (($(stat_of "$SCRATCH/stats.json" .calls.stat.hit) >= 7 * 1500 * 9 / 10))
}
