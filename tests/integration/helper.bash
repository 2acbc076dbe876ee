# helper.bash - what the integration tests share. A test runs a program plain and cached, and compares.
#
#   setup() { load helper; helper_setup; }   teardown() { helper_teardown; }
#
#   same_as_plain on_hosts 4 4 python3 app.py     runs it twice; output, exit code and time must agree
#   run_plain CMD... / run_cached CMD...          the pieces: $PLAIN_RC, $PLAIN_SECONDS, $PLAIN/stdout, $PLAIN/stderr,
#                                                 and CACHED
#   on_mpiexec N, on_hosts N P, on_slurm N P      launchers, in front of a command; alone: none
#
#   for_each_client FUNCTION                      runs it for each kind of client that a shared filesystem may have
#
# Variables before a call hold for that run: MPIIO_CACHE_LOG=info run_cached on_mpiexec 2 python3 app.py
# $SCRATCH is the test's own folder. helper_teardown fails the test if it left processes or stores behind. A test that
# kills ranks sets STORES_MAY_STAY=1: theirs are for the next job to reclaim.
# shellcheck shell=bash disable=SC2034 # variables are for the tests

# What the caller's shell or job has would disturb: an unbuffered Python writes half lines.
unset LD_PRELOAD "${!MPIIO_CACHE_@}" "${!PMI_@}" "${!SLURM_@}" "${!PYTHON@}"
# The same tests over another transport: MIOC_TRANSPORT=mpi scripts/test.
[[ -z ${MIOC_TRANSPORT:-} ]] || export MPIIO_CACHE_TRANSPORT=$MIOC_TRANSPORT
export LC_ALL=C.UTF-8

MIOC_ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
MIOC_BUILD=${MIOC_BUILD:-$MIOC_ROOT/build/release}
MIOC_LIBRARY=$MIOC_BUILD/lib/libmpiio_cache.so
FIXTURES=$MIOC_ROOT/tests/fixtures
PROGRAMS=$MIOC_ROOT/tests/programs
PYTHON_ENVS=${XDG_CACHE_HOME:-/var/tmp}/mpiio_cache-tests # for all tests of this machine
PYTHON=/usr/bin/python3 # what else is called python3 may be a shell script
RUN_TIMEOUT=120         # seconds for one run; a test may set its own
SLACK=2                 # seconds that a cached run may take longer than the plain one

helper_setup() {
  [[ -e $MIOC_LIBRARY ]] || { echo "$MIOC_LIBRARY is not built" >&2; return 1; }
  # Not below /tmp/bats…, whose length would not leave room for sockets.
  SCRATCH=$(mktemp -d /tmp/mioc-test.XXXXXX)
  PLAIN=$SCRATCH/plain CACHED=$SCRATCH/cached
  MOUNTS=()
  # By this, in their environment, processes are known as ours.
  export MIOC_TEST_ID="mioc-$BASHPID-$RANDOM$RANDOM"
  # Every test's runs are first ones, unless it runs a program twice.
  export XDG_CACHE_HOME=$SCRATCH/user-cache
  mkdir "$XDG_CACHE_HOME"
  export MIOC_METADATA_SERVER=${MIOC_METADATA_SERVER:-$MIOC_BUILD/bin/mioc_metadata_server}
  STORES_BEFORE=$(own_stores)
}

helper_teardown() {
  local rc=0
  cd "$MIOC_ROOT" || return # a test may stand in its mount
  no_leftovers || rc=1
  unmount_shared || rc=1
  # Never through a mount that is still there.
  ((rc != 0)) || rm -rf --one-file-system "$SCRATCH"
  return "$rc"
}

# --- Runs -------------------------------------------------------------------------------------------------------------

# FOLDER CMD...: sets RC and TOOK. `timeout` starts no group of its own in the foreground, so stdin stays usable.
run_into() {
  local folder=$1 since=$EPOCHREALTIME
  shift
  rm -rf "$folder"
  mkdir -p "$folder"
  RC=0
  if [[ $(type -t "$1") == function ]]; then
    "$1" "${@:2}" >"$folder/stdout" 2>"$folder/stderr" </dev/null || RC=$?
  else
    timeout -k 5 "$RUN_TIMEOUT" "$@" >"$folder/stdout" 2>"$folder/stderr" </dev/null || RC=$?
  fi
  TOOK=$(awk -v a="$since" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", b - a }')
}

run_plain() {
  run_into "$PLAIN" "$@"
  PLAIN_RC=$RC PLAIN_SECONDS=$TOOK
}

# The launchers look at PRELOAD, so that it is the user's command that is preloaded, launcher included.
run_cached() {
  PRELOAD=$MIOC_LIBRARY run_into "$CACHED" "$@"
  CACHED_RC=$RC CACHED_SECONDS=$TOOK
}

# What run_into calls for a launcher: with the preload where there is one, and with a deadline.
launch() {
  if [[ -n ${PRELOAD:-} ]]; then
    timeout -k 5 "$RUN_TIMEOUT" env LD_PRELOAD="$PRELOAD" "$@"
  else
    timeout -k 5 "$RUN_TIMEOUT" "$@"
  fi
}

# Whether this test's jobs are joined by MPI, which rules out more than TCP.
is_by_mpi() { [[ ${MPIIO_CACHE_TRANSPORT:-auto} == mpi ]]; }

alone() { launch "$@"; }
on_mpiexec() { launch mpiexec.mpich -n "$1" "${@:2}"; }
on_hosts() {
  # Clients that keep nothing. It is FUSE, of which the cache expects the worst.
  [[ ${HOSTS_MOUNT:-} != *'--dir-timeout 0 --file-attr-timeout 0'* ]] ||
    local -x MPIIO_CACHE_ACTIMEO=${MPIIO_CACHE_ACTIMEO-0}
  launch "$FIXTURES/simulated-hosts" ${HOSTS_MOUNT:+--mount "$HOSTS_MOUNT"} "$1" "$2" "${@:3}"
}
on_slurm() { launch srun -N "$1" --ntasks-per-node="$2" --mpi=pmi2 "${@:3}"; }

# Where more than two tasks wait for each core, all takes longer by as much.
is_in_time() {
  awk -v p="$PLAIN_SECONDS" -v c="$CACHED_SECONDS" -v s="$SLACK" -v load="$(cut -d' ' -f1 /proc/loadavg)" \
    -v cores="$(nproc)" 'BEGIN { busy = load / cores / 2; exit !(c <= p + s * (busy > 1 ? busy : 1)) }'
}

# Compares the last two runs. Lines may come in any order: ranks share one standard output.
assert_same() {
  local rc=0
  if ((PLAIN_RC != CACHED_RC)); then
    echo "exit code: plain $PLAIN_RC, cached $CACHED_RC"
    rc=1
  fi
  if ! diff <(sort "$PLAIN/stdout") <(sort "$CACHED/stdout") >"$SCRATCH/diff"; then
    echo "output, plain (<) and cached (>):"
    head -n 20 "$SCRATCH/diff"
    rc=1
  fi
  if ! is_in_time; then
    echo "seconds: plain $PLAIN_SECONDS, cached $CACHED_SECONDS"
    rc=1
  fi
  if ((rc != 0)); then
    echo "standard error of the cached run:"
    tail -n 20 "$CACHED/stderr"
  fi
  return "$rc"
}

same_as_plain() {
  run_plain "$@"
  run_cached "$@"
  # A busy machine can make one run slow; only what is slow again is ours.
  if ! is_in_time; then run_cached "$@"; fi
  assert_same
}

# What the cache itself said in the last cached run.
said() { grep -h '^mpiio_cache: ' "$CACHED/stderr" || true; }

# A number or text of a statistics file: stat_of FILE .calls.stat.hit
stat_of() { jq -r "$2" "$1"; }

# --- Leftovers --------------------------------------------------------------------------------------------------------

# Stores that nobody holds. A held one is of somebody else's job, or its process is found by own_processes.
own_stores() {
  local store dev inode
  find "${MPIIO_CACHE_DIR:-/dev/shm}" -maxdepth 1 -name "mpiio_cache-$EUID-*" 2>/dev/null | sort |
    while read -r store; do
    read -r dev inode < <(stat -c '%d %i' "$store/owner" 2>/dev/null) || dev=0 inode=none
    # Other mounts have files of that number, too.
    grep -q "$(printf ' %02x:%02x:%s ' $((dev >> 8 & 0xfff)) $((dev & 0xff | dev >> 12 & 0xfff00)) "$inode")" \
      /proc/locks || echo "$store"
  done
}

# FOLDER: the agents of a job have a second after its end; then no store of this user is in the folder.
has_no_stores() {
  local until=$((${EPOCHREALTIME/./} + 1000000))
  while [[ -n $(find "$1" -mindepth 1 -maxdepth 1 -user "$EUID" -name 'mpiio_cache-*') ]]; do
    ((${EPOCHREALTIME/./} < until)) || { ls -l "$1"; return 1; }
    sleep 0.02
  done
}

# Whether no store is there that was not before this test; the agents of a job have a second after its end.
are_stores_as_before() {
  local until=$((${EPOCHREALTIME/./} + 1000000))
  until [[ $(own_stores) == "$STORES_BEFORE" ]]; do
    ((${EPOCHREALTIME/./} < until)) || { own_stores; return 1; }
    sleep 0.02
  done
}

# Processes of this test that are still there. The shell's own helpers come and go with this very function.
own_processes() {
  local environ pid name
  grep -lzx "MIOC_TEST_ID=$MIOC_TEST_ID" /proc/[0-9]*/environ 2>/dev/null | while read -r environ; do
    pid=${environ//[!0-9]/}
    { read -r name </proc/"$pid"/comm; } 2>/dev/null || continue
    [[ $name == @(bats*|bash|grep|find|sort|comm|tee|cat|timeout) ]] ||
      echo "$pid $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")"
  done
}

# Waits for what is ending, at most five seconds.
no_leftovers() {
  local deadline=$((SECONDS + 5)) processes stores
  while :; do
    processes=$(own_processes | grep -v mioc_metadata_server || true)
    stores=
    [[ -n ${STORES_MAY_STAY:-} ]] || stores=$(comm -13 <(echo "$STORES_BEFORE") <(own_stores))
    [[ -n $processes || -n $stores ]] || return 0
    ((SECONDS < deadline)) || break
    sleep 0.1
  done
  [[ -z $processes ]] || echo "processes left: $processes"
  [[ -z $stores ]] || echo "stores left: $stores"
  return 1
}

# --- Fixtures: each skips the test, saying what is missing ------------------------------------------------------------

need_root() { [[ $EUID -eq 0 ]] || skip "needs root"; }
need_command() { command -v "$1" >/dev/null || skip "$1 is not installed"; }
need_fuse() {
  need_root
  { : <>/dev/fuse; } 2>/dev/null || skip "no usable /dev/fuse here"
  [[ -x $MIOC_METADATA_SERVER ]] || skip "mioc_metadata_server is not built"
}
need_hosts() {
  need_root
  need_command mpiexec.mpich
  unshare --uts --mount --pid --fork true 2>/dev/null || skip "no namespaces here"
}

# Runs a fixture's script; its exit code 77 means that it cannot be had here.
fixture() {
  local rc=0 out
  out=$("$FIXTURES/$1" "${@:2}" 2>&1) || rc=$?
  ((rc != 77)) || skip "$out"
  ((rc == 0)) || { echo "$out"; return 1; }
}

# Sets PYTHON_ENV to a relocatable Python with numpy, scipy, pandas and matplotlib; made once a machine.
need_python_env() {
  PYTHON_ENV=$PYTHON_ENVS/env
  mkdir -p "$(dirname "$PYTHON_ENV")"
  fixture python-env "$PYTHON_ENV"
}

# Runs a test's body, a function with arguments, in each kind of client that a shared filesystem may have: one that
# keeps nothing, one like NFS's and one like Lustre's (see mioc_metadata_server --help). Sets for it
#   CLIENT_MODEL     none, nfs or lustre
#   CLIENT_OPTIONS   the server's options, for mount_shared (unquoted) and HOSTS_MOUNT
#   CLIENT_TIME      seconds after which, at the latest, a client sees what another one wrote; 0: when the write
#                    returns. Exported, as MPIIO_CACHE_ACTIMEO is: the filesystem is FUSE,
#                    of which the cache expects the worst
# CLIENT_MODELS="nfs" bats …: only in these.
for_each_client() {
  local -x MPIIO_CACHE_ACTIMEO CLIENT_TIME
  need_fuse
  for CLIENT_MODEL in ${CLIENT_MODELS:-none nfs lustre}; do
    echo "client: $CLIENT_MODEL"
    CLIENT_OPTIONS="--client $CLIENT_MODEL" CLIENT_TIME=0
    # Shorter than is said: the kernel begins to count when it has the answer, which may be late on a busy machine.
    [[ $CLIENT_MODEL != nfs ]] || CLIENT_OPTIONS+=" --keep 0.7" CLIENT_TIME=1
    MPIIO_CACHE_ACTIMEO=$CLIENT_TIME
    if [[ $CLIENT_MODEL == lustre ]] && ! has_coherent_clients; then
      echo "skipped: needs Linux 6.16"
      continue
    fi
    "$@"
    unmount_shared
    find "$XDG_CACHE_HOME" -mindepth 1 -delete # the next one's runs are first ones, too
  done
}

has_coherent_clients() {
  local rc=0
  mkdir -p "$SCRATCH/no-source" "$SCRATCH/no-mount"
  "$FIXTURES/shared-fs" mount "$SCRATCH/no-source" "$SCRATCH/no-mount" --client lustre 3>&- || rc=$?
  ((rc != 77)) || return 1
  "$FIXTURES/shared-fs" umount "$SCRATCH/no-mount"
}

unmount_shared() {
  local rc=0 mountpoint
  for mountpoint in "${MOUNTS[@]}"; do
    "$FIXTURES/shared-fs" umount "$mountpoint" || rc=1
  done
  MOUNTS=()
  return "$rc"
}

# SOURCE MOUNTPOINT [server options]: a shared filesystem for this test, on this machine.
mount_shared() {
  need_fuse
  fixture shared-fs mount "$@" 3>&- # bats waits for whoever has it
  MOUNTS+=("$2")
}
