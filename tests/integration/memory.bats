# What the cache costs in memory: a node holds one copy of the files that were used, a rank next to nothing.

setup() {
  load helper
  helper_setup
  need_fuse
  need_hosts
  need_python_env
  SHARED=$SCRATCH/shared
}

teardown() { helper_teardown; }

measure_on() { # N P MODE MODULE...
  HOSTS_MOUNT="$PYTHON_ENV:$SHARED:--log $SCRATCH/log" on_hosts "$1" "$2" "$SHARED/bin/python3" "$PROGRAMS/memory.py" \
    "$MIOC_BUILD/lib" "${@:3}"
}

# Bytes of the files that the last run opened, each once.
bytes_used() {
  awk '$1 == "open" { print $2 }' "$SCRATCH/log" | sort -u | while read -r path; do
    stat -L -c %s "$PYTHON_ENV$path"
  done | awk '{ n += $1 } END { print n }'
}

@test "a node holds at most 1.25 times the files' bytes, a rank at most 512 KiB beyond MPI's own, its lowest 1.25 MiB" {
  : >"$SCRATCH/log"
  run_plain measure_on 2 4 session numpy scipy.linalg
  # hydra may call the end of a rank whose session is still open a crash: not the exit code, what all ranks said counts.
  (($(grep -c '^rank' "$PLAIN/stdout") == 8)) || { tail -n 20 "$PLAIN/stderr"; return 1; }
  local used plain rank node kib
  used=$(bytes_used)
  plain=$(awk '$1 == "rank" { print $4 }' "$PLAIN/stdout" | sort -n | head -n 1)
  run_cached measure_on 2 4 served numpy scipy.linalg
  [[ $CACHED_RC == 0 ]]
  grep -h '^rank' "$CACHED/stdout" | sort -k2n
  echo "a rank with MPI and a session: $plain KiB; files used: $used bytes"
  # Leaders (rank 0 and 4) have the agent as well, which needs two messages' buffers above all. Rank 0 also has the
  # resolvers, and what they have just sent.
  local bound
  while read -r _ rank node kib; do
    bound=512
    ((rank % 4 != 0)) || bound=1280
    ((rank != 0)) || bound=4096
    ((kib <= plain + bound)) || { echo "rank $rank on $node: $kib KiB"; return 1; }
  done < <(grep -h '^rank' "$CACHED/stdout")
  (($(grep -c '^store' "$CACHED/stdout") >= 2))
  while read -r _ node kib; do
    echo "store of $node: $kib bytes"
    ((kib * 4 <= used * 5))
  done < <(grep -h '^store' "$CACHED/stdout" | sort -u)
}
