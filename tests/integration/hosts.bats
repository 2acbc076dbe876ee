# Launchers that do not say where the nodes are: MPIIO_CACHE_HOSTS does. An ssh in a loop, on simulated hosts; the
# variables of other launchers as their documentation has them; MPI's launchers, told all the same.

setup() {
  load helper
  helper_setup
  need_hosts
  mkdir -p "$SCRATCH/lib/many"
  : >"$SCRATCH/lib/many/__init__.py"
  for i in {0..19}; do echo "value = $i" >"$SCRATCH/lib/many/m$i.py"; done
  head -c 32 /dev/urandom >"$SCRATCH/key"
  chmod 600 "$SCRATCH/key"
  export MPIIO_CACHE_KEYFILE=$SCRATCH/key MPIIO_CACHE_PATHS=$SCRATCH/lib PYTHONPATH=$SCRATCH/lib
  export PYTHONDONTWRITEBYTECODE=1 MPIIO_CACHE_LOG=info MPIIO_CACHE_HOSTS='node[0-2]'
  export MIOC_TASK_VARIABLES='MPIIO_CACHE_RANK=%r'
  # No rank ends before all have imported: root's would take the cache from those who come late.
  IMPORT='
import os, socket, sys, time
print(sum(__import__("many.m%d" % i, fromlist=["value"]).value for i in range(20)))
open("%s/%s.%d" % (os.environ["SYNC"], socket.gethostname(), os.getpid()), "w")
while len(os.listdir(os.environ["SYNC"])) < int(os.environ["SYNC_RANKS"]):
    time.sleep(0.01)
'
}

teardown() { helper_teardown; }

# N P COMMAND...
together() {
  rm -rf "$SCRATCH/sync"
  mkdir "$SCRATCH/sync"
  SYNC=$SCRATCH/sync SYNC_RANKS=$(($1 * $2)) on_hosts "$@"
}
on_ssh() { MIOC_HOSTS_MPI=ssh together "$@"; }
was_active() { said; (($(said | grep -c "active: $1, TCP, ") == 1)); }

@test "ssh in a loop: each rank is served, children too, and only the first host reads" {
  need_fuse
  need_command jq
  local name source=$SCRATCH/source shared=$SCRATCH/shared
  mkdir "$source"
  cp -r "$SCRATCH/lib/many" "$source/"
  cat >"$SCRATCH/app.py" <<PY
import subprocess, sys
import many.m2
print(subprocess.check_output([sys.executable, "-c", "import many.m3; print(many.m3.value)"]))
$IMPORT
PY
  count_on() {
    HOSTS_MOUNT="$source:$shared:--counters $SCRATCH/$1.counters" on_ssh "$2" "$3" "$PYTHON" "$SCRATCH/app.py"
    "$MIOC_METADATA_SERVER" --report "$SCRATCH/$1.counters" >"$SCRATCH/$1.json"
  }
  export PYTHONPATH=$shared MPIIO_CACHE_PATHS=$shared MPIIO_CACHE_STATS=$SCRATCH/stats.json
  run_plain count_on bare 1 1
  run_plain count_on plain 3 2
  run_cached count_on cached 3 2
  assert_same
  was_active 'ranks on 3 nodes'
  [[ $(stat_of "$SCRATCH/stats.json" '[.ranks, .reported_nodes, .calls.all.timeout] | join(" ")') == '6 3 0' ]]
  for name in bare plain cached; do echo "$name $(stat_of "$SCRATCH/$name.json" '[.. | numbers] | add')"; done
  (($(stat_of "$SCRATCH/cached.json" '.other.open') <= $(stat_of "$SCRATCH/bare.json" '.other.open') + 1))
  (($(stat_of "$SCRATCH/plain.json" '.other.open') >= 5 * $(stat_of "$SCRATCH/bare.json" '.other.open')))
}

@test "the variables of torchrun, Flux, jsrun and pbsdsh make ranks, with a list, a file, or on one node" {
  printf 'node0 slots=2\nnode0\n# more\nnode1:2\n' >"$SCRATCH/hosts"
  local variables list
  while IFS='|' read -r variables list; do
    echo "$variables $list"
    MPIIO_CACHE_HOSTS=$list MIOC_TASK_VARIABLES=$variables same_as_plain on_ssh 2 2 "$PYTHON" -c "$IMPORT"
    was_active '\(4 \)\?ranks on 2 nodes'
  done <<EOF
RANK=%r WORLD_SIZE=%n LOCAL_RANK=%l LOCAL_WORLD_SIZE=2 GROUP_RANK=%h MASTER_ADDR=node0 MASTER_PORT=29500|$SCRATCH/hosts
FLUX_TASK_RANK=%r FLUX_TASK_LOCAL_ID=%l FLUX_JOB_SIZE=%n FLUX_JOB_NNODES=2 FLUX_JOB_ID=31 PMI_RANK=%r|node[0-1]
PBS_TASKNUM=1%r PBS_VNODENUM=%r PBS_NODENUM=%h PBS_JOBID=7.pbs PBS_NODEFILE=$SCRATCH/hosts|
JSM_NAMESPACE_RANK=%r JSM_NAMESPACE_SIZE=%n JSM_NAMESPACE_LOCAL_RANK=%l LSB_JOBID=5 LSB_DJOB_HOSTFILE=$SCRATCH/hosts|
EOF
  unset MPIIO_CACHE_HOSTS MPIIO_CACHE_KEYFILE
  for variables in 'FLUX_TASK_RANK=%r FLUX_TASK_LOCAL_ID=%l FLUX_JOB_SIZE=%n FLUX_JOB_NNODES=1 FLUX_JOB_ID=31' \
    'RANK=%r WORLD_SIZE=%n LOCAL_RANK=%l LOCAL_WORLD_SIZE=%n TORCHELASTIC_RUN_ID=none'; do
    echo "$variables"
    MIOC_TASK_VARIABLES=$variables same_as_plain on_ssh 1 3 "$PYTHON" -c "$IMPORT"
    was_active '3 ranks on 1 node'
  done
}

@test "what is wrong with the hosts is one clear line, and the job runs on uncached" {
  head -c 100M /dev/zero >"$SCRATCH/large"
  : >"$SCRATCH/empty"
  # VALUE WORDS TIMES
  refuses() {
    echo "$1"
    MPIIO_CACHE_HOSTS=$1 run_cached on_ssh 2 1 "$PYTHON" -c "${IMPORT}sys.exit(3)"
    assert_same
    said
    (($(said | grep -c 'inactive: ') == $3 && $(said | grep -cF "$2") == $3)) && [[ $(said) != *' active: '* ]]
  }
  run_plain on_ssh 2 1 "$PYTHON" -c "${IMPORT}sys.exit(3)"
  [[ $PLAIN_RC == 3 ]]
  refuses "$SCRATCH/empty" "inactive: MPIIO_CACHE_HOSTS names no host; running uncached. A list is names" 1
  refuses "$SCRATCH/large" "it has more than 16 MiB; running uncached. All nodes must see that file" 2
  refuses /nowhere/hosts "this host cannot read MPIIO_CACHE_HOSTS=/nowhere/hosts: No such file" 2
  refuses 'node[0-' 'MPIIO_CACHE_HOSTS has an entry that is no host: "node[0-"; running uncached. A list is names' 1
  refuses 'other,hosts' 'is none of the 2 of MPIIO_CACHE_HOSTS; running uncached. MPIIO_CACHE_HOSTS names all hosts' 2
  MPIIO_CACHE_HOSTS=./hosts run_cached on_ssh 2 1 "$PYTHON" -c "${IMPORT}sys.exit(3)"
  assert_same
  [[ $(said) == *'MPIIO_CACHE_HOSTS="./hosts": expected hosts, such as '* && $(said) != *' active: '* ]]
  # Only one host is missing: it says so itself, and the others are served.
  run_plain on_ssh 3 1 "$PYTHON" -c "$IMPORT"
  MPIIO_CACHE_HOSTS=node0,node2 run_cached on_ssh 3 1 "$PYTHON" -c "$IMPORT"
  assert_same
  was_active 'ranks on 2 nodes'
  (($(said | grep -c 'inactive: this host (node1) is none of the 2 of MPIIO_CACHE_HOSTS; running uncached') == 1))
}

@test "without a key file and without MUNGE one line says what to do" {
  unset MPIIO_CACHE_KEYFILE
  export MUNGE_SOCKET=$SCRATCH/nowhere
  same_as_plain on_ssh 3 1 "$PYTHON" -c "$IMPORT"
  said
  (($(said | grep -c .) == 1))
  [[ $(said) == *'inactive: MUNGE: '*'or name a key file by MPIIO_CACHE_KEYFILE' ]]
}

@test "a rank by accident is none, and a wrapper that was started with it is to exec the Python" {
  unset MPIIO_CACHE_HOSTS
  MIOC_TASK_VARIABLES='RANK=%r WORLD_SIZE=%n' same_as_plain on_ssh 1 2 "$PYTHON" -c "$IMPORT"
  [[ $(said | sort -u) == *'inactive: started neither by mpiexec nor by srun'* ]]
  export MPIIO_CACHE_HOSTS=node0,node1
  # shellcheck disable=SC2016
  same_as_plain on_ssh 2 1 sh -c '"$1" -c "import many"; exec "$@"' sh "$PYTHON" -c "$IMPORT"
  was_active 'ranks on 2 nodes'
}

@test "a Python that a rank leaves to itself, or whose rank has a title over its environment, says nothing" {
  cat >"$SCRATCH/left.py" <<'PY'
import many.m3, os, sys
open(sys.argv[1] + ".new", "w").write("%d %d" % (many.m3.value, os.getppid() != int(sys.argv[2])))
os.rename(sys.argv[1] + ".new", sys.argv[1])
PY
  cat >"$SCRATCH/app.py" <<PY
$IMPORT
import ctypes, subprocess
left = "$SCRATCH/left." + socket.gethostname()
os.system("%s $SCRATCH/left.py %s %d &" % (sys.executable, left, os.getpid()))
while not os.path.exists(left):
    time.sleep(0.01)
print(open(left).read())
environment = dict(os.environ)
begin, end = [int(number) for number in open("/proc/self/stat").read().rpartition(")")[2].split()[47:49]]
ctypes.memset(begin, 32, end - begin - 1)
print(subprocess.check_output([sys.executable, "-c", "import many.m4; print(many.m4.value)"], env=environment))
PY
  leave() {
    rm -f "$SCRATCH"/left.node*
    on_ssh 2 1 "$PYTHON" "$SCRATCH/app.py"
  }
  MPIIO_CACHE_HOSTS=node0,node1 MPIIO_CACHE_LOG=warn same_as_plain leave
  cat "$CACHED"/std*
  [[ -z $(said) && $(tail -n 2 "$CACHED/stdout") == $'3 1\nb\'4\\n\'' ]]
}

@test "MPICH's and Open MPI's mpiexec take the hosts, over TCP, and MPI starts afterwards as without us" {
  export PYTHONPATH=$SCRATCH/lib:$MIOC_BUILD/lib
  local init='
import mioc_mpi
mioc_mpi.init(); mioc_mpi.barrier(); mioc_mpi.finalize()'
  same_as_plain together 3 2 "$PYTHON" -c "$IMPORT$init"
  was_active '6 ranks on 3 nodes'
  need_command mpiexec.openmpi
  MIOC_HOSTS_MPI=openmpi same_as_plain together 3 2 "$PYTHON" -c "$IMPORT"
  was_active '6 ranks on 3 nodes'
}

@test "of two jobs of the same hosts at a time the later one says why it is uncached, or has a list of its own" {
  cat >"$SCRATCH/first.py" <<'PY'
import many.m1, os, sys, time
open(sys.argv[1] + "/there", "w")
while not os.path.exists(sys.argv[1] + "/go"):
    time.sleep(0.01)
PY
  cat >"$SCRATCH/job.sh" <<'SH'
if [ "$JOB" = 0 ]; then
  MPIIO_CACHE_RANK=0 exec "$1" "$2/first.py" "$2/sync"
fi
until [ -e "$2/sync/there" ]; do sleep 0.02; done
echo 'value = 77' >"$2/lib/many/m1.py"
code='import many.m1; print(many.m1.value)'
MPIIO_CACHE_RANK=0 "$1" -c "$code"
MPIIO_CACHE_RANK=0 MPIIO_CACHE_HOSTS=node0,node0 "$1" -c "$code"
: >"$2/sync/go"
SH
  two_jobs() {
    echo 'value = 1' >"$SCRATCH/lib/many/m1.py"
    on_ssh 1 2 sh "$SCRATCH/job.sh" "$PYTHON" "$SCRATCH"
  }
  MPIIO_CACHE_HOSTS=node0 MIOC_TASK_VARIABLES=JOB=%r same_as_plain two_jobs
  [[ $(<"$CACHED/stdout") == $'77\n77' ]]
  said
  (($(said | grep -c 'active: ranks on 1 node, TCP') == 2))
  (($(said | grep -c 'inactive: this host runs rank 0 of such a job already .*; running uncached. Give each of') == 1))
}
