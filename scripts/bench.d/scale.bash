# bench scale [--nodes N,N...] [--to FOLDER] [OPTION...]: a real import (the trace in tests/sim) simulated on 1 to
# 100,000 nodes, first run and with a manifest: time, messages, bytes, as a table, as JSON and plotted. OPTIONs: see
# mioc_scale --help. The largest take minutes and 8 GiB. FOLDER (build/bench) gets scale.json, scale.svg and scale.png.

# shellcheck shell=bash disable=SC2154
nodes=1,10,100,1000,10000,100000 folder=$root/build/bench
options=()
while (($# > 0)); do
  case $1 in
    --nodes | --to) (($# > 1)) || die "scale: $1 what?" ;;&
    --nodes) nodes=$2; shift ;;
    --to) folder=$2; shift ;;
    *) options+=("$1") ;;
  esac
  shift
done
[[ $nodes =~ ^[1-9][0-9]*(,[1-9][0-9]*)*$ ]] || die "scale: --nodes $nodes is no list of numbers"
/usr/bin/python3 -c 'import matplotlib' 2>/dev/null || die "scale: python3-matplotlib is missing" 77
build_all
mkdir -p "$folder"
rc=0
"$root/tests/sim/scale-table" --nodes "$nodes" --json "$folder/scale.json" --plot "$folder/scale.svg" \
  --plot "$folder/scale.png" "$build/tests/mioc_scale" "$root/tests/sim/numpy-scipy.linalg.trace.xz" "${options[@]}" ||
  rc=$?
echo "$folder: scale.json, scale.svg, scale.png"
((rc == 0))
