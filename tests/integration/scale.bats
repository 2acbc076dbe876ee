# The simulation of an import at scale: from a recording to table and plot.

setup() {
  load helper
  helper_setup
}

teardown() { helper_teardown; }

@test "a real import is recorded and replayed" {
  need_command mpiexec.mpich
  "$MIOC_ROOT/tests/sim/record-trace" "$MIOC_BUILD" "$SCRATCH/trace.xz" json
  /usr/bin/python3 -c 'import lzma, sys; print(end=lzma.open(sys.argv[1], "rt").read())' "$SCRATCH/trace.xz" \
    >"$SCRATCH/trace"
  # What the module needs is asked for, its bytecode brings its bytes, and a listing answers for what is not there.
  grep -E '^J 1 1 /usr/lib/python3[^ ]*/json/__init__.py ' "$SCRATCH/trace"
  grep -E '^J 1 3 /usr/lib/python3[^ ]*/json/__pycache__/__init__[^ ]*.pyc [0-9]+ [1-9][0-9]+ ' "$SCRATCH/trace"
  grep -E '^L [0-9]+ [0-9]+ [0-9]+$' "$SCRATCH/trace"
  run "$MIOC_BUILD/tests/mioc_scale" --nodes 20 "$SCRATCH/trace"
  [[ $status == 0 ]]
  [[ $(jq '.seconds > 0.01 and .requests_at_root > 10 and .root_bytes > 4 * 10000' <<<"$output") == true ]]
}

@test "what is no trace is refused" {
  printf 'J 1 1 /a 1 0 1 1:328\nL 5 7 -1\n' >"$SCRATCH/bad"
  run "$MIOC_BUILD/tests/mioc_scale" "$SCRATCH/bad"
  [[ $status == 2 && $output == *'bad, line 2: not a trace'* ]]
  run "$MIOC_BUILD/tests/mioc_scale" "$SCRATCH/none"
  [[ $status == 2 ]]
  run "$MIOC_BUILD/tests/mioc_scale" --nodes 0 "$SCRATCH/bad"
  [[ $status == 2 && $output == usage:* ]]
}

@test "bench scale makes table, JSON and plots, and says whether the aims are reached" {
  MIOC_BUILD=$MIOC_BUILD run "$MIOC_ROOT/scripts/bench" scale --nodes 10,100,300 --to "$SCRATCH/out"
  echo "$output"
  [[ $status == 0 && $output == *'manifest, time: 300 nodes / 10 nodes = '*'reached'* ]]
  [[ $(jq '(.rows | length) == 9 and (.aims | length) == 15' "$SCRATCH/out/scale.json") == true ]]
  [[ $(head -c 4 "$SCRATCH/out/scale.png" | tail -c 3) == PNG && -s $SCRATCH/out/scale.svg ]]
}

@test "an import that takes longer on more nodes misses its aim" {
  cat >"$SCRATCH/growing" <<'EOF'
#!/bin/sh
echo "{\"nodes\": $2, \"mode\": \"first run\", \"seconds\": $2, \"root_messages\": 1, \"root_bytes\": 1,
       \"node_messages\": 1, \"node_bytes\": 1,
       \"requests_at_root\": 1, \"cpu_seconds\": 1, \"memory_mib\": 1}" | case $3 in
  --manifest) sed 's/first run/manifest/' ;;
  --lead-ms) sed 's/first run/&, last node first/' ;;
  *) cat ;;
esac
EOF
  chmod +x "$SCRATCH/growing"
  run "$MIOC_ROOT/tests/sim/scale-table" --nodes 10,20 "$SCRATCH/growing" \
    "$MIOC_ROOT/tests/sim/numpy-scipy.linalg.trace.xz"
  [[ $status == 1 && $output == *'first run, time: 20 nodes / 10 nodes = 2.000, aim <= 2.0: reached'* ]]
  [[ $output == *'manifest, time: 20 nodes / 10 nodes = 2.000, aim <= 1.3: missed'* ]]
}
