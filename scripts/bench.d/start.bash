# bench start [--rounds N] [--json]: what the cache costs a rank's start: seconds from exec to the program's first line,
# 1 x 4 and 4 x 4 ranks, plain and cached in turn, N times (15), and what each rank has more then: memory of its own,
# threads, descriptors, libraries. Aims: 1.05 times plain, 512 KiB, no thread, no descriptor, our library alone.
# shellcheck shell=bash disable=SC2154

rounds=15 json=
while (($#)); do
  case $1 in
    --rounds) rounds=${2:?}; shift ;;
    --json) json=1 ;;
    *) die "start: $1 is not understood (--help)" ;;
  esac
  shift
done
[[ $EUID -eq 0 ]] || die "start: needs root, for namespaces" 77
build_all
scratch=$(mktemp -d)
/usr/bin/python3 "$root/tests/programs/bench_start.py" "$build/programs/bench_exec" "$build/lib/libmpiio_cache.so" \
  "$root/tests/fixtures/simulated-hosts" "$rounds" >"$scratch/result.json"
if [[ -n $json ]]; then
  cat "$scratch/result.json"
else
  jq -r 'def r(n): . * n | round / n;
    .[] | "\(.name) ranks: exec to the first line \(.plain_ms | r(10)) ms plain, \(.cached_ms | r(10)) ms cached: "
    + "\(.ratio | r(1000)) x, aim <= \(.aim); a rank has \(.kib | r(1)) KiB, \(.threads) threads, "
    + "\(.descriptors) descriptors, \(.libraries) libraries more"' "$scratch/result.json"
fi
jq -e 'all(.ratio <= .aim and .kib <= 512 and .threads == 0 and .descriptors == 0 and .libraries == 1)' \
  "$scratch/result.json" >/dev/null
