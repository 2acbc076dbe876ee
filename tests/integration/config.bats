# Environment variables: a bad one is said once, and the program runs as if it were not there.

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  mkdir "$SCRATCH/lib"
  echo 'print("ran")' >"$SCRATCH/app.py"
  export MPIIO_CACHE_PATHS=$SCRATCH/lib
}

teardown() { helper_teardown; }

# VARIABLE=VALUE: a job with it, which must run, and say one line that names the variable.
check_bad() {
  RC=0
  run_plain on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py"
  (export "$1" && run_cached on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py" && assert_same) || return 1
  local lines
  lines=$(said)
  echo "$1 gave: $lines"
  (($(grep -c . <<<"$lines") == 1)) && [[ $lines == *"warning: "*"${1%%=*}"* ]]
}

@test "a number that is none is one warning on rank 0" {
  check_bad MPIIO_CACHE_TIMEOUT=soon
  [[ $(said) == *'MPIIO_CACHE_TIMEOUT="soon": expected seconds from 0.001 to 3600; using the default, 10' ]]
}

@test "every kind of malformed value is one warning on rank 0" {
  local variable
  for variable in DISABLE=maybe LOG=loud DIR=shm EXCLUDE=lib TTL=-1 LINGER=1e9 MAX_FILE=12Q MAX_BYTES=1.5G STATS=yes \
    TRANSPORT=udp PORTS=80-90 INTERFACE=a/b KEYFILE=key ENCRYPT=on HOSTS=./hosts RANK=first; do
    check_bad "MPIIO_CACHE_$variable"
  done
}

@test "a misspelt variable is one warning on rank 0" {
  check_bad MPIIO_CACHE_TIMOUT=5
  [[ $(said) == *'unknown variable MPIIO_CACHE_TIMOUT, ignored. mpiio-cache config names all' ]]
}

@test "an empty value is as good as none" {
  run_plain on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py"
  MPIIO_CACHE_TTL='' MPIIO_CACHE_STATS='' MPIIO_CACHE_LOG='' run_cached on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py"
  assert_same
  [[ -z $(said) ]]
}

@test "the active line is said once, with log level info" {
  run_plain on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py"
  MPIIO_CACHE_LOG=info run_cached on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py"
  assert_same
  said
  (($(said | grep -c 'active: 2 ranks on 1 node')  == 1))
}

@test "MPIIO_CACHE_DISABLE=1 says nothing and does nothing" {
  run_plain on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py"
  MPIIO_CACHE_DISABLE=1 run_cached on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py"
  assert_same
  [[ -z $(said) ]]
}
