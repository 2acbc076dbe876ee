# Limits that a program runs well under do not end it because MPI needs more.

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  mkdir "$SCRATCH/lib"
  echo 'value = 42' >"$SCRATCH/lib/package.py"
  cat >"$SCRATCH/app.py" <<'PY'
import os, resource, package
print(resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_FSIZE), os.open("/dev/null", 0))
PY
  export MPIIO_CACHE_PATHS=$SCRATCH/lib PYTHONPATH=$SCRATCH/lib PYTHONDONTWRITEBYTECODE=1
}

teardown() { helper_teardown; }

# ULIMIT'S ARGUMENTS...
check_limit() {
  MPIIO_CACHE_LOG=info same_as_plain on_mpiexec 3 bash -c "ulimit $*; exec $PYTHON $SCRATCH/app.py"
  said
}

# Seen: MPI_Comm_create_from_group aborts, "unable to allocate shared memory"; with 64, other descriptor numbers.
@test "soft limits of 24 and 64 descriptors are kept and change nothing" {
  check_limit -S -n 24
  check_limit -S -n 64
}

# Seen: UCX "Failed to allocate memory pool", then abort.
@test "a soft limit of 100 KiB for files is kept and changes nothing" { check_limit -S -f 100; }

@test "a soft limit of one rank is kept and changes nothing" {
  same_as_plain on_mpiexec 3 bash -c "[ \$PMI_RANK != 1 ] || ulimit -S -n 24; exec $PYTHON $SCRATCH/app.py"
}
