# Descriptors of copies: what a program can do with one, and what others see of it. Plain and cached agree.

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  mkdir -p "$SCRATCH/lib"
  echo "value = 'package'" >"$SCRATCH/lib/package.py"
  head -c 16384 /dev/urandom | tee "$SCRATCH/lib/bytes0.bin" >"$SCRATCH/lib/bytes1.bin" # one for each rank
  chmod 644 "$SCRATCH"/lib/*.bin
  touch -d @1234567890 "$SCRATCH"/lib/*.bin
  mkfifo "$SCRATCH/a" "$SCRATCH/b"
  export SCRATCH MPIIO_CACHE_PATHS=$SCRATCH/lib PYTHONPATH=$SCRATCH/lib PYTHONDONTWRITEBYTECODE=1
}

teardown() { helper_teardown; }

# Runs PROGRAM (on standard input) in 2 ranks, plain and cached. The cached run must be active and open the file from
# the store.
check() {
  { cat <<'PY'
import os, sys, package
me, scratch = int(os.environ["PMI_RANK"]), os.environ["SCRATCH"]
lib = scratch + "/lib"
path = lib + "/bytes%d.bin" % me
def meet(): # both ranks; each takes the other's end of the two pipes
    for pipe, writer in ("a", 0), ("b", 1):
        os.close(os.open(scratch + "/" + pipe, os.O_WRONLY if me == writer else os.O_RDONLY))
PY
    cat; } >"$SCRATCH/app.py"
  run_plain on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py"
  MPIIO_CACHE_LOG=info MPIIO_CACHE_STATS=$SCRATCH/stats.json run_cached on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py"
  cat "$PLAIN/stdout" "$PLAIN/stderr"
  assert_same
  [[ $PLAIN_RC == 0 && $(said) == *'active: 2 ranks'* ]]
  (($(stat_of "$SCRATCH/stats.json" '.calls.open | .hit + .miss') > 4))
}

@test "a descriptor, its dups and those that children inherit share one offset" {
  check <<'PY'
import subprocess
f = os.open(path, os.O_RDONLY)
def at(what):
    print(me, what, os.lseek(f, 0, os.SEEK_CUR), flush=True)
def child(act):
    pid = os.fork()
    if pid == 0:
        act()
        os._exit(0)
    os.waitpid(pid, 0)
subprocess.run(["head", "-c", "10"], stdin=f, stdout=subprocess.DEVNULL)
at("subprocess")
child(lambda: (os.dup2(f, 9), os.read(9, 100)))
at("fork, dup2")
child(lambda: os.read(os.dup(f), 100))
at("fork, dup")
subprocess.run([sys.executable, "-c", "import os, sys; os.read(int(sys.argv[1]), 7)", str(f)], pass_fds=[f])
at("an interpreter that inherits it")
subprocess.run("read -r -N 3 <&%d; dd bs=11 count=1 <&%d >/dev/null 2>&1" % (f, f), shell=True, pass_fds=[f],
               executable="/bin/bash")
at("a shell and what it starts")
PY
}

@test "every function of libc that takes a descriptor is in the table of calls on a copy" {
  need_command gcc
  need_command dpkg
  # The table's other names are commands of fcntl and ioctl, and further ways to call a function.
  diff <("$PYTHON" "$PROGRAMS/descriptor_names.py") \
    <("$MIOC_BUILD/programs/differential" names "$SCRATCH" | sort -u |
    comm -12 - <("$PYTHON" "$PROGRAMS/descriptor_names.py"))
}

# A forkserver or multiprocessing passes open files on; who gets one may have our library or not.
@test "a descriptor that leaves by a message is the file's own for whoever gets it, and goes on sharing its offset" {
  check <<'PY'
import socket, subprocess
child = """
import os, socket, sys
s = socket.socket(fileno=int(sys.argv[1]))
fds = socket.recv_fds(s, 100, 2)[1]
real = os.stat(sys.argv[2])
for fd in fds:
    st = os.fstat(fd)
    print(os.lseek(fd, 0, 1), st.st_size == real.st_size, st.st_mode == real.st_mode,
          st.st_ino == real.st_ino, st.st_dev == real.st_dev, st.st_mtime_ns == real.st_mtime_ns,
          os.readlink("/proc/self/fd/%d" % fd) == sys.argv[2])
print(len(os.read(fds[0], 50)))
"""
for without in 0, 1:
    env = {k: v for k, v in os.environ.items() if not (without and k == "LD_PRELOAD")}
    ours, its = socket.socketpair()
    p = subprocess.Popen([sys.executable, "-S", "-c", child, str(its.fileno()), path], pass_fds=[its.fileno()], env=env,
                         stdout=subprocess.PIPE, text=True)
    f, g = os.open(path, os.O_RDONLY), os.open(path, os.O_RDONLY)
    shared = os.dup(f)
    os.lseek(f, 100, os.SEEK_SET)
    socket.send_fds(ours, [b"x"], [f, g])
    print(me, "without" if without else "with", p.communicate()[0].splitlines(), os.lseek(f, 0, 1),
          os.lseek(shared, 0, 1), flush=True)
PY
}

@test "a program that inherits a descriptor sees the file's attributes, name and filesystem by it, whatever it is" {
  check <<'PY'
import subprocess
for command in ("stat -L -c '%a %s %Y %i %d %h' /dev/stdin", "stat -L -c '%a %s %Y %i %d' /proc/self/fd/0",
                "readlink /proc/self/fd/0", "realpath /dev/stdin", "stat -f -L -c %T /dev/stdin",
                "test -w /dev/stdin; echo $?", "ls -lL --time-style=+%s /dev/stdin",
                "find -L /dev/stdin -perm 644 -size 32 -printf '%m %s'", "cmp /dev/stdin %s && echo same" % path,
                "chmod 640 /dev/stdin; stat -c %%a %s; chmod 644 %s" % (path, path)):
    with open(path, "rb") as f:
        p = subprocess.run(command, shell=True, stdin=f, capture_output=True, text=True)
        print(me, command, p.returncode, p.stdout, p.stderr, os.fstat(f.fileno()).st_mode, flush=True)
PY
}

@test "ways to copy: the file's own flags, extents and clones, and the same bytes" {
  check <<'PY'
import fcntl, shutil, socket, struct
to = "%s/copies%d/" % (scratch, me)
shutil.rmtree(to, ignore_errors=True)
os.makedirs(to)
want = open(path, "rb").read()
def attempt(f, *args):
    try:
        return f(*args)
    except OSError as error:
        return error.strerror
def same(name):
    with open(to + name, "rb") as f:
        return f.read() == want
print(me, same(os.path.basename(shutil.copyfile(path, to + "a"))),
      os.stat(shutil.copy2(path, to + "b")).st_mtime_ns == os.stat(path).st_mtime_ns)
for name, copy in (("sendfile", lambda a, b: os.sendfile(b, a, 0, 1 << 20)),
                   ("range", lambda a, b: os.copy_file_range(a, b, 1 << 20)),
                   ("clone", lambda a, b: fcntl.ioctl(b, 0x40049409, a))):
    with open(path, "rb") as a, open(to + name, "wb") as b:
        print(me, name, attempt(copy, a.fileno(), b.fileno()), same(name), os.lseek(a.fileno(), 0, 1))
with open(path, "rb") as f:
    a = f.fileno()
    print(me, attempt(lambda: fcntl.ioctl(a, 0x80086601, b"\0" * 8)),
          attempt(lambda: fcntl.ioctl(a, 0x801c581f, b"\0" * 28)), fcntl.ioctl(a, 0x541b, b"\0" * 4),
          os.fpathconf(a, "PC_LINK_MAX"), os.fstatvfs(a).f_fsid == os.statvfs(path).f_fsid,
          attempt(os.ftruncate, a, 0), attempt(os.write, a, b"x"), attempt(fcntl.fcntl, a, 1034))
with open(path, "rb") as f:
    pair = socket.socketpair()
    print(me, "socket", pair[0].sendfile(f), pair[1].recv(16384, socket.MSG_WAITALL) == want)
PY
}

# Not every data base has a lock. The reader opens this one before anybody writes, so only its contents tell that it is
# a data base.
@test "a data base that is mapped shows what another process writes to it" {
  printf '0123456789abcdef\xde\xc0\xef\xbe and old' | dd of="$SCRATCH/lib/data" bs=8192 conv=sync 2>/dev/null
  check <<'PY'
import mmap
data = lib + "/data"
print(me, os.path.exists(data), len(os.listdir(lib)), len(open(path).read(0)))
with open(data, "rb") as f:
    shared = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
    os.lseek(f.fileno(), 20, os.SEEK_SET)
    for text in b" and old", b" and new", b" and old":
        meet()
        if me == 1:
            with open(data, "r+b") as w:
                os.pwrite(w.fileno(), text, 20)
        meet()
        print(me, shared[20:28], os.pread(f.fileno(), 8, 20))
PY
}

@test "an LMDB environment that a reader keeps open shows what another process commits, with its lock and without" {
  "$PYTHON" -c 'import lmdb' 2>/dev/null || skip "python3-lmdb is not installed"
  cat >"$SCRATCH/make.py" <<'PY'
import lmdb, os, sys
with lmdb.open(sys.argv[1], map_size=1 << 20) as e, e.begin(write=True) as t:
    t.put(b"k", b"old")
PY
  "$PYTHON" "$SCRATCH/make.py" "$SCRATCH/lib/words.lmdb"
  check <<'PY'
import lmdb
words = lib + "/words.lmdb"
print(me, len(os.listdir(words)) > 0, sum(len(open(path, "rb").read()) for _ in range(3)))
for lock in False, True: # what was written once is not cached any more
    e = lmdb.open(words, readonly=True, lock=lock)
    with e.begin() as t:
        print(me, lock, t.get(b"k"), flush=True)
    meet()
    if me == 1:
        e.close()
        with lmdb.open(words, map_size=1 << 20) as w, w.begin(write=True) as t:
            t.put(b"k", b"new%d" % lock)
    meet()
    if me == 0:
        with e.begin() as t:
            print(me, lock, t.get(b"k"), flush=True)
        e.close()
    meet()
if me == 0:
    with lmdb.open(words, map_size=1 << 20) as w, w.begin(write=True) as t:
        t.put(b"k", b"old")
PY
}

# Tools look for libraries by their names there.
@test "a library that is found by \$ORIGIN/.. has its real name in /proc/self/maps, however often it is found" {
  mkdir -p "$SCRATCH/lib/one/inner" "$SCRATCH/lib/two/inner" "$SCRATCH/lib/real.libs"
  echo 'int dep(void) { return 7; }' >"$SCRATCH/dep.c"
  echo 'int dep(void); int user(void) { return dep(); }' >"$SCRATCH/user.c"
  gcc -shared -fPIC -o "$SCRATCH/lib/real.libs/libmiocdep.so.1" -Wl,-soname,libmiocdep.so.1 "$SCRATCH/dep.c"
  for part in one two; do
    gcc -shared -fPIC -o "$SCRATCH/lib/$part/inner/user$part.so" "$SCRATCH/user.c" \
      "$SCRATCH/lib/real.libs/libmiocdep.so.1" -Wl,--enable-new-dtags,-rpath,'$ORIGIN/../../real.libs'
  done
  check <<'PY'
import ctypes
print(me, sum(len(open(path, "rb").read()) for _ in range(3)))
for part in ("one", "two") if me == 0 else ("two", "one"):
    print(me, ctypes.CDLL("%s/%s/inner/user%s.so" % (lib, part, part)).user())
maps = sorted({line.split(None, 5)[5].strip() for line in open("/proc/self/maps") if "libmiocdep" in line})
print(me, len(maps), [m.endswith(lib + "/real.libs/libmiocdep.so.1") for m in maps])
for m in maps: # and what stands there is the library that is loaded
    print(me, os.path.exists(m), ctypes.CDLL(m, mode=os.RTLD_NOLOAD).dep())
PY
}
