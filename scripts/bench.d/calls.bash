# bench calls [--json]: what one call costs through the preload, as ratios to the bare call, all from one run.
# shellcheck shell=bash disable=SC2154

[[ $# == 0 || $* == --json ]] || die "calls: unknown option $1 (--json)"
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
report_calls "$@"
