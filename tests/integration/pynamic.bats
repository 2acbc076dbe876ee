# Hundreds of extension modules and a web of libraries that they need, found in all the ways in which a loader finds
# libraries: the same objects in the same order with the same bindings as without us, and the mount sees one rank.

setup() {
  load helper
  helper_setup
  need_fuse
  need_hosts
  need_command jq
  SEEN_AT=/tmp/mioc-pynamic # the libraries hold this path; each host has its own mount there
  PYNAMIC=$PYTHON_ENVS/pynamic
  mkdir -p "$(dirname "$PYNAMIC")"
  local rc=0
  "$PROGRAMS/pynamic/build" "$PYNAMIC" $SEEN_AT >"$SCRATCH/build" 2>&1 || rc=$?
  ((rc != 77)) || skip "$(<"$SCRATCH/build")"
  ((rc == 0)) || { cat "$SCRATCH/build"; return 1; }
  export MPIIO_CACHE_PATHS=$SEEN_AT
}

teardown() {
  rmdir $SEEN_AT 2>/dev/null || true
  helper_teardown
}

# NAME N P ARGUMENT... -- runs python3 ARGUMENT... and leaves the server's counts in NAME.json, and what the loader
# bound in NAME/bindings.PID.
count_on() {
  local name=$1 n=$2 p=$3
  shift 3
  mkdir -p "$SCRATCH/$name-bound"
  # The libraries' path and the loader's messages are for the program alone, not for the launcher.
  HOSTS_MOUNT="$PYNAMIC:$SEEN_AT:--counters $SCRATCH/$name.counters --log $SCRATCH/$name.log" on_hosts "$n" "$p" env \
    LD_LIBRARY_PATH=$SEEN_AT/env LD_DEBUG=bindings LD_DEBUG_OUTPUT="$SCRATCH/$name-bound/by" "$PYTHON" "$@"
  "$MIOC_METADATA_SERVER" --report "$SCRATCH/$name.counters" >"$SCRATCH/$name.json"
}

load_on() {
  mkdir -p "$SCRATCH/$1-objects"
  count_on "$@" "$PROGRAMS/pynamic/load.py" $SEEN_AT "$SCRATCH/$1-objects"
}

# NAME: what all libraries' symbols were bound to, in the loader's order; how many ranks' each is.
bindings_of() {
  local file text
  for file in "$SCRATCH/$1-bound"/by.*; do
    text=$(sed -nE "s|^ *[0-9]+:\s*(binding file /*$SEEN_AT.*)|\1|p" "$file")
    # What hydra starts beside the ranks binds none of ours.
    [[ -z $text ]] || echo "$(wc -l <<<"$text") $(sha256sum <<<"$text")"
  done | sort | uniq -c
}

# Prints how often the loader looked in LD_LIBRARY_PATH for libraries that no plain rank looks for. These are MPI's own,
# which each cached rank loads before main().
looks_for_mpi() {
  comm -23 <(grep -o '^lookup /env/lib[^ ]*' "$SCRATCH/cached.log" | sort) \
    <(grep -o '^lookup /env/lib[^ ]*' "$SCRATCH/plain.log" | sort) | wc -l
}

# NAME: the shared objects that were opened on the mount, by any rank.
opened() { sed -nE 's/^open ([^ ]*\.so[.0-9]*) .*/\1/p' "$SCRATCH/$1.log" | sort -u; }

# WHAT JQ MPI: in operations that JQ takes from a report, behind the start of main(), all ranks together are one bare
# rank. MPI: how many more come before main() in the cached run.
check_bar() {
  local bare before cached before_cached
  bare=$(stat_of "$SCRATCH/bare.json" "$2") before=$(stat_of "$SCRATCH/before-one.json" "$2")
  cached=$(stat_of "$SCRATCH/cached.json" "$2") before_cached=$(($(stat_of "$SCRATCH/before.json" "$2") + $3))
  echo "$1: one bare rank $bare, $before of them before main; cached $cached, $before_cached of them before main"
  (((cached - before_cached) * 10 <= (bare - before) * 11))
}

# N P
check_pynamic() {
  local n=$1 p=$2 mpi
  run_plain load_on plain "$n" "$p"
  [[ $PLAIN_RC == 0 && $(grep -c '180 modules, 240 objects$' "$PLAIN/stdout") == $((n * p)) ]]
  MPIIO_CACHE_STATS=$SCRATCH/stats.json MPIIO_CACHE_LOG=info run_cached load_on cached "$n" "$p"
  SLACK=10 assert_same # only the cached run starts MPI
  said
  [[ $(said) == *"active: $((n * p)) ranks on $n node"* ]]
  diff -r "$SCRATCH/plain-objects" "$SCRATCH/cached-objects"
  diff <(bindings_of plain) <(bindings_of cached)
  [[ $(bindings_of cached | awk '{ print $1, ($2 > 1800), NR }') == "$((n * p)) 1 1" ]]
  jq -c .loader "$SCRATCH/stats.json"
  (($(stat_of "$SCRATCH/stats.json" .loader.loads) >= n * p * 190 &&
    $(stat_of "$SCRATCH/stats.json" .loader.unpatched) == 0))
  run_plain load_on bare 1 1
  run_plain count_on before-one 1 1 --version
  run_plain count_on before "$n" "$p" --version
  echo "metadata operations of the plain run: $(stat_of "$SCRATCH/plain.json" .metadata)"
  mpi=$(looks_for_mpi)
  echo "looks for MPI's libraries in LD_LIBRARY_PATH: $mpi"
  # What is read ahead is what the loader loads, by the same names.
  (($(opened plain | wc -l) > 200))
  diff <(opened plain) <(opened cached)
  check_bar "metadata operations" .metadata "$mpi"
  check_bar "reads" .shared_object.read 0
}

@test "180 modules and 60 libraries on 2 x 2 ranks are loaded and bound as without us, for one rank's operations" {
  check_pynamic 2 2
}

# bats test_tags=all
@test "180 modules and 60 libraries on 8 x 4 ranks are loaded and bound as without us, for one rank's operations" {
  check_pynamic 8 4
}
