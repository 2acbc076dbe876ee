# The build and the scripts around it.

setup() {
  load helper
  helper_setup
}

teardown() { helper_teardown; }

# Configures into $SCRATCH/build with more arguments; leaves $status and $output, in one line.
configure() {
  run cmake -S "$MIOC_ROOT" -B "$SCRATCH/build" -G Ninja -DBUILD_TESTING=OFF "$@"
  output=$(tr -s ' \n' ' ' <<<"$output")
}

@test "the installed library has its plug-in beside it" {
  DESTDIR=$SCRATCH/root cmake --install "$MIOC_BUILD" >/dev/null
  local library plugin
  library=$(find "$SCRATCH/root" -name libmpiio_cache.so)
  plugin=$(find "$SCRATCH/root" -name libmpiio_cache_mpich.so)
  [[ -f $library && -f $plugin && $(dirname "$library") == "$(dirname "$plugin")" ]]
  [[ -n $(find "$SCRATCH/root" -name mpiio_cache.pc) && -n $(find "$SCRATCH/root" -name LICENSE) ]]
}

@test "the library itself needs no MPI" {
  readelf -d "$MIOC_LIBRARY" >"$SCRATCH/dynamic"
  grep -q 'NEEDED.*libc\.so' "$SCRATCH/dynamic"
  run grep -E 'NEEDED.*lib(mpi|ucp|pmi)' "$SCRATCH/dynamic"
  [[ $status == 1 ]]
}

@test "the library exports libc's names and none of its own insides" {
  nm -D --defined-only "$MIOC_LIBRARY" >"$SCRATCH/names"
  grep -q ' open64' "$SCRATCH/names"
  run grep ' mioc_' "$SCRATCH/names"
  [[ $status == 1 ]]
}

@test "configuring with another MPI than MPICH fails and says why" {
  mkdir -p "$SCRATCH/other/bin" "$SCRATCH/other/include"
  echo '#define OMPI_MAJOR_VERSION 4' >"$SCRATCH/other/include/mpi.h"
  printf '#!/bin/sh\necho "cc -I%s/other/include -lmpi"\n' "$SCRATCH" >"$SCRATCH/other/bin/mpicc"
  chmod +x "$SCRATCH/other/bin/mpicc"
  configure -DMPIIO_CACHE_MPICH_ROOT="$SCRATCH/other"
  [[ $status != 0 && $output == *'does not define MPICH_VERSION 3 or later'* ]]
}

@test "configuring with a place where no MPI is fails and says why" {
  configure -DMPIIO_CACHE_MPICH_ROOT="$SCRATCH"
  [[ $status != 0 && $output == *'neither mpicc.mpich nor mpicc was found'* ]]
}

@test "check-symbols finds a source that names libc's open" {
  mkdir -p "$SCRATCH/build/preload/CMakeFiles/mioc_core.dir" "$SCRATCH/build/mpi_shim"
  echo 'int open(const char *, int, ...); int f(void); int f(void) { return open("x", 0); }' >"$SCRATCH/bad.c"
  cc -c "$SCRATCH/bad.c" -o "$SCRATCH/build/preload/CMakeFiles/mioc_core.dir/bad.c.o"
  run "$MIOC_ROOT/scripts/check-symbols" "$SCRATCH/build"
  [[ $status == 1 && $output == *'bad.c names open: use mioc_real()'* ]]
}

# A house of two floors: `upper` may use `lower`.
make_house() {
  mkdir -p "$SCRATCH/house/"{scripts,preload/upper,preload/lower,mpi_shim} \
    "$SCRATCH/house/build/preload/CMakeFiles/mioc_core.dir/"{upper,lower}
  cp "$MIOC_ROOT/scripts/check-layers" "$SCRATCH/house/scripts/"
  printf '```floors\nupper\nlower\n```\n' >"$SCRATCH/house/preload/README.md"
  echo 'int lower(void);' >"$SCRATCH/house/preload/lower/lower.h"
  echo 'int upper(void);' >"$SCRATCH/house/preload/upper/upper.h"
  source_file lower/lower 'int lower(void); int lower(void) { return 0; }'
  source_file upper/upper '#include "lower/lower.h"
    int upper(void); int upper(void) { return lower(); }'
}

source_file() {
  echo "$2" >"$SCRATCH/house/preload/$1.c"
  cc -I"$SCRATCH/house/preload" -c "$SCRATCH/house/preload/$1.c" \
    -o "$SCRATCH/house/build/preload/CMakeFiles/mioc_core.dir/$1.c.o"
}

check_layers() { run "$SCRATCH/house/scripts/check-layers" "$SCRATCH/house/build"; }

@test "check-layers finds an include and a declared extern that run up, a circle, and a folder without a floor" {
  make_house
  check_layers
  [[ $status == 0 && $output == 'check-layers: 4 files on 2 floors, nothing runs up, no circle' ]]
  source_file lower/other '#include "upper/upper.h"'
  check_layers
  [[ $status == 1 &&
    $output == *'preload/lower/other.c uses the header of preload/upper/upper.h, which is not on a floor below'* ]]
  source_file lower/other 'int upper(void); int other(void); int other(void) { return upper(); }'
  check_layers
  [[ $status == 1 &&
    $output == *'preload/lower/other.c uses upper of preload/upper/upper.c, which is not on a floor below'* ]]
  source_file lower/other 'int lower(void); int other(void); int other(void) { return lower(); }'
  source_file lower/lower 'int other(void); int lower(void); int lower(void) { return other(); }'
  check_layers
  [[ $status == 1 && $output == *'a circle: preload/lower/lower.c, preload/lower/other.c'* ]]
  mkdir "$SCRATCH/house/preload/attic"
  check_layers
  [[ $status == 1 && $output == *"folders and floors differ: ['attic']"* ]]
}

@test "a benchmark that does not exist is refused by name" {
  run "$MIOC_ROOT/scripts/bench" nothing
  [[ $status == 2 && $output == *"there is no benchmark 'nothing'"*'calls'* ]]
}

@test "the demo refuses what it cannot understand" {
  local arguments
  for arguments in 'x' '0' '4 4 4' '--latency-us ten' '--speed'; do
    # shellcheck disable=SC2086 # words
    run "$MIOC_ROOT/scripts/demo" $arguments
    [[ $status == 2 && $output == 'demo: '* ]]
  done
}

# bats test_tags=slow
@test "bench calls measures every call and names the aims" {
  need_command mpiexec.mpich
  MIOC_BUILD=$MIOC_BUILD run "$MIOC_ROOT/scripts/bench" calls --json
  echo "$output"
  # An aim may be missed on a busy machine; that nothing was measured may not be.
  [[ $status == 0 || $status == 1 ]]
  [[ $(jq '.calls | length' <<<"$(sed -n '/^{/,$p' <<<"$output")") == 6 ]]
}

# bats test_tags=slow
@test "bench imports runs every variant and writes table, CSV, JSON and plot" {
  need_fuse
  need_hosts
  run "$MIOC_ROOT/scripts/bench" imports --jobs 2x2 --servers 8 --latency-us 50 --runs 1 --modules json \
    --steps --csv "$SCRATCH/f.csv" --json "$SCRATCH/f.json" --plot "$SCRATCH/f.png"
  echo "$output"
  [[ $status -le 1 && $output == *'plain, local disk'* && $output == *'time line'*'library, manifest'* ]]
  [[ $(jq -r '.rows | map(.variant) | join(" ")' "$SCRATCH/f.json") == 'plain first manifest tar floor local' ]]
  (($(wc -l <"$SCRATCH/f.csv") == 7 && $(stat -c %s "$SCRATCH/f.png") > 5000))
  run "$MIOC_ROOT/scripts/bench" imports --variants manifest
  [[ $status == 2 && $output == *'manifest needs first before it'* ]]
}

# bats test_tags=all
@test "bench pingpong measures latency, message rate and the agents' idle share" {
  need_hosts
  run "$MIOC_ROOT/scripts/bench" pingpong --runs 1 --idle 1 --json
  echo "$output"
  [[ $status == 0 || $status == 1 ]]
  [[ $(jq '[.plain, .session, .cache] | map(.latency_us > 0 and .messages_per_us > 0) | all' \
    <<<"$(sed -n '/^{/,$p' <<<"$output")") == true ]]
}

# bats test_tags=all
@test "bench dlopen measures each set of libraries, cached and passed through" {
  need_command mpiexec.mpich
  MIOC_BUILD=$MIOC_BUILD run "$MIOC_ROOT/scripts/bench" dlopen --json
  echo "$output"
  [[ $status == 0 || $status == 1 ]]
  [[ $(jq '.calls | length' <<<"$(sed -n '/^{/,$p' <<<"$output")") == 12 ]]
}
