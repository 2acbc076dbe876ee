# By MPI: jobs in which a rank never comes, a node lacks something, or other programs run too: nobody waits in MPI for
# anybody, and all ranks run as plain, after one deadline at most. Where all ranks come, however late, all take part.

setup() {
  load helper
  helper_setup
  need_hosts
  mkdir -p "$SCRATCH/lib"
  echo 'value = "package"' >"$SCRATCH/lib/package.py"
  echo 'import os, package; os.write(1, package.value.encode() + bytes([10]))' >"$SCRATCH/app.py"
  # The first import of a program with MPI of its own.
  printf '%s\n' 'import os, package, mioc_mpi as m' 'm.init()' \
    'os.write(1, b"%d of %d" % (m.rank(), m.size()) + bytes([10]))' 'm.finalize()' >"$SCRATCH/mpi.py"
  export MPIIO_CACHE_PATHS=$SCRATCH/lib PYTHONPATH=$SCRATCH/lib:$MIOC_BUILD/lib PYTHONDONTWRITEBYTECODE=1
  # The shortest there is; longer than what is nobody's to wait for.
  export MPIIO_CACHE_TRANSPORT=mpi MPIIO_CACHE_TIMEOUT=4 MPIIO_CACHE_LOG=info APP=$SCRATCH/app.py PYTHON
  # shellcheck disable=SC2034 # helper.bash's
  RUN_TIMEOUT=60
}

teardown() { helper_teardown; }

# LAUNCHER N [P]: each task runs SHELL (on standard input). Plain and cached agree, nobody started MPI, and the library
# says why: $WHY.
stays_as_plain() {
  cat >"$SCRATCH/task.sh"
  SLACK=${WAITS:-2} same_as_plain "$@" bash "$SCRATCH/task.sh"
  echo "plain $PLAIN_RC after $PLAIN_SECONDS s, cached $CACHED_RC after $CACHED_SECONDS s: $(said)"
  [[ $(said) != *'mpiio_cache: active: '* && $(said) == *$WHY* ]] # a pattern
}

@test "a rank whose shell ends without Python, or runs it as a child, keeps nobody waiting" {
  # Which rank 0 hears first: of rank 1's end, or of what rank 2 made of it.
  WHY='@(ended before|another rank of this node stays dormant)' stays_as_plain on_mpiexec 3 <<'SH'
[[ $PMI_RANK == 1 ]] && exit 0
exec "$PYTHON" "$APP"
SH
  WHY='ended before' stays_as_plain on_hosts 2 2 <<'SH'
[[ $PMI_RANK == 3 ]] && { "$PYTHON" "$APP"; exit 0; }
exec "$PYTHON" "$APP"
SH
  # Rank 0 is who says something.
  WHY='' stays_as_plain on_hosts 2 2 <<'SH'
[[ $PMI_RANK == 0 ]] && { "$PYTHON" "$APP"; exit 0; }
exec "$PYTHON" "$APP"
SH
}

@test "a rank that never becomes Python keeps the others one deadline at most" {
  local rank why
  for rank in 1 2 0; do
    why='within 4 s' # its node's word, or the root's
    ((rank != 0)) || why='' # who would say it
    WAITS=7 WHY=$why NEVER=$rank stays_as_plain on_hosts 2 2 <<'SH'
[[ $PMI_RANK == "$NEVER" ]] || exec "$PYTHON" "$APP"
sleep 1; for i in {1..30}; do sleep 0.1; done
SH
  done
}

@test "a rank killed before it is one leaves the others to end as plain, in time" {
  cat >"$SCRATCH/task.sh" <<'SH'
[[ $PMI_RANK != 3 ]] || kill -KILL $$
exec "$PYTHON" "$APP"
SH
  run_plain on_hosts 2 2 bash "$SCRATCH/task.sh"
  SLACK=6 run_cached on_hosts 2 2 bash "$SCRATCH/task.sh"
  echo "plain $PLAIN_RC after $PLAIN_SECONDS s, cached $CACHED_RC after $CACHED_SECONDS s: $(said)"
  ((PLAIN_RC != 0 && CACHED_RC != 0))
  SLACK=6 is_in_time
}

@test "ranks that come late, but in time, all take part" {
  echo 'sleep 1.$PMI_RANK; exec "$PYTHON" "$APP"' >"$SCRATCH/task.sh"
  run_plain on_hosts 2 2 bash "$SCRATCH/task.sh"
  MPIIO_CACHE_TIMEOUT=20 run_cached on_hosts 2 2 bash "$SCRATCH/task.sh"
  assert_same
  [[ $(said) == *'active: 4 ranks on 2 nodes'* ]]
}

# HOST: a task there does not find the plug-in; what it runs comes on standard input.
without_plugin_on() {
  mkdir -p "$SCRATCH/with" "$SCRATCH/without"
  cp "$MIOC_BUILD"/lib/libmpiio_cache{,_mpich}.so "$SCRATCH/with"
  cp "$MIOC_BUILD/lib/libmpiio_cache.so" "$SCRATCH/without"
  { echo "[[ \$(hostname) != $1 ]] || mount --bind '$SCRATCH/without' '$SCRATCH/with'"; cat; } >"$SCRATCH/body.sh"
  MIOC_LIBRARY=$SCRATCH/with/libmpiio_cache.so WHY=${WHY-'the MPI plug-in'} stays_as_plain on_hosts 2 2 \
    <"$SCRATCH/body.sh"
}

@test "a plug-in that is missing on some nodes: all stay dormant at once, and their own MPI works" {
  local host
  for host in node0 node1; do
    without_plugin_on "$host" <<'SH'
exec "$PYTHON" "$APP"
SH
  done
  without_plugin_on node1 <<<'exec "$PYTHON" "${APP%app.py}mpi.py"'
  (($(grep -c ' of 4' "$CACHED/stdout") == 4))
}

# HOST SCRIPT: run in each task there, before it is Python; the plug-in is one of ours alone, linked with $MPICH.
with_plugin_spoilt_on() {
  mkdir -p "$SCRATCH/with"
  cp "$MIOC_BUILD"/lib/libmpiio_cache{,_mpich}.so "$SCRATCH/with"
  export MPICH PLUGIN=$SCRATCH/with/libmpiio_cache_mpich.so
  { echo "[[ \$(hostname) != $1 ]] || { $2; }"; echo 'exec "$PYTHON" "$APP"'; } >"$SCRATCH/body.sh"
  MIOC_LIBRARY=$SCRATCH/with/libmpiio_cache.so WHY='the MPI plug-in cannot be loaded: '$3 stays_as_plain on_hosts 2 2 \
    <"$SCRATCH/body.sh"
}

@test "a plug-in that cannot be loaded on some nodes: all stay dormant at once" {
  local host
  MPICH=$(ldd "$MIOC_BUILD/lib/libmpiio_cache_mpich.so" | awk '$1 ~ /^libmpich/ { print $3 }')
  [[ -s $MPICH ]]
  # Its MPI is no library; is another version; is not complete; is not there.
  for host in node0 node1; do
    with_plugin_spoilt_on "$host" 'mount --bind /dev/null "$MPICH"' '*file too short'
  done
  with_plugin_spoilt_on node1 'mount --bind "$(realpath /lib/x86_64-linux-gnu/libz.so.1)" "$MPICH"' 'undefined symbol: '
  head -c 8192 "$MPICH" >"$SCRATCH/part.so"
  with_plugin_spoilt_on node1 'mount --bind "${PLUGIN%/with*}/part.so" "$MPICH"' ''
  sed 's/libmpich\.so\.12/libmpich.so.99/' "$MIOC_BUILD/lib/libmpiio_cache_mpich.so" >"$SCRATCH/other.so"
  with_plugin_spoilt_on node1 'mount --bind "${PLUGIN%/with*}/other.so" "$PLUGIN"' 'libmpich.so.99 is not found'
}

@test "a rank that stays after all may close descriptors, exec and end as it likes" {
  local end
  for end in 'os.closerange(3, 1024)' 'os._exit(0)' 'os._exit(3)' 'os.execv("/bin/echo", ["echo", "replaced"])' \
    'ctypes.CDLL(None).quick_exit(0)' \
    'os.closerange(3, 1024); os.execve("/bin/echo", ["echo", "bare"], {})' \
    'os.execv(sys.executable, [sys.executable, os.environ["APP"]])'; do
    echo "all ranks: $end"
    echo "import ctypes, os, sys, package; os.write(1, b'x\\n'); $end" >"$SCRATCH/end.py"
    without_plugin_on node1 <<<'exec "$PYTHON" "${APP%app.py}end.py"'
  done
}

@test "a filesystem that is shared on some nodes only: one deadline, then all run as plain" {
  unset MPIIO_CACHE_PATHS
  mount_shared "$SCRATCH/lib" "$SCRATCH/shared"
  cp "$SCRATCH/app.py" "$SCRATCH/lib"
  export APP=$SCRATCH/shared/app.py HOST PYTHONPATH=$SCRATCH/shared
  for HOST in node0 node1; do
    WAITS=7 WHY='' stays_as_plain on_hosts 2 2 <<'SH'
[[ $(hostname) != "$HOST" ]] || mount --bind "${APP%/shared*}/lib" "${APP%/*}"
exec "$PYTHON" "$APP"
SH
  done
}
