# Filesystems that find a file by other names than its directory lists: what a listing proves, and what is shared.

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  need_command jq
  SHARED=$SCRATCH/shared SOURCE=$SCRATCH/source
  mkdir -p "$SOURCE" "$SHARED"
  export SCRATCH MPIIO_CACHE_STATS=$SCRATCH/stats.json
  cat >"$SCRATCH/app.py" <<'PY'
import os, sys
top, me = sys.argv[1], int(os.environ["PMI_RANK"])
scratch = os.environ["SCRATCH"]
def meet(): # both ranks
    for pipe, writer in ("a", 0), ("b", 1):
        os.close(os.open(scratch + "/" + pipe, os.O_WRONLY if me == writer else os.O_RDONLY))
def say(name):
    try:
        with open(os.path.join(top, name)) as f: text = f.read()
        print(me, name, os.stat(f.name).st_size, text, os.access(f.name, os.R_OK), flush=True)
    except OSError as error:
        print(me, name, type(error).__name__, flush=True)
names = ["Readme.txt", "README.TXT", "readme.txt", "pkg/Module.py", "PKG/Module.py", "pkg/MODULE.PY", "Pkg/none.py",
         "words/plain.py", "words/PLAIN.py", "words/gro\u0308\u00dfe.txt", "words/GR\u00d6SSE.TXT", "words/none.py"]
names += ["none%d.txt" % i for i in range(50)]
for folder in "", "pkg", "words":
    print(me, sorted(os.listdir(os.path.join(top, folder))), flush=True)
meet()
for name in names: say(name)
meet()
if me == 0: # by the listed names
    for name in "Readme.txt", "pkg/Module.py":
        with open(os.path.join(top, name), "a") as f: f.write(" and more")
meet()
for name in names[:6]: say(name)
PY
  mkfifo "$SCRATCH/a" "$SCRATCH/b"
}

teardown() {
  ! mountpoint -q "$SCRATCH/image" || umount "$SCRATCH/image"
  helper_teardown
}

# FOLDER
fill() {
  rm -rf "${1:?}"/{Readme.txt,pkg,words}
  mkdir "$1/pkg" "$1/words"
  echo -n readme >"$1/Readme.txt"
  echo -n module >"$1/pkg/Module.py"
  echo -n plain >"$1/words/plain.py"
  echo -n size >"$1/words/größe.txt"
}

# FOLDER TOP: plain and cached, which must agree.
agrees() {
  fill "$1"
  run_plain on_mpiexec 2 "$PYTHON" -S "$SCRATCH/app.py" "$2"
  [[ $PLAIN_RC == 0 ]] || { cat "$PLAIN/stderr"; return 1; }
  fill "$1"
  : >"$SCRATCH/log"
  MPIIO_CACHE_PATHS=$2 run_cached on_mpiexec 2 "$PYTHON" -S "$SCRATCH/app.py" "$2"
  assert_same
  [[ $(stat_of "$SCRATCH/stats.json" .line) == *'active: 2 ranks on 1 node'* ]]
}

@test "where names are found in any case, also behind FUSE or NFS, a listing hides none" {
  mount_shared "$SOURCE" "$SHARED" --dir-timeout 0 --file-attr-timeout 0 --fold-case --log "$SCRATCH/log"
  agrees "$SOURCE" "$SHARED"
  grep -q '^0 README.TXT 6 readme True$' "$PLAIN/stdout" # it did fold
  grep -q '^0 README.TXT 15 readme and more True$' "$PLAIN/stdout"
}

@test "where names are exact, a listing proves what is not there, and other cases cost one look" {
  mount_shared "$SOURCE" "$SHARED" --dir-timeout 0 --file-attr-timeout 0 --log "$SCRATCH/log"
  agrees "$SOURCE" "$SHARED"
  grep -q '^0 README.TXT FileNotFoundError$' "$PLAIN/stdout"
  grep -E ' /(none[0-9]|words/none|README|PKG)' "$SCRATCH/log" || true
  # 50 names that are not there, in two ranks; and one that a look at is needed for, and one beside a name beyond ASCII.
  (($(grep -c ' /none[0-9]' "$SCRATCH/log") == 0))
  (($(grep -c '^lookup /README.TXT ' "$SCRATCH/log") <= 2 && $(grep -c '^lookup /words/none.py ' "$SCRATCH/log") <= 2))
}

@test "a directory of ext4 that folds case" {
  need_root
  need_command mkfs.ext4
  truncate -s 32M "$SCRATCH/ext4"
  mkfs.ext4 -q -O casefold -E encoding=utf8 "$SCRATCH/ext4" 2>"$SCRATCH/said" ||
    skip "mkfs.ext4: $(head -n 1 "$SCRATCH/said")"
  mkdir "$SCRATCH/image"
  mount -o loop "$SCRATCH/ext4" "$SCRATCH/image" 2>"$SCRATCH/said" ||
    skip "this kernel cannot: $(head -n 1 "$SCRATCH/said")"
  mkdir "$SCRATCH/image/top"
  chattr +F "$SCRATCH/image/top"
  agrees "$SCRATCH/image/top" "$SCRATCH/image/top"
  grep -q '^0 words/GRÖSSE.TXT 4 size True$' "$PLAIN/stdout"
}

@test "a directory of tmpfs that folds case" {
  need_root
  mkdir "$SCRATCH/image"
  mount -t tmpfs -o casefold=utf8-12.1.0 tmpfs "$SCRATCH/image" 2>"$SCRATCH/said" ||
    skip "this kernel cannot: $(head -n 1 "$SCRATCH/said")"
  mkdir "$SCRATCH/image/top"
  chattr +F "$SCRATCH/image/top"
  agrees "$SCRATCH/image/top" "$SCRATCH/image/top"
  grep -q '^0 words/GRÖSSE.TXT 4 size True$' "$PLAIN/stdout"
}
