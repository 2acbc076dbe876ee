# A real Slurm of eight nodes on this machine: srun --mpi=pmi2, wrapper scripts, multi-prog, -K1, ends of all kinds.

setup_file() {
  export EIGHT_NODES=$BATS_FILE_TMPDIR/slurm
  if [[ $EUID -ne 0 ]] || ! command -v slurmctld slurmd munged srun >/dev/null; then
    export WITHOUT="Slurm, munge or root is missing"
    return 0
  fi
  EIGHT_NODES=$(mktemp -d /tmp/mioc-slurm.XXXXXX)
  "$BATS_TEST_DIRNAME/../fixtures/slurm" start "$EIGHT_NODES" 8
}

teardown_file() {
  [[ -n ${WITHOUT:-} ]] || { "$BATS_TEST_DIRNAME/../fixtures/slurm" stop "$EIGHT_NODES" && rm -rf "$EIGHT_NODES"; }
}

setup() {
  [[ -z ${WITHOUT:-} ]] || skip "$WITHOUT"
  load helper
  helper_setup
  # shellcheck disable=SC1091
  source "$EIGHT_NODES/env"
  mkdir -p "$SCRATCH/lib"
  echo 'value = 42' >"$SCRATCH/lib/package.py"
  chmod 755 "$SCRATCH"
  export MPIIO_CACHE_PATHS=$SCRATCH/lib PYTHONPATH=$SCRATCH/lib PYTHONDONTWRITEBYTECODE=1
}

teardown() { helper_teardown; }

@test "4 nodes x 2 ranks import under srun --mpi=pmi2" {
  run_plain on_slurm 4 2 "$PYTHON" -c 'import package; print(package.value, package.__file__)'
  MPIIO_CACHE_LOG=info run_cached on_slurm 4 2 "$PYTHON" -c 'import package; print(package.value, package.__file__)'
  assert_same
  said
  [[ $(said) == *'active: 8 ranks on 4 nodes'* ]]
}

# NAME N P COMMAND... -- what COMMAND on N nodes with P ranks costs the mount, into NAME.json.
count_on_slurm() {
  local name=$1
  shift
  "$MIOC_METADATA_SERVER" --reset "$SCRATCH/counters"
  rm -rf "$SCRATCH/together"
  mkdir "$SCRATCH/together"
  IMPORTS_TOGETHER=$SCRATCH/together on_slurm "$@"
  "$MIOC_METADATA_SERVER" --report "$SCRATCH/counters" >"$SCRATCH/$name.json"
}

@test "1 x 8, 4 x 4 and 8 x 4 ranks under srun cost the mount at most 1.1 times one bare rank and what precedes main" {
  need_fuse
  need_python_env
  local shared=$SCRATCH/shared layout line jq
  local import=("$shared/bin/python3" "$PROGRAMS/imports.py" - numpy scipy.linalg pandas matplotlib.pyplot)
  mount_shared "$PYTHON_ENV" "$shared" --counters "$SCRATCH/counters"
  unset MPIIO_CACHE_PATHS PYTHONPATH
  export MPLCONFIGDIR=$SCRATCH/matplotlib
  run_plain on_slurm 1 1 "${import[@]}" # makes the list of fonts, and directories known
  run_plain count_on_slurm one 1 1 "${import[@]}"
  line=$(<"$PLAIN/stdout")
  run_plain count_on_slurm before-one 1 1 "$shared/bin/python3" --version
  for layout in "1 8" "4 4" "8 4"; do
    # shellcheck disable=SC2086 # two words
    run_plain count_on_slurm before $layout "$shared/bin/python3" --version
    # shellcheck disable=SC2086
    MPIIO_CACHE_LOG=info run_cached count_on_slurm cached $layout "${import[@]}"
    said
    # All ranks print the same line, which a plain run of them all would only repeat.
    [[ $CACHED_RC == 0 && $(sort -u "$CACHED/stdout") == "$line" ]]
    (($(wc -l <"$CACHED/stdout") == ${layout/ /*}))
    [[ $(said) == *"active: $((${layout/ /*})) ranks on ${layout% *} node"* ]]
    for jq in .metadata '.other.read + .shared_object.read'; do
      echo "${layout/ / x }, $jq:" $(for name in one before-one cached before; do
        echo "$name $(stat_of "$SCRATCH/$name.json" "$jq"),"
      done)
      (($(jq -s "(.[0] | $jq) - (.[1] | $jq)" "$SCRATCH/"{cached,before}.json) * 10 <=
        $(jq -s "(.[0] | $jq) - (.[1] | $jq)" "$SCRATCH/"{one,before-one}.json) * 11))
    done
  done
}

@test "a shell wrapper that runs Python and then an MPI program is left alone" {
  local mpi="$PYTHON -c 'import sys; sys.path.append(\"$MIOC_BUILD/lib\"); import mioc_mpi as m; m.init(); "
  mpi+="print(m.rank(), m.size()); m.finalize()'"
  same_as_plain on_slurm 2 2 bash -c "$PYTHON -c pass; $mpi; true"
}

@test "an activation script that runs Python and then execs Python claims the rank for the second" {
  run_plain on_slurm 2 2 bash -c "$PYTHON -c pass; exec $PYTHON -c 'import package; print(package.value)'"
  MPIIO_CACHE_LOG=info run_cached on_slurm 2 2 bash \
    -c "$PYTHON -c pass; exec $PYTHON -c 'import package; print(package.value)'"
  assert_same
  [[ $(said) == *'active: 4 ranks on 2 nodes'* ]]
}

@test "srun --multi-prog with a C program and Python ranks runs as plain" {
  echo 'import package; print(package.value)' >"$SCRATCH/app.py"
  printf '0 /bin/sleep 1\n1-3 %s %s\n' "$PYTHON" "$SCRATCH/app.py" >"$SCRATCH/multi.conf"
  run_plain launch srun -N 2 -n 4 --mpi=pmi2 --multi-prog "$SCRATCH/multi.conf"
  [[ $PLAIN_RC == 0 ]]
  RUN_TIMEOUT=30 run_cached launch srun -N 2 -n 4 --mpi=pmi2 --multi-prog "$SCRATCH/multi.conf"
  assert_same
}

# One node has Python tasks only, the other none, and no launcher leaves a word: that node is waited for, once.
@test "an MPMD step whose srun is not preloaded, with a node of Python tasks only, runs as plain after one deadline" {
  echo 'import os, package; os.write(1, b"%d" % package.value + bytes([10]))' >"$SCRATCH/app.py"
  local python sleep=2-3
  for python in 0-1 2-3; do
    printf '%s %s %s\n%s /bin/sleep 1\n' "$python" "$PYTHON" "$SCRATCH/app.py" "$sleep" >"$SCRATCH/plain.conf"
    sed "s|$PYTHON|/usr/bin/env LD_PRELOAD=$MIOC_LIBRARY &|" "$SCRATCH/plain.conf" >"$SCRATCH/cached.conf"
    RUN_TIMEOUT=40
    run_plain srun -N 2 -n 4 -m block --ntasks-per-node=2 --mpi=pmi2 --multi-prog "$SCRATCH/plain.conf"
    MPIIO_CACHE_TIMEOUT=4 run_cached srun -N 2 -n 4 -m block --ntasks-per-node=2 --mpi=pmi2 \
      --multi-prog "$SCRATCH/cached.conf"
    [[ $PLAIN_RC == 0 ]]
    SLACK=7 assert_same
    sleep=0-1
  done
}

# The leaders have spoken PMI by then, which srun hears once only.
@test "ranks of a step that stays dormant start MPI of their own" {
  cat >"$SCRATCH/app.py" <<PY
import os, sys
sys.path.append("$MIOC_BUILD/lib")
import package, mioc_mpi as m
m.init()
os.write(1, b"%d of %d" % (m.rank(), m.size()) + bytes([10]))
m.finalize()
PY
  mkdir -p "$SCRATCH/with"
  cp "$MIOC_LIBRARY" "$SCRATCH/with"
  MPIIO_CACHE_TRANSPORT=mpi MIOC_LIBRARY=$SCRATCH/with/libmpiio_cache.so MPIIO_CACHE_LOG=info same_as_plain \
    on_slurm 2 2 "$PYTHON" "$SCRATCH/app.py"
  [[ $(said) == *'inactive: the MPI plug-in'* && $(grep -c ' of 4' "$CACHED/stdout") == 4 ]]
}

@test "without PMI, over TCP: srun --mpi=none and cray_shasta are active, and no rank waits for a node without Python" {
  local mpi
  for mpi in none cray_shasta; do
    run_plain launch srun -N 4 -n 8 --mpi=$mpi "$PYTHON" -c 'import package; print(package.value)'
    MPIIO_CACHE_LOG=info run_cached launch srun -N 4 -n 8 --mpi=$mpi "$PYTHON" -c 'import package; print(package.value)'
    assert_same
    said
    [[ $(said) == *'active: 8 ranks on 4 nodes, TCP'* ]]
  done
  # Nodes 1 and 3 have no Python.
  printf '%s\n' "0,4 $PYTHON -c 'import package; print(package.value)'" '* /bin/true' >"$SCRATCH/multi.conf"
  SLACK=8 same_as_plain launch srun -N 4 -n 8 -m block --mpi=none --multi-prog "$SCRATCH/multi.conf"
}

# bats test_tags=slow
@test "import torch is served over TCP where no MPI is in reach" {
  "$PYTHON" -c 'import torch' || skip "Debian's python3-torch is not installed"
  cat >"$SCRATCH/app.py" <<'PY'
import package, re, torch
print(package.value, torch.ones(2, 2).sum().item())
import ctypes
try:
    ctypes.CDLL("libmpich.so.12")
except OSError as error:
    print(error)
mpi = re.compile("libmpi(ch)?[.]|libpmix?[.]|open-(rte|pal)")
print(sorted({line.split()[-1] for line in open("/proc/self/maps") if mpi.search(line)}))
PY
  cat >"$SCRATCH/without-mpi" <<'SH'
#!/bin/bash
for library in /usr/lib/*/lib{mpi,mpich,open-rte,open-pal,pmix,pmi}[.0-9a-z_-]*.so*; do
  [[ -L $library ]] || mount --bind /dev/null "$library"
done
exec "$@"
SH
  chmod +x "$SCRATCH/without-mpi"
  MPIIO_CACHE_LOG=info same_as_plain launch srun -N 2 --mpi=none \
    unshare --mount --propagation private "$SCRATCH/without-mpi" "$PYTHON" "$SCRATCH/app.py"
  cat "$CACHED/stdout"
  said
  [[ $(said) == *'active: 2 ranks on 2 nodes, TCP'* ]]
  [[ $(<"$CACHED/stdout") == *'libmpich.so.12: file too short'*'[]'* ]]
}

# MPI_Init of the program is right, 20 of 20, on four nodes.
starts_mpi() {
  local i
  cat >"$SCRATCH/app.py" <<PY
import os, sys
sys.path.append("$MIOC_BUILD/lib")
import package, mioc_mpi as m
m.init()
m.barrier()
os.write(1, b"%d of %d" % (m.rank(), m.size()) + bytes([10]))
m.finalize()
PY
  for i in {1..20}; do
    MPIIO_CACHE_TRANSPORT=tcp MPIIO_CACHE_LOG=info run_cached on_slurm 4 1 "$PYTHON" "$SCRATCH/app.py"
    cat "$CACHED/stderr"
    [[ $CACHED_RC == 0 && $(sort "$CACHED/stdout" | xargs) == '0 of 4 1 of 4 2 of 4 3 of 4' ]]
    [[ $(said) == *'active: 4 ranks on 4 nodes, TCP'* ]]
  done
}

# bats test_tags=slow
@test "a program's own MPI_Init under srun is right, 20 of 20, beside agents that speak TCP" { starts_mpi; }

@test "every task knows its node, its step and all hosts, whatever PMI srun gives it" {
  local mpi pmi names=''
  for mpi in none pmi2 cray_shasta; do
    launch srun -N 3 -n 7 --mpi="$mpi" "$MIOC_BUILD/programs/step" | sort >"$SCRATCH/out"
    cat "$SCRATCH/out"
    [[ $mpi == pmi2 ]] && pmi=1 || pmi=0
    [[ $(sed 's/^rank=\([0-9]*\) .*/\1/' "$SCRATCH/out" | xargs) == '0 1 2 3 4 5 6' ]]
    (($(grep -c " size=7 .* nodes=3 pmi=$pmi " "$SCRATCH/out") == 7))
    # Slurm's daemon says the name of the node, too.
    (($(grep -cE ' here=([^ ]+) slurm=\1 ' "$SCRATCH/out") == 7))
    (($(grep -oE ' hosts=.* here' "$SCRATCH/out" | sort -u | wc -l) == 1))
    (($(grep -oE ' name=.*' "$SCRATCH/out" | sort -u | wc -l) == 1))
    # Each node's tasks are numbered, and counted.
    (($(grep -oE ' (local|node)=[0-9]+' "$SCRATCH/out" | paste - - | sort -u | wc -l) == 7))
    (($(grep -oE ' on_node=[0-9]+ node=[0-9]+' "$SCRATCH/out" | sort -u | sed 's/ on_node=\([0-9]*\) .*/\1/' |
      paste -sd+) == 7))
    names+=$(grep -m 1 -oE ' name=.*' "$SCRATCH/out")$'\n'
  done
  # Three steps.
  (($(sort -u <<<"${names%$'\n'}" | wc -l) == 3))
}

@test "check in a task of srun takes TCP with MUNGE, and MPI where it is told to" {
  cp -r "$MIOC_BUILD/bin" "$MIOC_BUILD/lib" "$MIOC_BUILD/libexec" "$SCRATCH/"
  install -m 755 /dev/null "$SCRATCH/libexec/mpiio_cache/agent"
  export MUNGE_SOCKET=$EIGHT_NODES/munge.sock
  launch srun -N 1 -n 1 --mpi=none "$SCRATCH/bin/mpiio-cache" check --verbose --python "$PYTHON" >"$SCRATCH/out"
  cat "$SCRATCH/out"
  grep -q '^  MPI  *no: srun gave this task no PMI_FD' "$SCRATCH/out"
  grep -q '^  step  *slurm mioc [0-9]*\.0 [0-9]*, node 0 of 1$' "$SCRATCH/out"
  grep -q '^yes: TCP with MUNGE, ' "$SCRATCH/out"
  grep -q '^  TCP  *yes, with MUNGE$' "$SCRATCH/out"
  MPIIO_CACHE_TRANSPORT=mpi launch srun -N 1 -n 1 --mpi=pmi2 "$SCRATCH/bin/mpiio-cache" check --verbose \
    --python "$PYTHON" >"$SCRATCH/out"
  cat "$SCRATCH/out"
  grep -q '^yes: MPICH ' "$SCRATCH/out"
}

# A killed job's stores are the next job's to reclaim.
next_job_reclaims() {
  run_cached on_slurm 1 2 "$PYTHON" -c 'import package'
  [[ $CACHED_RC == 0 ]]
  are_stores_as_before
}

@test "srun -K1 ends the job when rank 1 exits with 1 and the others wait in a collective" {
  cat >"$SCRATCH/app.py" <<PY
import sys
sys.path.append("$MIOC_BUILD/lib")
import package, mioc_mpi
mioc_mpi.init()
if mioc_mpi.rank() == 1:
    import os
    sys.stdout.flush()
    os._exit(1)
mioc_mpi.barrier()
PY
  same_as_plain launch srun -K1 -N 2 -n 4 --mpi=pmi2 "$PYTHON" "$SCRATCH/app.py"
  ((PLAIN_RC != 0))
  next_job_reclaims
}

@test "srun -K1 ends the job when rank 1 calls sys.exit(1) while the others sleep" {
  same_as_plain launch srun -K1 -N 2 -n 4 --mpi=pmi2 "$PYTHON" -c '
import os, sys, time, package
if os.environ["SLURM_PROCID"] == "1":
    sys.exit(1)
time.sleep(60)'
  ((PLAIN_RC != 0))
  next_job_reclaims
}

@test "every way in which rank 1 can end gives what plain gives" {
  local end
  for end in 'os._exit(0)' 'os._exit(3)' 'os.execv("/bin/echo", ["echo", "replaced"])' 'os.kill(os.getpid(), 9)' \
    'sys.exit(5)'; do
    echo "rank 1: $end"
    same_as_plain on_slurm 2 2 "$PYTHON" -c "
import os, sys, package
sys.stdout.flush()
if os.environ['SLURM_PROCID'] == '1':
    $end
print('done', package.value)"
  done
}

# bats test_tags=slow
@test "ranks that end 20 s apart leave nobody waiting" {
  same_as_plain on_slurm 2 2 "$PYTHON" -c '
import os, time, package
time.sleep(20 if os.environ["SLURM_PROCID"] == "2" else 0)
print("done")'
}

@test "a task in a PID namespace of its own is not served, and the ranks of its node hear of its writes" {
  cat >"$SCRATCH/apart.py" <<'PY'
import os, sys, time
sync, rank = sys.argv[1], int(os.environ["SLURM_PROCID"])
name = os.path.join(sys.argv[2], "fresh.py")
def barrier(step):
    open("%s/%s.%d" % (sync, step, rank), "w")
    while sum(file.startswith(step) for file in os.listdir(sync)) < 2:
        time.sleep(0.01)
import package
print(rank, os.path.exists(name), "fresh.py" in os.listdir(sys.argv[2]))
barrier("looked")
if rank == 1:
    open(name, "w").write("value = 7")
barrier("written")
print(rank, os.path.exists(name), "fresh.py" in os.listdir(sys.argv[2]))
PY
  cat >"$SCRATCH/task" <<'SH'
[ "$SLURM_PROCID" = 0 ] || exec unshare --pid --fork --kill-child --mount-proc "$@"
exec "$@"
SH
  in_two_namespaces() {
    rm -rf "$SCRATCH/sync" "$SCRATCH/lib/fresh.py"
    mkdir "$SCRATCH/sync"
    launch srun -N 1 -n 2 --mpi=none sh "$SCRATCH/task" "$PYTHON" "$SCRATCH/apart.py" "$SCRATCH/sync" "$SCRATCH/lib"
  }
  MPIIO_CACHE_TRANSPORT=tcp MPIIO_CACHE_LOG=info same_as_plain in_two_namespaces
  said
  [[ $(said) == *'active: 2 ranks on 1 node, TCP'* ]]
}
