# bench dlopen [--json]: what loading a cached library costs, as ratios to the same library on a local disk in a rank
# whose loader is not patched, all from one run; and what patching the dynamic loader costs when a process starts, in
# time and memory.
# shellcheck shell=bash disable=SC2154

# TITLE FOLDER LIBRARY...: adds a set of libraries, and the list of all that they need, which is loaded before them.
add_set() {
  local title=$1 folder=$scratch/local/$2 library name
  shift 2
  mkdir -p "$folder"
  for library in "$@"; do
    name=${library#"$packages/"}
    cp -L "$library" "$folder/${name//\//_}"
  done
  echo "$title" >"$folder/title.txt"
  for library in "$folder"/*.so; do ldd "$library"; done |
    sed -nE 's/^\s*\S+ => (\/\S+) .*/\1/p' |
    awk -v folder="$folder/" 'index($0, folder) != 1 && !seen[$0]++' >"$folder/needed.txt"
}

[[ $# == 0 || $* == --json ]] || die "dlopen: unknown option $1 (--json)"
build_all
packages=/usr/lib/python3/dist-packages
scratch=$(mktemp -d "$(local_disk)/mpiio_cache-bench.XXXXXX")
mkdir -p "$scratch/local/web"
cd "$scratch"
# What is not the load's own work shows most with libraries that hold next to nothing.
for i in {00..19}; do
  echo "int small_$i(void) { return 1$i; }" | gcc -O1 -shared -fPIC -x c - -o "lib$i.so"
done
add_set "20 libraries of one function" small lib??.so
for i in {0..8}; do
  echo "int part_$i(void) { return $i; }" |
    gcc -O1 -shared -fPIC -x c - -Wl,-soname,"libpart$i.so.1" -o "local/web/libpart$i.so.1"
done
for i in {0..3}; do
  gcc -shared -fPIC -Wl,--no-as-needed,-rpath,"\$ORIGIN" local/web/libpart?.so.1 -o "libweb$i.so"
done
add_set "4 that need 9 others by \$ORIGIN" web libweb?.so
mapfile -t modules < <(find -L $packages/numpy $packages/scipy -name '*.so' | sort | awk 'NR % 4 == 0')
((${#modules[@]} > 10)) || die "Debian's numpy and scipy are not installed" 77
add_set "${#modules[@]} modules of numpy and scipy" modules "${modules[@]}"
cp -r local cached
mkfifo requests answers
# Rank 1's loader is plain. The shell is no Python, and so no rank.
# shellcheck disable=SC2016 # for that shell
env LD_PRELOAD="$build/lib/libmpiio_cache.so" MPIIO_CACHE_PATHS="$scratch/cached" MPIIO_CACHE_LOG=info \
  timeout -k 10 300 mpiexec.mpich -n 2 \
  sh -c '[ "$PMI_RANK" = 0 ] || export MPIIO_CACHE_LOADER=plain; exec "$@"' sh /usr/bin/python3 \
  "$root/tests/programs/bench_dlopen.py" \
  "$build/programs/bench_dlopen.so" "$scratch/cached" "$scratch/local" "$scratch/requests" "$scratch/answers" \
  "$scratch/calls.json" >"$scratch/log" 2>&1 </dev/null || {
  cat "$scratch/log" >&2
  die "the measuring job failed" 1
}
# A row each, of what it may be: 0.4 ms, and 8 KiB, whose "ns" are bytes.
for _ in {1..51}; do LD_PRELOAD="$build/programs/bench_patch.so" /usr/bin/python3; done >"$scratch/patches"
jq --slurpfile calls "$scratch/calls.json" -Rs '
  def at($v; $part): $v[($v | length) * $part | floor];
  def row(name; values; most): (values | sort) as $v
    | {name: name, hooked_ns: at($v; 0.5), bare_ns: most, loads: ($v | length), ratio: (at($v; 0.5) / most),
       ratio_quartiles: [at($v; 0.25) / most, at($v; 0.75) / most], aim: 1};
  [split("\n")[] | select(endswith("patched")) | split(" ")[:2] | map(tonumber)] as $all
  | $calls[0] + [row("the patch, of 0.4 ms"; [$all[][0]]; 400000),
                 row("its private bytes, of 8 KiB"; [$all[][1]]; 8192)]' \
  "$scratch/patches" >"$scratch/all.json"
mv "$scratch/all.json" "$scratch/calls.json"
report_calls "$@"
