# bench writes [N...]: how long one write to a cached file takes on N simulated nodes (4 16), until all nodes know of
# it.
# shellcheck shell=bash disable=SC2154

build_all
scratch=$(mktemp -d /tmp/mpiio_cache-bench.XXXXXX)
mkdir "$scratch/lib"
echo "value = 1" >"$scratch/lib/one.py"
measure() { # PRELOAD N
  rm -f "$scratch/done" "$scratch/result"
  env ${1:+LD_PRELOAD="$1"} MPIIO_CACHE_PATHS="$scratch/lib" MPIIO_CACHE_LOG=info timeout -k 10 110 \
    "$root/tests/fixtures/simulated-hosts" "$2" 1 /usr/bin/python3 -S "$root/tests/programs/bench_writes.py" \
    "$scratch/lib/one.py" "$scratch/done" "$scratch/result" >"$scratch/log" 2>&1 </dev/null ||
    { cat "$scratch/log" >&2; die "the job failed" 1; }
  [[ -z $1 ]] || grep -q '^mpiio_cache: active' "$scratch/log" ||
    die "the cache was not active: $(cat "$scratch/log")" 1
}
[[ $# -gt 0 ]] || set -- 4 16
printf '%-7s %-10s %-8s %s\n' nodes preload 'gap s' 'ms: quartiles, longest'
for n; do
  for preload in '' "$build/lib/libmpiio_cache.so"; do
    measure "$preload" "$n"
    jq -r --arg n "$n" --arg p "${preload:+cached}" \
      'to_entries[] | "\($n)|\(if $p == "" then "plain" else $p end)|\(.key)|\(.value | map(tostring) | join(" "))"' \
      "$scratch/result" |
      while IFS='|' read -r nodes how gap ms; do printf '%-7s %-10s %-8s %s\n' "$nodes" "$how" "$gap" "$ms"; done
  done
done
