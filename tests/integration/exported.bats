# What holds for every exported function: tests/programs/exported*.c have a call of each that succeeds.

setup() {
  load helper
  helper_setup
  need_root # trusted attributes, groups
  need_command mpiexec.mpich
  EXPORTED=$PROGRAMS/exported.py
  MODULE=$MIOC_BUILD/programs/exported.so
  export MPIIO_CACHE_PATHS=$SCRATCH/files/library
}

teardown() { helper_teardown; }

# OUT [ROOM]: all cases in two ranks, a guest and a program that is no interpreter.
cases() {
  mkdir "$SCRATCH/$1"
  "$PYTHON" "$EXPORTED" --make "$SCRATCH/files"
  on_mpiexec 2 "$PYTHON" "$EXPORTED" "$SCRATCH/files" "$MODULE" "$MIOC_BUILD/programs/exported_main" "$SCRATCH/$1" \
    "${@:2}"
}

@test "every exported function has a case" {
  diff <(sed -e 's:/\*.*\*/::' "$MIOC_ROOT/preload/libmpiio_cache.map" | tr -d ' \n' |
    sed 's/.*global:\(.*\)local:.*/\1/' | tr ';' '\n' |
           sed '/^$/d' | sort) <("$PYTHON" "$EXPORTED" --names "$MODULE" | sort)
}

# Seen: 2, ENOENT, after dup, dup2, dup3, flock, lockf, fcntl and copy_file_range of a descriptor whose file is gone.
@test "a call that succeeds leaves errno alone, whatever was needed for it" {
  run_plain cases plain
  ((PLAIN_RC == 0))
  # The others must be seen to succeed, or nothing is tested. These never come back.
  [[ $("$PYTHON" "$EXPORTED" --idle "$SCRATCH/plain") \
    == "_Exit _exit abort execl execle execlp execv execve execveat execvp execvpe fexecve quick_exit" ]]
  MPIIO_CACHE_LOG=info run_cached cases cached
  ((CACHED_RC == 0))
  [[ $(said) == *'active: 2 ranks'* ]]
  "$PYTHON" "$EXPORTED" --compare "$SCRATCH/plain" "$SCRATCH/cached"
  MPIIO_CACHE_DISABLE=1 run_cached cases dormant
  ((CACHED_RC == 0))
  "$PYTHON" "$EXPORTED" --compare "$SCRATCH/plain" "$SCRATCH/dormant"
  # Tracing looks at errno itself.
  MPIIO_CACHE_STATS=1 MPIIO_CACHE_TRACE=$SCRATCH/trace run_cached cases traced
  ((CACHED_RC == 0))
  "$PYTHON" "$EXPORTED" --compare "$SCRATCH/plain" "$SCRATCH/traced"
}

# Seen: 8 KiB more for readlink, 4 KiB for open, fopen, access and others; a handler's open() was a segmentation fault.
@test "a dormant process takes less than 512 bytes of stack more for each call" {
  run_plain cases plain all
  ((PLAIN_RC == 0))
  MPIIO_CACHE_DISABLE=1 run_cached cases dormant all
  ((CACHED_RC == 0))
  "$PYTHON" "$EXPORTED" --frames "$SCRATCH/plain" "$SCRATCH/dormant"
}

@test "so does each call of a rank, and of a program beside it, on a small stack" {
  run_plain cases plain all
  ((PLAIN_RC == 0))
  for room in least 8192; do
    MPIIO_CACHE_LOG=info run_cached cases "$room" "$room"
    ((CACHED_RC == 0))
    [[ $(said) == *'active: 2 ranks'* ]]
    "$PYTHON" "$EXPORTED" --compare "$SCRATCH/plain" "$SCRATCH/$room"
    "$PYTHON" "$EXPORTED" --frames "$SCRATCH/plain" "$SCRATCH/$room"
  done
}

# NAME: MIOC_STACK_NAME of preload/base/stack.h, in bytes.
room_of() { sed -n "s/^#define MIOC_STACK_$1 (\([0-9]*\)u \* 1024u)$/\1 1024/p" "$MIOC_ROOT/preload/base/stack.h" |
  { read -r a b && echo "$((a * b))"; }; }

@test "what a call needs that is served, or told of, fits in the room that it asks for" {
  run_plain cases plain all
  ((PLAIN_RC == 0))
  spare=$(room_of SPARE)
  for kind in SERVED TOLD; do
    room=$(room_of "$kind")
    # A little more, so that there is room where it is asked for: the kernel's frame, and what is before.
    run_cached cases "$kind" "$((room + spare + 1024))"
    ((CACHED_RC == 0))
    "$PYTHON" "$EXPORTED" --frames "$SCRATCH/plain" "$SCRATCH/$kind" "$((room - spare))"
  done
}

@test "a handler on a small stack looks, writes, ends and execs as without us" {
  cat >"$SCRATCH/handler.c" <<'C'
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
static const char *path;
static int what;
static void on_signal(int number) {
    struct stat st;
    int fd = 1;
    (void)number;
    if (what == 'e') exit(0);
    if (what == 'x') execl("/bin/true", "true", NULL);
    if (what == 'l') _exit(stat(path, &st) == 0 && access(path, R_OK) == 0 ? 0 : 1);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (write(fd, "crash report\n", 13) != 13) _exit(1);
    _exit(mkdir(path, 0755) != 0 && rename(path, path) == 0 ? 0 : 2);
}
void run(const char *file, int work, int is_least) {
    size_t size = is_least ? sysconf(_SC_MINSIGSTKSZ) + 1024 : 8192;
    char *memory = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t stack = { .ss_sp = memory + 4096, .ss_size = size };
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };
    path = file;
    what = work;
    mprotect(memory, 4096, PROT_NONE);
    sigaltstack(&stack, NULL);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
}
int main(int argc, char **argv) {
    run(argv[1], argv[2][0], argv[3][0] == 'l');
    return 3;
}
C
  # Bound at the start: else ld.so takes 3 KiB in the handler, in the plain run too.
  gcc -Wl,-z,now -o "$SCRATCH/handler" "$SCRATCH/handler.c"
  gcc -Wl,-z,now -shared -fPIC -o "$SCRATCH/handler.so" "$SCRATCH/handler.c"
  mkdir -p "$MPIIO_CACHE_PATHS"
  cat >"$SCRATCH/app.py" <<'PY'
import ctypes, os, sys
path = sys.argv[2] + os.environ["PMI_RANK"]
os.path.exists(path)
ctypes.CDLL(sys.argv[1]).run(path.encode(), ord(sys.argv[3][0]), sys.argv[4] == "least")
PY
  for size in usual least; do
    for what in write look exit xec; do
      same_as_plain alone "$SCRATCH/handler" "$SCRATCH/report" "$what" "$size"
      ((CACHED_RC == 0))
      # In ranks, and in programs beside them that are no interpreters; of cached files.
      same_as_plain on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py" "$SCRATCH/handler.so" "$MPIIO_CACHE_PATHS/report" "$what" \
        "$size"
      ((CACHED_RC == 0))
      same_as_plain on_mpiexec 2 "$SCRATCH/handler" "$MPIIO_CACHE_PATHS/report0" "$what" "$size"
      ((CACHED_RC == 0))
    done
  done
}
