# Security: what another user of the node can do to a job and its store, and what a job may be told that its rights do
# not allow. Two other users: nobody (65534) and 65533; nothing of them is left.

setup() {
  load helper
  helper_setup
  need_root
  need_command mpiexec.mpich
  need_command setpriv
  chmod 755 "$SCRATCH"
  mkdir -p "$SCRATCH/lib"
  echo 'value = 42' >"$SCRATCH/lib/module.py"
  cat >"$SCRATCH/app.py" <<PY
import sys
sys.path.insert(0, "$SCRATCH/lib")
sys.dont_write_bytecode = True
import module
print(module.value)
PY
  export MPIIO_CACHE_PATHS=$SCRATCH/lib
  APP=("$PYTHON" "$SCRATCH/app.py")
}

teardown() {
  for mounted in "$SCRATCH"/mnt*; do
    [[ ! -d $mounted ]] || umount -l "$mounted" 2>/dev/null || true
  done
  helper_teardown
}

as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }

# --- The store --------------------------------------------------------------------------------------------------------

@test "another user can neither list, read, write, map nor remove a store or anything in it" {
  cat >>"$SCRATCH/app.py" <<'PY'
import glob, os, subprocess
store, = [s for s in glob.glob("/dev/shm/mpiio_cache-0-*") if os.path.exists(s + "/c")]
names = [store] + [os.path.join(at, name) for at, dirs, files in os.walk(store) for name in dirs + files]
assert {os.path.relpath(n, store).split("/")[0] for n in names} >= {".", "owner", "index", "ring", "policy", "c",
                                                                    "m"}, names
# What it really is: to this process, a copy looks like its original.
print(subprocess.run(["find", store, "(", "-perm", "/077", "-o", "-not", "-user", "0", "-o", "-type", "l", ")"],
                     capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}))
attack = r"""
import os, sys
tries = [os.listdir, os.unlink, os.rmdir, os.chdir, lambda n: open(n, "rb"), lambda n: open(n, "wb"),
         lambda n: open(n + "/x", "wb"), lambda n: os.chmod(n, 0o777), lambda n: os.rename(n, n + "x"),
         lambda n: os.symlink("/", n + "/l"), lambda n: os.link(n, "/dev/shm/hard")]
for name in sys.argv[1:]:
    for number, attempt in enumerate(tries):
        try:
            attempt(name)
        except OSError:
            continue
        print("broken in:", name, number)
"""
print(subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "python3", "-c", attack]
                     + names, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}))
PY
  run_cached on_mpiexec 2 "${APP[@]}"
  cat "$CACHED/stdout" "$CACHED/stderr"
  ((CACHED_RC == 0))
  (($(grep -c "returncode=0, stdout='', stderr=''" "$CACHED/stdout") == 4))
}

# Everything that can bear a name, by another user: DIRECTORY KEY.
cat_planter() {
  cat <<'PY'
import os, sys
directory, key, victim = sys.argv[1:4]
base = f"{directory}/mpiio_cache-0-{key}-"
os.mkdir(base + "0" * 15 + "1", 0o777)
for name in ("owner", "index", "ring", "policy"):
    open(base + "0" * 15 + "1/" + name, "w").write("x" * 100000)
os.symlink(victim, base + "0" * 15 + "2")
os.mkfifo(base + "0" * 15 + "3", 0o666)
open(base + "0" * 15 + "4", "w").close()
os.symlink("nowhere", base + "0" * 15 + "5")
PY
}

planted() { find "$1" -maxdepth 1 -user 65534 | wc -l; }

@test "what another user plants at a store's names is not followed, not used, not removed, and hides nothing" {
  mkdir -m 1777 "$SCRATCH/dir"
  mkdir -m 755 "$SCRATCH/victim"
  touch "$SCRATCH/victim"/{owner,index,ring,policy,keep}
  cat_planter >"$SCRATCH/plant.py"
  as_nobody "$PYTHON" "$SCRATCH/plant.py" "$SCRATCH/dir" 0123456789abcdef "$SCRATCH/victim"
  [[ $(planted "$SCRATCH/dir") == 5 ]]
  # Once more for the job's own key, while it runs; then a guest looks for its store.
  cat >>"$SCRATCH/app.py" <<PY
import glob, os, subprocess
if os.environ["PMI_RANK"] == "0":
    mine, = [s for s in glob.glob("$SCRATCH/dir/mpiio_cache-0-*") if os.lstat(s).st_uid == 0
             and os.path.isdir(s + "/c")] or ["-" * 9]
    if not mine.startswith("-"):
        subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "python3",
                        "$SCRATCH/plant.py", "$SCRATCH/dir", mine.split("-")[2], "$SCRATCH/victim"], check=True,
                        env={"PATH": "/usr/bin:/bin"})
    print(subprocess.run([sys.executable, "-c",
                          "import sys; sys.path.insert(0, '$SCRATCH/lib'); import module; print(module.value)"],
                         capture_output=True, text=True))
PY
  MPIIO_CACHE_DIR=$SCRATCH/dir run_plain on_mpiexec 2 "${APP[@]}"
  MPIIO_CACHE_STATS=$SCRATCH/stats.json MPIIO_CACHE_DIR=$SCRATCH/dir run_cached on_mpiexec 2 "${APP[@]}"
  assert_same
  cat "$CACHED/stdout" "$CACHED/stderr"
  ((PLAIN_RC == 0))
  (($(stat_of "$SCRATCH/stats.json" .ranks) == 2 && $(stat_of "$SCRATCH/stats.json" .guests) >= 1))
  [[ $(planted "$SCRATCH/dir") == 10 ]]
  [[ $(find "$SCRATCH/victim" -type f | wc -l) == 5 ]]
  has_no_stores "$SCRATCH/dir"
}

# DIRECTORY: not used, which is said in one line that names it and why; the program runs.
check_refused() {
  local before
  before=$(find "$1/" | sort)
  run_plain on_mpiexec 2 "${APP[@]}"
  MPIIO_CACHE_DIR=$1 run_cached on_mpiexec 2 "${APP[@]}"
  assert_same
  said
  [[ $(said) == *"cannot use MPIIO_CACHE_DIR=$1"*"others could put their own"* && $(said | wc -l) == 1 ]]
  [[ $(find "$1/" | sort) == "$before" ]]
}

@test "a directory in which others could replace the store is not used: writable by group or all, or another user's" {
  mkdir -m 777 "$SCRATCH/all"
  check_refused "$SCRATCH/all"
  mkdir -m 770 "$SCRATCH/group"
  check_refused "$SCRATCH/group"
  mkdir -m 1777 "$SCRATCH/theirs"
  chown 65534 "$SCRATCH/theirs"
  check_refused "$SCRATCH/theirs"
}

@test "nor one below such a directory, nor one that is reached by a link of others" {
  mkdir -m 777 "$SCRATCH/all"
  mkdir -m 700 "$SCRATCH/all/mine"
  check_refused "$SCRATCH/all/mine"
  mkdir -m 755 "$SCRATCH/theirs"
  chown 65534 "$SCRATCH/theirs"
  as_nobody ln -s "$SCRATCH/theirs" "$SCRATCH/theirs/link"
  check_refused "$SCRATCH/theirs/link"
}

@test "a link of one's own to a directory is fine, and shows nowhere" {
  mkdir -m 700 "$SCRATCH/real"
  ln -s real "$SCRATCH/link"
  cat >>"$SCRATCH/app.py" <<'PY'
import os
with open(module.__file__) as f:
    print(os.readlink(f"/proc/self/fd/{f.fileno()}"))
PY
  MPIIO_CACHE_DIR=$SCRATCH/link MPIIO_CACHE_LOG=info same_as_plain on_mpiexec 2 "${APP[@]}"
  [[ $(said) == *'active: 2 ranks'* ]]
}

@test "two jobs that see different files at the same path get each its own" {
  mkdir "$SCRATCH"/{one,two}
  echo 'value = 1' >"$SCRATCH/one/module.py"
  echo 'value = 2' >"$SCRATCH/two/module.py"
  in_tree() { launch unshare --mount sh \
    -c "mount --bind $SCRATCH/$1 $SCRATCH/lib && exec mpiexec.mpich -n 2 ${APP[*]}"; }
  both() { in_tree one & in_tree two; local rc=$?; wait $! && return "$rc"; }
  MPIIO_CACHE_LOG=info same_as_plain both
  [[ $(said | grep -c 'active: 2 ranks') == 2 ]]
}

# --- Rights -----------------------------------------------------------------------------------------------------------

# Files that root and group 5 may read, in the cached tree.
make_secrets() {
  echo 'value = "of root"' >"$SCRATCH/lib/secret.py"
  chmod 600 "$SCRATCH/lib/secret.py"
  echo 'value = "of the group"' >"$SCRATCH/lib/shared.py"
  chown 65533:5 "$SCRATCH/lib/shared.py"
  chmod 640 "$SCRATCH/lib/shared.py"
  mkdir -m 700 "$SCRATCH/lib/closed"
  chown 65533 "$SCRATCH/lib/closed"
  touch "$SCRATCH/lib/closed/inside.py"
  cat >"$SCRATCH/lib/look.py" <<PY
import os
def look():
    seen = []
    for name in ("secret.py", "shared.py", "closed/inside.py", "closed", "closed/nothing"):
        path = "$SCRATCH/lib/" + name
        for call in (os.stat, lambda p: open(p).read(), os.listdir, lambda p: os.access(p, os.R_OK)):
            try:
                result = call(path)
                seen.append(result if isinstance(result, (str, bool, list)) else "fine")
            except OSError as error:
                seen.append(error.errno)
    return seen
PY
}

@test "a job is told what its user may read, and no more" {
  make_secrets
  cat >>"$SCRATCH/app.py" <<'PY'
import look
print(look.look())
PY
  for options in "--reuid 65534 --regid 65534 --clear-groups" "--reuid 65534 --regid 65534 --groups 5" \
    "--reuid 65533 --regid 65533 --clear-groups"; do
    # shellcheck disable=SC2086
    job() { launch setpriv $options env HOME=/tmp mpiexec.mpich -n 2 "${APP[@]}"; }
    MPIIO_CACHE_LOG=info same_as_plain job
    [[ $(said) == *'active: 2 ranks'* ]]
  done
}

@test "whoever gives up rights, or moves to another tree, is told what he may see from then on" {
  make_secrets
  cat >"$SCRATCH/drops.py" <<PY
import ctypes, os, sys
sys.path.insert(0, "$SCRATCH/lib")
sys.dont_write_bytecode = True
import look
libc = ctypes.CDLL(None, use_errno=True)
class Head(ctypes.Structure): _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]
def no_capabilities():
    return libc.capset(ctypes.byref(Head(0x20080522, 0)), ctypes.byref((ctypes.c_uint32 * 6)()))
def to_nobody_and_back():
    os.seteuid(65534)
    seen = look.look()
    os.seteuid(0)
    return seen
def empty_tree():
    os.mkdir("$SCRATCH/empty%d" % os.getpid())
    os.chroot("$SCRATCH/empty%d" % os.getpid())
def own_namespace():
    libc.unshare(0x00020000)
    assert libc.mount(b"none", b"/", None, (1 << 14) | (1 << 18), None) == 0
    assert libc.mount(b"tmpfs", b"$SCRATCH/lib", b"tmpfs", 0, None) == 0
drops = {
    "setuid": lambda: os.setuid(65534), "seteuid": lambda: os.seteuid(65534),
    "setreuid": lambda: os.setreuid(65534, 65534), "setresuid": lambda: os.setresuid(65534, 65534, 65534),
    "setfsuid": lambda: libc.setfsuid(65534) and None,
    "setgid": lambda: (os.setgid(5), os.setgroups([]), os.setuid(65534)) and None,
    "setegid": lambda: (os.setegid(5), os.seteuid(65534)) and None,
    "setgroups": lambda: (os.setgroups([5]), os.setuid(65534)) and None,
    "initgroups": lambda: (os.initgroups("nobody", 5), os.setuid(65534)) and None,
    "capset": no_capabilities, "back": to_nobody_and_back, "chroot": empty_tree, "unshare": own_namespace,
}
before = look.look()
for name, drop in drops.items():
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        line = (name, drop(), look.look())
        os.write(1, (repr(line) + "\n").encode())
        os._exit(0)
    os.waitpid(pid, 0)
print(before == look.look(), before)
# And the rank itself, by whose rights the others' questions were answered.
sys.stdout.flush()
os.setresgid(65534, 65534, 65534) if len(sys.argv) > 1 else None
os.setresuid(65534, 65534, 65534)
print(look.look())
PY
  MPIIO_CACHE_LOG=info same_as_plain on_mpiexec 2 "$PYTHON" "$SCRATCH/drops.py"
  cat "$CACHED/stdout"
  [[ $(said) == *'active: 2 ranks'* ]]
  # The test itself sees a difference: both kinds of answers are among them.
  grep -q "'setuid', None, .*13" "$CACHED/stdout"
  grep -q "^True .*of root" "$CACHED/stdout"
  grep -q "'chroot', None, \[2, 2" "$CACHED/stdout"
}

@test "a change of root that fails changes nothing, for children neither" {
  make_secrets
  cat >"$SCRATCH/fails.py" <<'PY'
import os, subprocess, sys
for path in "/nowhere", "/etc/passwd", "/etc/passwd/x", "x" * 5000:
    try: os.chroot(path)
    except OSError as error: print(error)
sys.stdout.flush()
subprocess.run([sys.executable, "-c", "print('child')"])
PY
  MPIIO_CACHE_LOG=info same_as_plain on_mpiexec 2 "$PYTHON" "$SCRATCH/fails.py"
  [[ $(grep -c child "$CACHED/stdout") == 2 && $(grep -c Errno "$CACHED/stdout") == 8 ]]
  [[ $(said) == *'active: 2 ranks'* && $(said) != *inactive* ]]
}

@test "rank 0 that gives up rights ends the cache for all; the others' answers stay their own" {
  make_secrets
  cat >"$SCRATCH/one.py" <<PY
import os, sys, time
sys.path.insert(0, "$SCRATCH/lib")
sys.dont_write_bytecode = True
import look
rank = int(os.environ["PMI_RANK"])
def wait_for(name):
    for _ in range(2000):
        if os.path.exists(name): return
        time.sleep(0.01)
if rank == 0:
    os.setgroups([]); os.setuid(65534)
    open("$SCRATCH/gone/dropped", "w").close()
else:
    wait_for("$SCRATCH/gone/dropped")
print(rank, look.look())
PY
  mkdir -m 777 "$SCRATCH/gone"
  run_plain on_hosts 2 2 "$PYTHON" "$SCRATCH/one.py"
  rm "$SCRATCH/gone/dropped"
  MPIIO_CACHE_LOG=info run_cached on_hosts 2 2 "$PYTHON" "$SCRATCH/one.py"
  assert_same
  [[ $(said) == *'active: 4 ranks'* ]]
}

@test "a guest with fewer rights than its rank is told what it may read" {
  make_secrets
  cat >"$SCRATCH/guest.py" <<PY
import sys
sys.path.insert(0, "$SCRATCH/lib")
sys.dont_write_bytecode = True
import look
print(sys.argv[1:], look.look())
PY
  cat >>"$SCRATCH/app.py" <<PY
import look, os, subprocess
if os.environ["PMI_RANK"] == "0":
    print(look.look())
    for options in (["--bounding-set=-all", "--inh-caps=-all"], ["--groups=5"], ["--reuid=65534", "--clear-groups"],
                    []):
        out = subprocess.run(["setpriv"] * bool(options) + options + [sys.executable, "$SCRATCH/guest.py"] + options,
                             capture_output=True, text=True)
        print(out.returncode, out.stdout, out.stderr)
PY
  run_plain on_mpiexec 2 "${APP[@]}"
  MPIIO_CACHE_STATS=$SCRATCH/stats.json run_cached on_mpiexec 2 "${APP[@]}"
  assert_same
  cat "$CACHED/stdout"
  grep -q 'bounding-set.*13' "$CACHED/stdout"
  (($(stat_of "$SCRATCH/stats.json" .guests) >= 1))
}

# Rank 0 may read what rank 1 may not.
@test "ranks that were started with different rights are not answered by each other's" {
  local less
  echo 'value = "secret"' >"$SCRATCH/lib/secret.py"
  chmod 600 "$SCRATCH/lib/secret.py"
  chown 65534:65534 "$SCRATCH/lib/secret.py"
  cat >>"$SCRATCH/app.py" <<'PY'
import os
try:
    import secret
    print(os.environ["PMI_RANK"], secret.value)
except PermissionError as error:
    print(os.environ["PMI_RANK"], error)
PY
  # All ranks are there at once: no agent ends before the last rank comes, and the root's hears of each node.
  cat >"$SCRATCH/together.py" <<'PY'
import os, runpy, sys, time
there = "%s/%s" % (sys.argv[1], "mpiio_cache" in os.environ.get("LD_PRELOAD", ""))
os.makedirs(there, exist_ok=True)
runpy.run_path(sys.argv[2])
open("%s/%s" % (there, os.environ["PMI_RANK"]), "w").close()
while len(os.listdir(there)) < int(os.environ["PMI_SIZE"]):
    time.sleep(0.01)
PY
  together() {
    rm -rf "$SCRATCH/there"
    MPIIO_CACHE_LOG=info same_as_plain "$@" "$PYTHON" "$SCRATCH/together.py" "$SCRATCH/there" "$SCRATCH/app.py"
  }
  for less in '--bounding-set -dac_override,-dac_read_search' '--groups 65533' '--regid 65533 --clear-groups'; do
    cat >"$SCRATCH/task.sh" <<SH
[[ \$PMI_RANK != "\$LESS" ]] || exec setpriv $less "\$@"
exec "\$@"
SH
    for LESS in 1 0; do
      echo "rank $LESS with $less"
      export LESS
      together on_mpiexec 2 bash "$SCRATCH/task.sh"
      said
      [[ $(said) \
        == *'inactive: the ranks of a node were started with different rights'*'Start all ranks as the same user'* ]]
    done
  done
  # The same number in a user namespace is not root any more.
  cat >"$SCRATCH/task.sh" <<SH
[[ \$PMI_RANK != 1 ]] || exec unshare --user --map-root-user "\$@"
exec "\$@"
SH
  if unshare --user --map-root-user true 2>/dev/null; then
    together on_mpiexec 2 bash "$SCRATCH/task.sh"
    [[ $(said) == *'inactive: the ranks of a node were started with different rights'* ]]
    echo 'exec unshare --user --map-root-user "$@"' >"$SCRATCH/task.sh"
    # Seen: MPI aborted, as neither may look into the other's /proc. To an agent both are the same user.
    MPIIO_CACHE_LOG=info same_as_plain on_mpiexec 2 bash "$SCRATCH/task.sh" "${APP[@]}"
    if is_by_mpi; then
      [[ $(said) == *'inactive: the ranks of a node were started with different rights'*'in one container'* ]]
    else
      [[ $(said) == *'active: 2 ranks'* ]]
    fi
    job() { launch unshare --user --map-root-user mpiexec.mpich -n 2 "${APP[@]}"; }
    MPIIO_CACHE_LOG=info same_as_plain job
    [[ $(said) == *'active: 2 ranks'* ]]
  fi
  # On another node, and nothing is said against those that all have given up the same.
  cat >"$SCRATCH/task.sh" <<SH
[[ \$PMI_RANK != 2 ]] || exec setpriv --groups 65533 "\$@"
exec "\$@"
SH
  together on_hosts 3 1 bash "$SCRATCH/task.sh"
  said
  if is_by_mpi; then
    [[ $(said) == *'inactive: the ranks of the nodes were started with different rights'* ]]
  else # only that node is not served
    [[ $(said) == *'node 2 has other rights'* && $(said) == *'active: 3 ranks'* ]]
  fi
  echo "exec setpriv --bounding-set -dac_override,-dac_read_search \"\$@\"" >"$SCRATCH/task.sh"
  MPIIO_CACHE_LOG=info same_as_plain on_mpiexec 2 bash "$SCRATCH/task.sh" "${APP[@]}"
  grep -q 'Permission denied' "$CACHED/stdout"
  [[ $(said) == *'active: 2 ranks'* ]]
}

# --- Programs with more rights than their caller ----------------------------------------------------------------------

@test "a setuid program takes nothing from its caller's environment" {
  local libraries=/usr/lib/x86_64-linux-gnu
  [[ -d $libraries ]] || skip "no $libraries here"
  mkdir "$SCRATCH"/mnt "$SCRATCH/out"
  chmod 700 "$SCRATCH/out"
  mount -t tmpfs -o mode=755 tmpfs "$SCRATCH/mnt"
  mkdir "$SCRATCH/mnt"/{upper,work,bin}
  cp -L "$PYTHON" "$SCRATCH/mnt/bin/python3"
  chmod 4755 "$SCRATCH/mnt/bin/python3"
  cat >"$SCRATCH/mnt/run" <<SH
mount -t overlay -o lowerdir=$libraries,upperdir=$SCRATCH/mnt/upper,workdir=$SCRATCH/mnt/work overlay $libraries ||
  exit 77
cp $MIOC_LIBRARY $libraries/libmpiio_cache.so && chmod 4755 $libraries/libmpiio_cache.so
export LD_PRELOAD=libmpiio_cache.so MPIIO_CACHE_LOG=info MPIIO_CACHE_STATS=$SCRATCH/out/stats MPIIO_CACHE_DISABLE=1
exec setpriv --reuid 65534 --regid 65534 --clear-groups $SCRATCH/mnt/bin/python3 -Ic '
import os
print(os.geteuid(), os.getuid(), "libmpiio_cache" in open("/proc/self/maps").read())'
SH
  run unshare --mount sh "$SCRATCH/mnt/run"
  echo "$output"
  ((status != 77)) || skip "no overlay of $libraries here"
  # It is preloaded indeed, and yet silent, and root's privileges wrote no file.
  [[ $output == "0 65534 True" ]]
  [[ -z $(ls -A "$SCRATCH/out") ]]
}
