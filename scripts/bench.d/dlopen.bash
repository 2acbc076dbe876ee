# bench dlopen [--json]: what loading a cached library costs, as ratios to the same library on a local disk, all from one run.
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
mkfifo fifo
# Two ranks, because a job of one stays dormant.
env LD_PRELOAD="$build/lib/libmpiio_cache.so" MPIIO_CACHE_PATHS="$scratch/cached" MPIIO_CACHE_LOG=info \
  timeout -k 10 300 mpiexec.mpich -n 2 /usr/bin/python3 "$root/tests/programs/bench_dlopen.py" \
  "$build/programs/bench_dlopen.so" "$scratch/cached" "$scratch/local" "$scratch/fifo" "$scratch/calls.json" \
  >"$scratch/log" 2>&1 </dev/null || {
  cat "$scratch/log" >&2
  die "the measuring job failed" 1
}
report_calls "$@"
