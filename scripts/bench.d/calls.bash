# bench calls [--json]: what one call costs through the preload, as ratios to the bare call, all from one run.
# shellcheck shell=bash disable=SC2154

print_table() {
  jq -r '
    def r: . * 1000 | round / 1000 | tostring;
    def pad(n): . + " " * ([n - length, 0] | max);
    "\(.line)\n",
    ("call" | pad(44)) + ("hooked ns" | pad(12)) + ("bare ns" | pad(12)) + ("ratio" | pad(9)) + ("quartiles" | pad(22)) + "aim",
    (.calls[] | (.name | pad(44)) + (.hooked_ns | round | tostring | pad(12)) + (.bare_ns | round | tostring | pad(12))
      + (.ratio | r | pad(9)) + ("\(.ratio_quartiles[0] | r) .. \(.ratio_quartiles[1] | r)" | pad(22))
      + (if .aim == null then "-" else "<= \(.aim)  " + (if .ratio <= .aim then "reached" else "missed" end) end))' "$1"
}

is_json=0
case ${1:-} in
  '') ;;
  --json) is_json=1 ;;
  *) die "calls: unknown option $1 (--json)" ;;
esac
build_all
disk=$(local_disk)
scratch=$(mktemp -d "$disk/mpiio_cache-bench.XXXXXX")
mkdir -p "$scratch"/{cached,local,other}
# The size of a typical .pyc.
head -c 16384 /dev/urandom >"$scratch/cached/file"
cp "$scratch/cached/file" "$scratch/local/file"
cp "$scratch/cached/file" "$scratch/other/file"
folders=11 files=50
for ((i = 0; i < folders; i++)); do
  mkdir "$scratch/cached/misses-$i"
  for ((j = 0; j < files; j++)); do : >"$scratch/cached/misses-$i/f$j"; done
done
mkfifo "$scratch/fifo"
# Two ranks, because a job of one stays dormant. Without statistics, whose clock reads cost more than a hit.
env LD_PRELOAD="$build/lib/libmpiio_cache.so" MPIIO_CACHE_PATHS="$scratch/cached" MPIIO_CACHE_LOG=info \
  timeout -k 10 300 mpiexec.mpich -n 2 /usr/bin/python3 "$root/tests/programs/bench_calls.py" \
  "$build/programs/bench_calls.so" "$scratch/cached" "$scratch/local" "$scratch/other" "$scratch/fifo" \
  "$scratch/calls.json" "$folders" "$files" >"$scratch/log" 2>&1 </dev/null || {
  cat "$scratch/log" >&2
  die "the measuring job failed" 1
}
line=$(grep -m 1 '^mpiio_cache: active' "$scratch/log") || die "the cache was not active: $(cat "$scratch/log")" 1
jq --arg line "${line#mpiio_cache: }" '{line: $line, calls: .}' "$scratch/calls.json" >"$scratch/result.json"
if ((is_json)); then cat "$scratch/result.json"; else print_table "$scratch/result.json"; fi
jq -e '[.calls[] | select(.aim != null and .ratio > .aim)] == []' "$scratch/result.json" >/dev/null
