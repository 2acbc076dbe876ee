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

# Seen: contents were put into the node's store by descriptors of a moment in the leader's own table. What the program
# opened meanwhile got other numbers, or a table that it had filled had room again.
@test "what a leader's program opens while its node imports gets the numbers that it gets without us, and as many" {
  need_hosts
  for i in {1..2500}; do echo "value = $i" >"$SCRATCH/lib/module$i.py"; done
  cat >"$SCRATCH/fill.py" <<'PY'
import errno, os, resource, sys, time
node, rank = divmod(int(os.environ["PMI_RANK"]), 2)
begun, done = ("%s/%s.%d.%s" % (os.path.dirname(sys.argv[0]), what, node,
                                "cached" if "mpiio_cache" in os.environ.get("LD_PRELOAD", "") else "plain")
               for what in ("begun", "done"))
if rank == 1:
    while not os.path.exists(begun):
        time.sleep(0.001)
    files = ["%s/module%d.py" % (sys.argv[1], i) for i in range(1, 2501)]
    print(sum(len(open(file).read()) for file in (files if node else reversed(files))))
    open(done, "w").close()
    sys.exit()
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
seen, rounds, last = set(), 0, False
while not last:
    last, held, more = os.path.exists(done), [], 0
    while more < 20:
        try:
            fd = os.open("/dev/null", os.O_RDONLY)
            held.append(fd)
            if more:
                seen.add("one more, %d, after it was full" % fd)
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
            more += 1
    seen.add("%d: %s" % (len(held), held))
    for fd in held:
        os.close(fd)
    rounds += 1
    if rounds == 21:
        open(begun, "w").close()
print(node, sorted(seen))
print("rounds:", rounds, file=sys.stderr)
assert rounds > 20, rounds
PY
  PYTHONPATH=$SCRATCH/lib MPIIO_CACHE_LOG=info same_as_plain on_hosts 2 2 "$PYTHON" "$SCRATCH/fill.py" "$SCRATCH/lib"
  cat "$CACHED"/std*
  [[ $(said) == *'active: 4 ranks on 2 nodes'* ]]
  (($(grep -c '^[01] .*: ' "$CACHED/stdout") == 2))
}

# Seen: the store stayed behind, as nothing could be opened to remove it.
@test "a leader that ends with all its descriptors used up leaves nothing behind" {
  cat >"$SCRATCH/full.py" <<'PY'
import os, resource, sys, package
resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
try:
    while True:
        os.open("/dev/null", os.O_RDONLY)
except OSError as error:
    os.write(1, b"%d %d\n" % (package.value, error.errno))
os._exit(int(sys.argv[1]))
PY
  MPIIO_CACHE_LOG=info same_as_plain on_mpiexec 3 "$PYTHON" "$SCRATCH/full.py" 0
  [[ $(said) == *'active: 3 ranks'* ]]
}
