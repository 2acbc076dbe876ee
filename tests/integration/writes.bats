# What the job itself writes below cached prefixes: its node sees it at once, every other node when the call returns.

setup() {
  load helper
  helper_setup
  SHARED=$SCRATCH/shared SOURCE=$SCRATCH/source
  export PYTHONDONTWRITEBYTECODE=1
}

teardown() { helper_teardown; }

make_library() {
  mkdir -p "$SOURCE"
  find "$SOURCE" -mindepth 1 -delete
  echo "value = 'one'" >"$SOURCE/one.py"
  echo "value = 'two'" >"$SOURCE/two.py"
  mkdir -p "$SOURCE/lib/inner" "$SOURCE/v1" "$SOURCE/v2"
  echo "value = 'deep'" | tee "$SOURCE/lib/deep.py" "$SOURCE/lib/inner/deep.py" >"$SOURCE/v1/mod.py"
  ln -s lib "$SOURCE/lib64"
  for k in 0 1 2 3; do echo "value = 'old$k'" >"$SOURCE/old$k.py"; done
}

# N P COMMAND...: on simulated hosts, each with its own mount of a fresh library, by clients of $CLIENT_MODEL.
on_shared_hosts() {
  make_library
  HOSTS_MOUNT="$SOURCE:$SHARED:$CLIENT_OPTIONS" on_hosts "$@"
}

written_by_rank_5() {
  WRITES=("$PYTHON" -S "$PROGRAMS/writes.py" "$MIOC_BUILD/lib" "$SHARED" 5 1)
  run_plain on_shared_hosts 4 2 "${WRITES[@]}"
  MPIIO_CACHE_PATHS=$SHARED MPIIO_CACHE_STATS=$SCRATCH/stats.json MPIIO_CACHE_LOG=info \
    run_cached on_shared_hosts 4 2 "${WRITES[@]}" "$SCRATCH/took"
  cat "$SCRATCH/took"
  said
  SLACK=30 assert_same # each write waits for three other nodes, behind eight ranks that spin in MPI on few cores
  [[ $PLAIN_RC == 0 && $(said) == *"active: 8 ranks on 4 nodes"* ]]
  # Not because nothing is cached.
  jq -c '.calls.stat, .calls.write' "$SCRATCH/stats.json"
  (($(stat_of "$SCRATCH/stats.json" .calls.stat.hit) > 100))
  (($(stat_of "$SCRATCH/stats.json" .calls.write.timeout) == 0))
}

@test "what rank 5 wrote is seen by every rank of every node behind a barrier, or when its client's time is over" {
  need_hosts
  for_each_client written_by_rank_5
}

# What a rank's own node and its children see: programs that change what paths mean, or who may have them.
view_program() {
  cat >"$SCRATCH/views.py" <<'PY'
import ctypes, os, subprocess, sys
shared, other, scratch, me = *sys.argv[1:4], int(os.environ["PMI_RANK"])
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_BIND, MS_PRIVATE_ALL = 0x20000, 4096, (1 << 18) | 16384
def look():
    seen = []
    for name in "secret.py", "one.py", "two.py", "none.py":
        try:
            with open(shared + "/" + name) as f:
                seen.append(f.read().strip())
        except OSError as error:
            seen.append(error.strerror)
    return seen
def meet(): # both ranks
    for pipe, writer in ("a", 0), ("b", 1):
        os.close(os.open(scratch + "/" + pipe, os.O_WRONLY if me == writer else os.O_RDONLY))
def child_of(*before):
    """What a program sees that this one starts."""
    code = "import sys; sys.argv = %r; exec(open(%r).read().split('\\n# main\\n')[0]); print(look())" % (sys.argv,
                                                                                                         __file__)
    return subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True,
                          **dict(before)).stdout.strip()
def forked(name, change):
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            before = look()
            change()
            text = repr((before, look(), child_of() if name != "chroot" else ""))
        except BaseException as error:
            text = repr(error)
        os.write(w, text.encode())
        os._exit(0)
    os.close(w)
    with os.fdopen(r) as f:
        print(me, name, f.read(), flush=True)
    os.waitpid(pid, 0)
def bind():
    assert libc.unshare(CLONE_NEWNS) == 0
    assert libc.mount(b"none", b"/", None, MS_PRIVATE_ALL, None) == 0
    assert libc.mount(other.encode(), shared.encode(), None, MS_BIND, None) == 0
def below():
    os.chroot(other + "/root")
def lose_capabilities():
    os.setresuid(0, 65534, 0)
    os.setresuid(0, 0, 0)
# main
print(me, look(), flush=True)
meet()
forked("setuid", lambda: os.setuid(65534))
forked("seteuid", lambda: os.seteuid(65534))
forked("setresuid", lambda: os.setresuid(65534, 65534, 65534))
forked("there and back", lose_capabilities)
forked("setgroups", lambda: (os.setgroups([]), os.setgid(65534), os.setuid(65534)))
forked("setfsuid", lambda: libc.setfsuid(65534))
forked("chroot", below)
forked("another namespace", bind)
forked("nothing", lambda: (os.setuid(os.getuid()), os.setgid(os.getgid())))
print(me, "child", child_of(), child_of(("user", 65534)), child_of(("group", 65534)), flush=True)
meet()
# A whole rank, the root of the job among them: the others go on with right answers.
if me == 0:
    os.chroot(other + "/root")
    print(me, "in another root", look(), flush=True)
else:
    print(me, "beside it", look(), flush=True)
PY
}

@test "another user, root or mount namespace ends the serving, for the process and its children" {
  need_fuse
  need_command mpiexec.mpich
  view_program
  make_library
  echo secret >"$SOURCE/secret.py"
  chmod 600 "$SOURCE/secret.py"
  chmod 755 "$SCRATCH" "$SOURCE"
  mkfifo "$SCRATCH/a" "$SCRATCH/b"
  mkdir -p "$SCRATCH/other/root$SHARED"
  echo "value = 'another one'" | tee "$SCRATCH/other/one.py" >"$SCRATCH/other/root$SHARED/one.py"
  mount_shared "$SOURCE" "$SHARED"
  VIEWS=("$PYTHON" -S "$SCRATCH/views.py" "$SHARED" "$SCRATCH/other" "$SCRATCH")
  run_plain on_mpiexec 2 "${VIEWS[@]}"
  cat "$PLAIN/stdout" "$PLAIN/stderr"
  (($(grep -c "child \['secret'.*\['Permission denied'" "$PLAIN/stdout") == 2)) # the children did look
  MPIIO_CACHE_PATHS=$SHARED MPIIO_CACHE_STATS=$SCRATCH/stats.json run_cached on_mpiexec 2 "${VIEWS[@]}"
  assert_same
  [[ $PLAIN_RC == 0 ]]
}

installed_by_ranks() {
  INSTALL=("$PYTHON" "$PROGRAMS/writes_install.py" "$MIOC_BUILD/lib" "$SHARED" "$SCRATCH")
  run_plain on_shared_hosts 2 2 "${INSTALL[@]}"
  tail -n 5 "$PLAIN/stderr"
  [[ $PLAIN_RC == 0 && $(wc -l <"$PLAIN/stdout") == 28 ]]
  MPIIO_CACHE_PATHS=$SHARED MPIIO_CACHE_LOG=info run_cached on_shared_hosts 2 2 "${INSTALL[@]}"
  said
  SLACK=20 assert_same # pip writes much, and each write waits for the other node
  [[ $(said) == *"active: 4 ranks on 2 nodes"* ]]
}

@test "packages are installed, compiled, removed by one rank and used by others behind a barrier" {
  need_hosts
  "$PYTHON" -m pip --version >/dev/null 2>&1 || skip "python3-pip is not installed"
  for_each_client installed_by_ranks
}

late_link() {
  cat >"$SCRATCH/late.py" <<'PY'
import os, sys
sys.path.append(sys.argv[1])
import mioc_mpi
folder = sys.argv[2]
mioc_mpi.init()
me = mioc_mpi.rank()
def look(*names):
    mioc_mpi.barrier()
    seen = []
    for name in names:
        try:
            seen.append((os.stat(folder + "/" + name).st_size, open(folder + "/" + name).read()))
        except OSError as error:
            seen.append(error.strerror)
    print(me, seen, flush=True)
    mioc_mpi.barrier()
if me == 3:
    os.symlink("late.txt", folder + "/lib/link.txt")
    os.symlink("lib/inner", folder + "/inner")
look("lib/link.txt")
if me == 3:
    files = [open(folder + "/lib/" + name, "w") for name in ("late.txt", "inner/late.txt")]
for text in "", "first", " second":
    if me == 3:
        for file in files:
            file.write(text)
            file.flush()
    look("lib/link.txt", "inner/late.txt", "inner/deep.py")
mioc_mpi.finalize()
PY
  run_plain on_shared_hosts 2 2 "$PYTHON" -S "$SCRATCH/late.py" "$MIOC_BUILD/lib" "$SHARED"
  cat "$PLAIN/stdout" "$PLAIN/stderr"
  [[ $PLAIN_RC == 0 && $(grep -c "(12, 'first second'), (12, 'first second')" "$PLAIN/stdout") == 4 ]]
  MPIIO_CACHE_PATHS=$SHARED MPIIO_CACHE_LOG=info run_cached on_shared_hosts 2 2 \
    "$PYTHON" -S "$SCRATCH/late.py" "$MIOC_BUILD/lib" "$SHARED"
  said
  SLACK=20 assert_same
  [[ $(said) == *"active: 4 ranks on 2 nodes"* ]]
}

@test "what is being written is read as it is, by the name of a link that becomes known later, too" {
  need_hosts
  CLIENT_MODELS=none for_each_client late_link
}

misled_kernel() {
  MISLED=("$PYTHON" -S "$PROGRAMS/misled.py" "$MIOC_BUILD/lib" "$SHARED")
  run_plain on_shared_hosts 2 2 "${MISLED[@]}"
  cat "$PLAIN/stdout" "$PLAIN/stderr"
  [[ $PLAIN_RC == 0 && $(grep -c "^[23] True .*'empty/deep.py', (True" "$PLAIN/stdout") == 2 ]]
  MPIIO_CACHE_PATHS=$SHARED MPIIO_CACHE_LOG=info run_cached on_shared_hosts 2 2 "${MISLED[@]}"
  said
  SLACK=20 assert_same
  [[ $(said) == *"active: 4 ranks on 2 nodes"* ]]
}

@test "a directory that rank 0's kernel takes for removed is there for the other node" {
  need_hosts
  CLIENT_MODELS=nfs for_each_client misled_kernel
}

watched_data() {
  OUTSIDE=$SCRATCH/outside
  make_library
  mount_shared "$SOURCE" "$OUTSIDE" $CLIENT_OPTIONS
  rm -f "$SCRATCH/ready" "$SCRATCH/go"
  mkfifo "$SCRATCH/ready" "$SCRATCH/go"
  cat >"$SOURCE/watch.py" <<'PY'
import os, sys, time
sys.path[:0] = sys.argv[1:3]
import client_view, mioc_mpi
scratch, me = sys.argv[3], int(os.environ["PMI_RANK"])
mioc_mpi.init()
def look():
    seen = [os.path.exists("done.flag"), sorted(n for n in os.listdir(".") if n.endswith((".npy", ".flag")))]
    for name in "data.npy", "done.flag":
        try:
            seen.append(open(name).read().strip())
        except OSError as error:
            seen.append(error.strerror)
    return seen
import one, lib.deep
print(me, look(), flush=True)
for k in range(3):
    client_view.kernel_knows(["data.npy", "done.flag", "."])
    mioc_mpi.barrier()
    if me == 0:
        os.close(os.open(scratch + "/ready", os.O_WRONLY))
        os.close(os.open(scratch + "/go", os.O_RDONLY))
    mioc_mpi.barrier()
    now = [k != 1, ["data.npy"] + ["done.flag"] * (k != 1), "array %d" % k, "done %d" % k if k != 1 else os.strerror(2)]
    until = time.monotonic() + client_view.PATIENCE * (client_view.CLIENT_TIME > 0)
    while (seen := look()) != now and time.monotonic() < until:
        time.sleep(0.05)
    print(me, k, seen, flush=True)
mioc_mpi.finalize()
PY
  # Not preloaded, not in the job: another client of the same filesystem.
  from_outside() {
    local k
    for k in 0 1 2; do
      : <"$SCRATCH/ready"
      if ((k == 1)); then rm "$OUTSIDE/done.flag"; else echo "done $k" >"$OUTSIDE/done.flag"; fi
      echo "array $k" >"$OUTSIDE/data.tmp"
      mv "$OUTSIDE/data.tmp" "$OUTSIDE/data.npy"
      : >"$SCRATCH/go"
    done
  }
  watch_on_hosts() {
    local rc=0
    rm -f "$OUTSIDE"/data.npy "$OUTSIDE"/done.flag
    from_outside 3>&- &
    HOSTS_MOUNT="$SOURCE:$SHARED:$CLIENT_OPTIONS" on_hosts 2 2 \
      env --chdir="$SHARED" PYTHONPATH="$SHARED" "$PYTHON" watch.py "$PROGRAMS" "$MIOC_BUILD/lib" "$SCRATCH" || rc=$?
    ((rc != 0)) || wait
    return "$rc"
  }
  run_plain watch_on_hosts
  cat "$PLAIN/stderr"
  [[ $PLAIN_RC == 0 ]]
  MPIIO_CACHE_LOG=info MPIIO_CACHE_STATS=$SCRATCH/stats.json run_cached watch_on_hosts
  said
  assert_same
  [[ $(said) == *"active: 4 ranks on 2 nodes"* ]]
  grep -q "2 \[True, \['data.npy', 'done.flag'\], 'array 2', 'done 2'\]" "$CACHED/stdout"
  (($(stat_of "$SCRATCH/stats.json" .calls.open.hit) > 0))
}

@test "data beside a program, which another program rewrites, is seen by all ranks as soon as without us" {
  need_hosts
  for_each_client watched_data
}

inherited_descriptors() {
  cat >"$SCRATCH/inherit.py" <<'PY'
import os, subprocess, sys
shared, me = sys.argv[1], int(os.environ["PMI_RANK"])
for name, command in (("chmod", "chmod 600 /proc/self/fd/%d"), ("touch", "touch -d @77 /proc/self/fd/%d"),
                      ("write", "echo more >>/proc/self/fd/%d"), ("lock", "flock -n %d")):
    path = "%s/%s%d.so" % (shared, name, me)
    os.path.exists(shared + "/none.so")
    fd = os.open(path, os.O_RDONLY)
    rc = subprocess.run(["/bin/sh", "-c", command % fd], pass_fds=[fd]).returncode
    st = os.stat(path)
    print(me, name, rc, "%o" % st.st_mode, int(st.st_mtime) == 77, open(path).read(), flush=True)
    os.close(fd)
PY
  inherit() {
    local name
    make_library
    for name in chmod0 chmod1 touch0 touch1 write0 write1 lock0 lock1; do echo "$name" >"$SOURCE/$name.so"; done
    mount_shared "$SOURCE" "$SHARED" $CLIENT_OPTIONS
    on_mpiexec 2 "$PYTHON" -S "$SCRATCH/inherit.py" "$SHARED"
    unmount_shared
  }
  run_plain inherit
  MPIIO_CACHE_PATHS=$SHARED run_cached inherit
  cat "$PLAIN/stdout" "$CACHED/stderr"
  assert_same
  [[ $PLAIN_RC == 0 ]]
}

@test "what a program inherits or is told by name acts on the file, not on the node's copy" {
  need_command mpiexec.mpich
  for_each_client inherited_descriptors
}
