# How the dynamic loader is served: patched, or plain, and that the line and the statistics say so.

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  need_command jq
  export MPIIO_CACHE_PATHS=/usr/lib/python3 MPIIO_CACHE_STATS=$SCRATCH/stats.json MPIIO_CACHE_LOG=info
  # The name of an object in memory tells where its pages come from.
  PROGRAM=("$PYTHON" -c '
import numpy, scipy.linalg
print(numpy.linalg.norm([3, 4]), numpy.core._multiarray_umath.__file__, scipy.linalg._fblas.__file__)
import os
if os.environ.get("SHOW_MAPS"):
    for line in open("/proc/self/maps"):
        if "_multiarray_umath" in line and " r-xp " in line:
            print(line.split()[-1])')
}

teardown() { helper_teardown; }

stats() { stat_of "$SCRATCH/stats.json" "$1"; }

# Two ranks as plain; $1: what the line says of the loader; the rest: what starts the launcher.
says() {
  run_plain on_mpiexec 2 "${PROGRAM[@]}"
  [[ $PLAIN_RC == 0 ]]
  run_cached launch "${@:2}" mpiexec.mpich -n 2 "${PROGRAM[@]}"
  assert_same
  said
  jq -c '[.loader, .calls.loader]' "$SCRATCH/stats.json"
  [[ $(said) == *", loader $1"* ]]
}

is_patched() {
  (($(stats .loader.patched) == ${1:-2}))
  (($(stats .loader.unpatched) == 0))
  (($(stats .loader.loads) > 50))
  (($(stats '.calls.loader.hit + .calls.loader.miss') > 50))
}

is_plain_because_of() {
  (($(stats .loader.patched) == 0))
  (($(stats .loader.unpatched) == 2))
  (($(stats ".loader.why.$1") == 2))
  (($(stats .loader.loads) == 0))
  (($(stats .calls.loader.calls) == 0))
}

@test "libraries are served, and all ranks of a node map the same file" {
  says patch
  is_patched
  SHOW_MAPS=1 run_cached on_mpiexec 4 "${PROGRAM[@]}"
  grep /numpy/core/_multiarray_umath "$CACHED/stdout" | grep -v ^5 | sort -u
  # Four ranks, one name, that ends in the original path.
  (($(grep -c '^/dev/shm/mpiio_cache-.*/usr/lib/python3/dist-packages/numpy/core/_multiarray_umath.*\.so$' \
    "$CACHED/stdout") == 4))
  (($(grep '^/dev/shm/mpiio_cache-' "$CACHED/stdout" | sort -u | wc -l) == 1))
}

@test "MPIIO_CACHE_LOADER=plain leaves the loader alone" {
  MPIIO_CACHE_LOADER=plain says 'plain: MPIIO_CACHE_LOADER'
  is_plain_because_of setting
}

# WHAT: a program for setting it before the ranks' Python. UCX, which MPI brings, would complain of it itself.
write_wrapper() {
  export UCX_MEM_EVENTS=n
  gcc -o "$SCRATCH/wrapper" -x c - <<C
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    (void)argc;
    $1
    execv(argv[1], argv + 1);
    return 127;
}
C
}

@test "where memory that was written may not be executed the loader is left alone" {
  write_wrapper 'if (prctl(65 /* PR_SET_MDWE: Linux 6.3 */, 1, 0, 0, 0) != 0) return 77;'
  "$SCRATCH/wrapper" /bin/true || skip "this kernel has no PR_SET_MDWE"
  PROGRAM=("$SCRATCH/wrapper" "${PROGRAM[@]}")
  says "plain: ld.so's text may not be written"
  is_plain_because_of text
}

@test "where a filter forbids to make memory executable the loader is left alone" {
  write_wrapper '
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 4 /* PROT_EXEC */, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { 6, filter };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 1;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) return 1;'
  PROGRAM=("$SCRATCH/wrapper" "${PROGRAM[@]}")
  says "plain: ld.so's text may not be written"
  is_plain_because_of text
}

@test "where another preload has started a thread the loader is left alone" {
  gcc -shared -fPIC -o "$SCRATCH/thread.so" -x c - <<'C'
#include <pthread.h>
#include <string.h>
#include <unistd.h>
extern char *program_invocation_short_name;
static void *run(void *unused) { for (;;) pause(); return unused; }
__attribute__((constructor)) static void start(void)
{
    pthread_t thread;
    if (strncmp(program_invocation_short_name, "python", 6) == 0)
        pthread_create(&thread, NULL, run, NULL);
}
C
  PROGRAM=(env LD_PRELOAD="$SCRATCH/thread.so" "${PROGRAM[@]}")
  run_plain on_mpiexec 2 "${PROGRAM[@]}"
  PROGRAM[1]="LD_PRELOAD=$SCRATCH/thread.so:$MIOC_LIBRARY"
  run_cached on_mpiexec 2 "${PROGRAM[@]}"
  assert_same
  said
  [[ $(said) == *', loader plain: there are more threads'* ]]
  is_plain_because_of threads
}

@test "where nothing may be executed in the store only the searches are served" {
  need_root
  mkdir "$SCRATCH/noexec"
  mount -t tmpfs -o noexec tmpfs "$SCRATCH/noexec"
  MPIIO_CACHE_DIR=$SCRATCH/noexec says 'patch for searches only' || local failed=1
  has_no_stores "$SCRATCH/noexec"
  umount "$SCRATCH/noexec"
  [[ -z ${failed:-} ]]
  is_patched
  (($(stats .calls.loader.bytes) == 0))
}

@test "strace sees no signal of ours" {
  need_command strace
  SLACK=20 says patch strace -f -qq -e trace=none -e signal='!SIGCHLD,SIGFPE' -o "$SCRATCH/strace"
  is_patched
  cat "$SCRATCH/strace"
  [[ ! -s $SCRATCH/strace ]]
}

@test "a rank loads under gdb, which finds the original files and stops at no signal of ours" {
  need_command gdb
  cat >"$SCRATCH/app.py" <<'PY'
import os, sys, time
import numpy
if int(os.environ["PMI_RANK"]) == 1:
    print(os.getpid(), file=open(sys.argv[1] + ".new", "w"))
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    while "TracerPid:\t0\n" in open("/proc/self/status").read():
        time.sleep(0.05)
    time.sleep(0.2)
    import scipy.linalg
    print("under a debugger:", scipy.linalg.__name__)
PY
  PRELOAD=$MIOC_LIBRARY launch mpiexec.mpich -n 2 "$PYTHON" "$SCRATCH/app.py" "$SCRATCH/pid" >"$SCRATCH/out" 2>&1 \
    </dev/null &
  local job=$! deadline=$((SECONDS + 30))
  until [[ -s $SCRATCH/pid ]] || ((SECONDS > deadline)); do sleep 0.1; done
  timeout 60 gdb -nx -batch -ex 'info sharedlibrary' -ex continue -p "$(<"$SCRATCH/pid")" >"$SCRATCH/gdb" 2>&1 \
    </dev/null
  wait "$job"
  grep -E '^(Thread|Program|\[Inf).*(SIG|exited)|multiarray_umath' "$SCRATCH/gdb"
  grep -q ' /usr/lib/python3/dist-packages/numpy/core/_multiarray_umath' "$SCRATCH/gdb"
  grep -q 'under a debugger: scipy.linalg' "$SCRATCH/out"
}

@test "AddressSanitizer's library is preloaded before ours" {
  local asan
  asan=$(gcc -print-file-name=libasan.so)
  [[ $asan == /* ]] || skip "gcc has no libasan.so here"
  asan=$(realpath "$asan")
  run_plain on_mpiexec 2 env LD_PRELOAD="$asan" ASAN_OPTIONS=detect_leaks=0 "${PROGRAM[@]}"
  [[ $PLAIN_RC == 0 ]]
  SLACK=10 run_cached on_mpiexec 2 env LD_PRELOAD="$asan:$MIOC_LIBRARY" ASAN_OPTIONS=detect_leaks=0 "${PROGRAM[@]}"
  SLACK=10 assert_same
  said
  [[ $(said) == *", loader patch"* ]]
  is_patched
}

# RUNS: UCX, on which MPICH is built, rewrites mmap() and the like in memory. (Its other mode,
# UCX_MEM_MMAP_HOOK_MODE=reloc, also replaces dlopen(). It hangs here in a plain run already, when dlsym() calls UCX's
# malloc.)
load_with_ucx() {
  local run order orders=(init,numpy,scipy.linalg numpy,init,scipy.linalg numpy,scipy.linalg,init)
  cat >"$SCRATCH/ucx.py" <<'PY'
import os, sys, threading
rank = int(os.environ["PMI_RANK"])
sys.path.append(sys.argv[1])
import mioc_mpi
for name in sys.argv[2].split(","):
    if name == "init":
        mioc_mpi.init_thread(3)
    else:
        __import__(name)
threads = [threading.Thread(target=__import__, args=(name,))
           for name in ("scipy.spatial", "scipy.ndimage", "lxml.etree")]
for thread in threads: thread.start()
total = sum(mioc_mpi.allreduce_sum(float(rank + i)) for i in range(200))
for thread in threads: thread.join()
import numpy
print(rank, mioc_mpi.size(), total, numpy.ones(1 << 22).sum(), len([n for n in sys.modules if n.startswith("scipy.")]),
      sys.modules["lxml.etree"].__file__)
mioc_mpi.finalize()
PY
  for ((run = 0; run < $1; run++)); do
    order=${orders[run % 3]}
    echo "run $run: $order"
    # All runs print the same.
    ((run > 0)) || run_plain on_mpiexec 3 "$PYTHON" "$SCRATCH/ucx.py" "$MIOC_BUILD/lib" "$order"
    [[ $PLAIN_RC == 0 && $(wc -l <"$PLAIN/stdout") == 3 ]]
    SLACK=10 run_cached on_mpiexec 3 "$PYTHON" "$SCRATCH/ucx.py" "$MIOC_BUILD/lib" "$order"
    SLACK=10 assert_same
    [[ $(said) == *", loader patch"* ]]
    is_patched 3
  done
}

@test "programs that start MPI between their loads, with UCX's hooks in memory" { load_with_ucx 3; }

# bats test_tags=all
@test "programs that start MPI between their loads, with UCX's hooks in memory, 20 times" { load_with_ucx 20; }
