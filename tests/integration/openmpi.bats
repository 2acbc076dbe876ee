# MPI without sessions: Open MPI under its own mpiexec and under srun --mpi=pmix, with Debian's mpi4py and petsc4py, and
# MPICH as if it were an MPICH 3.

setup() {
  load helper
  helper_setup
  mkdir -p "$SCRATCH/lib"
  local name
  for name in package late later; do echo 'value = 42' >"$SCRATCH/lib/$name.py"; done
  export MPIIO_CACHE_PATHS=$SCRATCH/lib PYTHONDONTWRITEBYTECODE=1 MPIIO_CACHE_LOG=info
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl_tcp_if_include=lo \
    OMPI_MCA_oob_tcp_if_include=lo
  export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
  PYTHONPATH=$SCRATCH/lib
}

teardown() { helper_teardown; }

need_openmpi() {
  need_command mpiexec.openmpi
  [[ -e $MIOC_BUILD/lib/libmpiio_cache_openmpi.so ]] || skip "the plug-in for Open MPI is not built"
  local packages=$PYTHON_ENVS/openmpi-python
  fixture openmpi-python "$packages"
  export PYTHONPATH=$SCRATCH/lib:$packages/path
}

on_openmpi() { launch mpiexec.openmpi -n "$1" "${@:2}"; }
on_openmpi_hosts() { MIOC_HOSTS_MPI=openmpi on_hosts "$@"; }

# What was said: active, and by which MPI.
was_active() { said; (($(said | grep -c "active: $1, $2.*, loader patch") == 1)); }

@test "ranks without MPI of their own are served under Open MPI's mpiexec, on one node and on three" {
  need_openmpi
  echo 'import package, socket; print(package.value); import late' >"$SCRATCH/app.py"
  export PYTHONPATH=$SCRATCH/lib
  same_as_plain on_openmpi 4 "$PYTHON" "$SCRATCH/app.py"
  was_active '4 ranks on 1 node' 'Open MPI'
  need_hosts
  export MPIIO_CACHE_STATS=$SCRATCH/stats.json
  same_as_plain on_openmpi_hosts 3 2 "$PYTHON" "$SCRATCH/app.py"
  was_active '6 ranks on 3 nodes' 'Open MPI'
  [[ $(stat_of "$SCRATCH/stats.json" '[.ranks, .reported_nodes, .calls.all.timeout] | join(" ")') == '6 3 0' ]]
}

@test "mpi4py finds MPI uninitialised, starts it at its level, and ends it" {
  need_openmpi
  cat >"$SCRATCH/app.py" <<'PY'
import package, sys
import mpi4py
mpi4py.rc.initialize = False
from mpi4py import MPI
print("before", MPI.Is_initialized(), MPI.Is_finalized())
level = getattr(MPI, "THREAD_" + sys.argv[1])
print("given", MPI.Init_thread(level) == level, MPI.Query_thread() == level, MPI.Is_thread_main())
print("now", MPI.Is_initialized(), MPI.Is_finalized())
import late
comm = MPI.COMM_WORLD
print("sum", comm.allreduce(comm.rank), sorted(comm.alltoall(list(range(comm.size)))), comm.bcast({"a": [1]}, 0),
      comm.Get_attr(MPI.TAG_UB) > 0)
key = MPI.Comm.Create_keyval(delete_fn=lambda *a: print("deleted with COMM_SELF", flush=True))
MPI.COMM_SELF.Set_attr(key, 1)
MPI.Finalize()
print("after", MPI.Is_initialized(), MPI.Is_finalized())
import later
print(later.value)
PY
  local level
  for level in SINGLE FUNNELED SERIALIZED MULTIPLE; do
    same_as_plain on_openmpi 3 "$PYTHON" "$SCRATCH/app.py" $level
    was_active '3 ranks on 1 node' 'Open MPI'
    (($(grep -c 'given True True True' "$CACHED/stdout") == 3 &&
      $(grep -c 'deleted with COMM_SELF' "$CACHED/stdout") == 3))
  done
  need_hosts
  same_as_plain on_openmpi_hosts 2 2 "$PYTHON" "$SCRATCH/app.py" MULTIPLE
  was_active '4 ranks on 2 nodes' 'Open MPI'
}

@test "mpi4py's defaults: started by import, ended at exit; threads at once; errors are MPI's" {
  need_openmpi
  cat >"$SCRATCH/app.py" <<'PY'
import package, threading, atexit
from mpi4py import MPI
atexit.register(lambda: print("at exit", MPI.Is_finalized()))
import numpy
comm, sums = MPI.COMM_WORLD, {}
def work(i, comm):
    import late
    ones = numpy.full(1000, comm.rank + i, dtype="d")
    for _ in range(20):
        out = numpy.empty_like(ones)
        comm.Allreduce(ones, out)
    sums[i] = out[0]
threads = [threading.Thread(target=work, args=(i, comm.Dup())) for i in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
print("sums", sorted(sums.items()), MPI.Query_thread() == MPI.THREAD_MULTIPLE)
try:
    comm.send(1, dest=99)
except MPI.Exception as error:
    print(error.Get_error_class() == MPI.ERR_RANK)
PY
  same_as_plain on_openmpi 3 "$PYTHON" "$SCRATCH/app.py"
  was_active '3 ranks on 1 node' 'Open MPI'
  (($(grep -cx 'at exit False' "$CACHED/stdout") == 3))
  # MPI aborts a job that initialises it twice.
  STORES_MAY_STAY=1
  echo 'import package; from mpi4py import MPI; MPI.Init()' >"$SCRATCH/app.py"
  same_as_plain on_openmpi 2 "$PYTHON" "$SCRATCH/app.py"
  ((CACHED_RC != 0))
}

@test "the thread that calls MPI_Init is MPI's main thread" {
  need_openmpi
  cat >"$SCRATCH/app.py" <<'PY'
import package, threading
import mpi4py
mpi4py.rc.initialize = False
from mpi4py import MPI
def start():
    MPI.Init_thread(MPI.THREAD_SERIALIZED)
    print("thread", MPI.Is_thread_main(), flush=True)
thread = threading.Thread(target=start)
thread.start(); thread.join()
print("main", MPI.Is_thread_main(), MPI.COMM_WORLD.allreduce(1), flush=True)
PY
  same_as_plain on_openmpi 2 "$PYTHON" "$SCRATCH/app.py" # fails, as another thread ends it
  was_active '2 ranks on 1 node' 'Open MPI'
  (($(grep -cx 'thread True' "$CACHED/stdout") == 2))
}

@test "MPIPoolExecutor with ranks of the job and with spawned ones" {
  need_openmpi
  cat >"$SCRATCH/app.py" <<'PY'
from mpi4py.futures import MPIPoolExecutor
import package
def square(n):
    import late
    return n * n + late.value
if __name__ == "__main__":
    with MPIPoolExecutor(max_workers=2) as pool:
        print(sorted(pool.map(square, range(20))))
PY
  same_as_plain on_openmpi 3 "$PYTHON" -m mpi4py.futures "$SCRATCH/app.py"
  was_active '3 ranks on 1 node' 'Open MPI'
  # Two ranks, of which each spawns workers: a world of their own, which stays dormant.
  SLACK=6 same_as_plain on_openmpi 2 "$PYTHON" "$SCRATCH/app.py"
  was_active '2 ranks on 1 node' 'Open MPI'
}

@test "petsc4py solves" {
  need_openmpi
  "$PYTHON" -c 'from petsc4py import PETSc' 2>/dev/null || skip "petsc4py's libraries are not installed"
  cat >"$SCRATCH/app.py" <<'PY'
import package, petsc4py, sys
petsc4py.init(sys.argv)
from petsc4py import PETSc
n = 100
A = PETSc.Mat().createAIJ([n, n], nnz=3)
first, last = A.getOwnershipRange()
for i in range(first, last):
    A[i, i] = 2.0
    if i > 0: A[i, i - 1] = -1.0
    if i < n - 1: A[i, i + 1] = -1.0
A.assemble()
x, b = A.createVecs()
b.set(1.0)
solver = PETSc.KSP().create()
solver.setOperators(A)
solver.setType("cg")
solver.getPC().setType("jacobi")
solver.setTolerances(rtol=1e-10)
solver.solve(b, x)
import late
print(PETSc.COMM_WORLD.size, round(x.norm(), 4), solver.getConvergedReason() > 0)
PY
  same_as_plain on_openmpi 3 "$PYTHON" "$SCRATCH/app.py"
  was_active '3 ranks on 1 node' 'Open MPI'
}

# mpiexec sometimes waits a second after each signal to a job that it ends, so two runs of one kind differ by two
# seconds. Where it does not wait, a killed leader's store stays.
kill_at_once() { export OMPI_MCA_odls_base_sigkill_timeout=0 STORES_MAY_STAY=1; }

@test "every way in which rank 1 can end gives what plain gives" {
  need_openmpi
  kill_at_once
  export PYTHONPATH=$SCRATCH/lib
  local end
  for end in 'os._exit(0)' 'os._exit(3)' 'os.execv("/bin/echo", ["echo", "replaced"])' 'sys.exit(1)' \
    'raise ValueError("wrong")' 'os.execv("/nowhere", ["nowhere"])' 'os.kill(os.getpid(), 9)'; do
    echo "rank 1: $end"
    cat >"$SCRATCH/app.py" <<PY
import os, sys, package
if os.environ["OMPI_COMM_WORLD_RANK"] == "1":
    $end
else:
    import late
PY
    same_as_plain on_openmpi 3 "$PYTHON" "$SCRATCH/app.py"
  done
}

@test "a rank that ends without MPI.Finalize() fails the job as without us" {
  need_openmpi
  kill_at_once
  cat >"$SCRATCH/app.py" <<'PY'
import os, package
from mpi4py import MPI
if MPI.COMM_WORLD.rank == 1:
    os._exit(0)
MPI.COMM_WORLD.Barrier()
PY
  run_plain on_openmpi 2 "$PYTHON" "$SCRATCH/app.py"
  run_cached on_openmpi 2 "$PYTHON" "$SCRATCH/app.py"
  echo "plain $PLAIN_RC in $PLAIN_SECONDS s, cached $CACHED_RC in $CACHED_SECONDS s"
  ((PLAIN_RC != 0 && CACHED_RC != 0)) && is_in_time
}

@test "srun --mpi=pmix on four nodes: ranks without MPI, and mpi4py" {
  need_openmpi
  need_root
  need_command slurmctld
  export MIOC_SLURM_NODE_LOCAL=/mnt SLURM_PMIX_TMPDIR=/mnt
  fixture slurm start "$SCRATCH/slurm"
  # shellcheck disable=SC1091
  source "$SCRATCH/slurm/env"
  chmod 755 "$SCRATCH"
  local rc=0
  srun --mpi=list 2>&1 | grep -qw pmix || { fixture slurm stop "$SCRATCH/slurm"; skip "this Slurm has no PMIx"; }
  {
    on_pmix() { launch srun -N "$1" --ntasks-per-node="$2" --mpi=pmix "${@:3}"; }
    echo 'import package; print(package.value); import late' >"$SCRATCH/app.py"
    same_as_plain on_pmix 4 2 "$PYTHON" "$SCRATCH/app.py" && was_active "8 ranks on 4 nodes" TCP &&
      export MPIIO_CACHE_TRANSPORT=mpi &&
      same_as_plain on_pmix 4 2 "$PYTHON" "$SCRATCH/app.py" && was_active '8 ranks on 4 nodes' 'Open MPI' &&
      echo 'import package; from mpi4py import MPI; print(MPI.COMM_WORLD.allreduce(1)); import late' \
      >"$SCRATCH/app.py" &&
      same_as_plain on_pmix 4 2 "$PYTHON" "$SCRATCH/app.py" && was_active '8 ranks on 4 nodes' 'Open MPI' &&
      grep -qx 8 "$CACHED/stdout" && unset MPIIO_CACHE_TRANSPORT &&
      same_as_plain on_pmix 4 2 "$PYTHON" "$SCRATCH/app.py" && was_active "8 ranks on 4 nodes" TCP &&
      grep -qx 8 "$CACHED/stdout"
  } || rc=1
  fixture slurm stop "$SCRATCH/slurm"
  ((rc == 0)) || cat "$CACHED/stderr" "$PLAIN/stderr" || true
  return "$rc"
}

@test "MPICH without sessions, as MPICH 3: life cycle, collectives, and imports after the end" {
  need_command mpiexec.mpich
  export MPIIO_CACHE_MPI=mpich3 MPIIO_CACHE_TRANSPORT=mpi
  cat >"$SCRATCH/app.py" <<PY
import package, sys
sys.path.append("$MIOC_BUILD/lib")
import mioc_mpi
print("before", mioc_mpi.initialized(), mioc_mpi.finalized())
print("level", mioc_mpi.init_thread(1), mioc_mpi.query_thread())
print("now", mioc_mpi.initialized(), mioc_mpi.finalized(), mioc_mpi.size(), mioc_mpi.allreduce_sum(2.0))
import late
mioc_mpi.finalize()
print("after", mioc_mpi.initialized(), mioc_mpi.finalized())
import later
print(later.value)
PY
  same_as_plain on_mpiexec 4 "$PYTHON" "$SCRATCH/app.py"
  was_active '4 ranks on 1 node' MPICH
  need_hosts
  same_as_plain on_hosts 3 2 "$PYTHON" "$SCRATCH/app.py"
  was_active '6 ranks on 3 nodes' MPICH
  echo 'import package; print(package.value)' >"$SCRATCH/app.py"
  # UCX complains where a rank has ended before another one looks into its memory.
  UCX_LOG_LEVEL=fatal same_as_plain on_hosts 3 2 "$PYTHON" "$SCRATCH/app.py"
  was_active '6 ranks on 3 nodes' MPICH
}

@test "the plug-in follows the launcher, and what does not fit it stays dormant and says why" {
  need_openmpi
  echo 'import package; print(package.value)' >"$SCRATCH/app.py"
  # mpi4py of Open MPI under MPICH's mpiexec.
  export MPIIO_CACHE_TRANSPORT=mpi
  same_as_plain on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py"
  [[ $(said) == *'inactive: mpi4py is linked with libmpi.so.40, the plug-in with libmpich'* ]]
  export PYTHONPATH=$SCRATCH/lib
  MPIIO_CACHE_MPI=mpich same_as_plain on_openmpi 2 "$PYTHON" "$SCRATCH/app.py"
  said
  local way='Unset it, or start the job by that MPI'\''s launcher'
  [[ $(said) == *'inactive: MPIIO_CACHE_MPI=mpich, but the launcher speaks PMIx; running uncached. '"$way" ]]
  MPIIO_CACHE_MPI=other same_as_plain on_openmpi 2 "$PYTHON" "$SCRATCH/app.py"
  local lack='the MPI plug-in libmpiio_cache_other.so is not beside libmpiio_cache.so'
  [[ $(said) == *"inactive: $lack; running uncached. mpiio-cache check says what is missing" ]]
}
