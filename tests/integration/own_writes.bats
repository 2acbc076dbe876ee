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
  HOSTS_MOUNT="$SOURCE:$SHARED:--dir-timeout 0 --file-attr-timeout 0" on_hosts "$@"
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
