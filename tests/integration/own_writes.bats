# What a rank itself makes and removes below a cached prefix, it sees, whatever the others do there at the same moment.

setup() {
  load helper
  helper_setup
  SHARED=$SCRATCH/shared SOURCE=$SCRATCH/source
  export PYTHONDONTWRITEBYTECODE=1
}

teardown() { helper_teardown; }

# N P COMMAND...: on simulated hosts, with a folder that is empty but for one.
on_shared_hosts() {
  rm -rf "$SOURCE"
  mkdir -p "$SOURCE/folder/inner"
  HOSTS_MOUNT="$SOURCE:$SHARED:${CLIENT_OPTIONS:---dir-timeout 0 --file-attr-timeout 0}" on_hosts "$@"
}

@test "each rank finds its own names in a folder that all write to, by every spelling" {
  need_hosts
  need_fuse
  for job in '1 4' '2 2'; do
    # shellcheck disable=SC2086 # two words
    OWN_NAMES=(on_shared_hosts $job "$PYTHON" -S "$PROGRAMS/own_names.py" "$SHARED/folder" 400)
    run_plain "${OWN_NAMES[@]}"
    MPIIO_CACHE_PATHS=$SHARED MPIIO_CACHE_LOG=info run_cached "${OWN_NAMES[@]}"
    said
    SLACK=60 assert_same # each of 1,600 writes waits for the other nodes
    [[ $PLAIN_RC == 0 && $(grep -c 'wrong: 0 ' "$CACHED/stdout") == 4 && $(said) == *"active: 4 ranks"* ]]
  done
}

@test "after each writing call that fails, the rank sees what the error told" {
  need_fuse
  need_command mpiexec.mpich
  mkdir -p "$SOURCE"
  mount_shared "$SOURCE" "$SHARED" --dir-timeout 0 --file-attr-timeout 0
  FAILING=(on_mpiexec 2 "$PYTHON" -S "$PROGRAMS/failing.py" "$MIOC_ROOT/preload/libmpiio_cache.map" "$SHARED" "$SOURCE")
  run_plain "${FAILING[@]}"
  cat "$PLAIN/stderr"
  [[ $PLAIN_RC == 0 && $(wc -l <"$PLAIN/stdout") -gt 700 ]]
  MPIIO_CACHE_PATHS=$SHARED MPIIO_CACHE_STATS=$SCRATCH/stats.json run_cached "${FAILING[@]}"
  SLACK=60 assert_same
  (($(stat_of "$SCRATCH/stats.json" .calls.stat.hit) > 2000)) # not because nothing is cached
}

# Plain says so by itself: each check is what POSIX promises.
all_at_once() {
  local job rounds
  for job in '1 2' '2 1' '2 2'; do
    rm -rf "$SCRATCH/sync"
    mkdir "$SCRATCH/sync"
    # Between nodes it takes many: an answer must be under way, or the other's call not have returned.
    [[ $job == '2 1' ]] && rounds=150 || rounds=20
    # shellcheck disable=SC2086 # two words
    MPIIO_CACHE_PATHS=$SHARED MPIIO_CACHE_LOG=info run_cached on_shared_hosts $job "$PYTHON" -S "$PROGRAMS/at_once.py" \
      "$SHARED/folder" "$SCRATCH/sync" "$rounds" "$CLIENT_MODEL"
    said
    cat "$CACHED/stdout" "$CACHED/stderr"
    [[ $CACHED_RC == 0 && $(grep -c 'wrong: {}$' "$CACHED/stdout") == $((${job/ / * })) && $(said) == *"active: "* ]]
  done
}

@test "who comes second, by an error, sees what the first one did, in each kind of client" {
  need_hosts
  for_each_client all_at_once
}
