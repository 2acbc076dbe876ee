# bench dormant [--json]: what a process that stays dormant takes longer, as ratios to the plain one, all from one run.
# shellcheck shell=bash disable=SC2154

[[ $# == 0 || $* == --json ]] || die "dormant: unknown option $1 (--json)"
build_all
scratch=$(mktemp -d)
echo | gcc -shared -fPIC -x c - -o "$scratch/empty.so"
/usr/bin/python3 "$root/tests/programs/bench_dormant.py" "$build/lib/libmpiio_cache.so" "$scratch/empty.so" 301 \
  >"$scratch/result.json"
if [[ ${1:-} == --json ]]; then
  cat "$scratch/result.json"
else
  jq -r '.[] | "\(.name): plain \(.plain_ms * 100 | round / 100) ms; "
    + "with the preload \(.ratio * 1000 | round / 1000) x "
    + "(any preload: \(.empty_ratio * 1000 | round / 1000) x), aim <= \(.aim)"' "$scratch/result.json"
fi
jq -e 'all(.ratio <= .aim)' "$scratch/result.json" >/dev/null
