# What a rank writes where all kernels have just looked, by each kind of client of a shared filesystem: the writer and
# its node see it at once, all ranks when the client's time is over. Nobody sees for good what was there before.

setup() {
  load helper
  helper_setup
  need_hosts
  SHARED=$SCRATCH/shared SOURCE=$SCRATCH/source
  export PYTHONDONTWRITEBYTECODE=1
}

teardown() { helper_teardown; }

make_library() {
  local i
  mkdir -p "$SOURCE"
  find "$SOURCE" -mindepth 1 -delete
  mkdir "$SOURCE"/{data,many,lib}
  ln -s lib "$SOURCE/lib64"
  echo text >"$SOURCE/data/text.txt"
  for i in {0..19}; do echo "N = $i" >"$SOURCE/many/m$i.py"; done
  echo "X = 'old'" >"$SOURCE/old.py"
  touch "$SOURCE/data/__init__.py"
}

# N P COMMAND...
on_shared_hosts() {
  make_library
  HOSTS_MOUNT="$SOURCE:$SHARED:$CLIENT_OPTIONS" on_hosts "$@"
}

own_writes() {
  local hosts program=("$PYTHON" -S "$PROGRAMS/own_writes.py" "$MIOC_BUILD/lib" "$SHARED")
  for hosts in "1 2" "2 1" "2 2"; do
    echo "hosts: $hosts"
    # shellcheck disable=SC2086 # two words
    run_plain on_shared_hosts $hosts "${program[@]}"
    cat "$PLAIN/stderr"
    [[ $PLAIN_RC == 0 && $(grep -c 'does not see of its own \[\]' "$PLAIN/stdout") == $((${hosts/ /*})) ]]
    # shellcheck disable=SC2086
    MPIIO_CACHE_PATHS=$SHARED MPIIO_CACHE_LOG=info run_cached on_shared_hosts $hosts "${program[@]}"
    said
    SLACK=20 assert_same # each write waits for the other node
    [[ $(said) == *'active: '* ]]
  done
}

@test "what a rank writes it sees at once, its node too, and all ranks in the end" { for_each_client own_writes; }
