# Every extension module of Debian's large packages: the loader says the same of it whether or not a store serves it.

setup() {
  load helper
  helper_setup
  need_hosts
  need_command jq
  FOLDER=/usr/lib/python3/dist-packages
  # Debian's packages are on a local disk.
  export MPIIO_CACHE_PATHS=/usr/lib/python3
}

teardown() { helper_teardown; }

# PACKAGE...: on two hosts, where the second one gets all contents over MPI.
check_objects() {
  local package
  for package in "$@"; do
    [[ -n ${HOSTS_MOUNT:-} || -e $FOLDER/$package ]] || skip "Debian's $package is not installed"
  done
  run_plain on_hosts 2 1 "$PYTHON" "$PROGRAMS/differential_objects.py" "$FOLDER" "$@"
  [[ $PLAIN_RC == 0 ]]
  SLACK=10 MPIIO_CACHE_LOG=info MPIIO_CACHE_STATS=$SCRATCH/stats.json \
    run_cached on_hosts 2 1 "$PYTHON" "$PROGRAMS/differential_objects.py" "$FOLDER" "$@"
  SLACK=10 assert_same
  said
  [[ $(said) == *'active: 2 ranks on 2 nodes'* ]]
  [[ $(said) == *', loader patch'* ]]
  jq -c '.calls.loader, .loader' "$SCRATCH/stats.json"
  grep -c ' child ' "$CACHED/stdout"
  # Each object is loaded twice on each rank, and found in the store at least once of these times.
  (($(stat_of "$SCRATCH/stats.json" .loader.unpatched) == 0))
  (($(stat_of "$SCRATCH/stats.json" .loader.loads) >= $(wc -l <"$CACHED/stdout")))
  (($(stat_of "$SCRATCH/stats.json" .calls.loader.hit) >= $(grep -c ' here ' "$CACHED/stdout")))
}

@test "each extension module of numpy, scipy, pandas, matplotlib, sklearn, h5py, lxml and PIL is loaded as without us" {
  check_objects numpy scipy pandas matplotlib sklearn h5py lxml PIL
}

@test "torch, with 150 libraries of the system behind it, is loaded as without us" {
  local modules=("$FOLDER"/torch/_C.*.so)
  check_objects "${modules[0]#"$FOLDER/"}"
}

# bats test_tags=all
@test "each shared object of torch, most of them with 150 libraries of the system behind it, is loaded as without us" {
  check_objects torch
}

@test "each shared object that finds its libraries by \$ORIGIN, on a shared filesystem, is loaded as without us" {
  need_fuse
  need_python_env
  unset MPIIO_CACHE_PATHS
  PYTHON=$SCRATCH/shared/bin/python3 FOLDER=$SCRATCH/shared/lib/python3/dist-packages
  mkdir "$SCRATCH/shared"
  HOSTS_MOUNT=$PYTHON_ENV:$SCRATCH/shared check_objects numpy scipy pandas matplotlib PIL kiwisolver contourpy \
    ../../python3.11
}
