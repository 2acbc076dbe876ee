# How dlopen is served: by Syscall User Dispatch, or plain, and that the statistics say so.

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

is_dispatched() {
  (($(stats .loader.dispatch) > 50))
  (($(stats .loader.plain) == 0))
  (($(stats '.calls.loader.hit + .calls.loader.miss') > 50))
}

is_plain_because_of() {
  (($(stats .loader.dispatch) == 0))
  (($(stats .loader.plain) > 50))
  (($(stats ".loader.why.$1") == $(stats .loader.plain)))
  (($(stats .calls.loader.calls) == 0))
}

@test "libraries are loaded by dispatch, and all ranks of a node map the same file" {
  says dispatch
  is_dispatched
  SHOW_MAPS=1 run_cached on_mpiexec 4 "${PROGRAM[@]}"
  grep /numpy/core/_multiarray_umath "$CACHED/stdout" | grep -v ^5 | sort -u
  # Four ranks, one name, that ends in the original path.
  (($(grep -c '^/dev/shm/mpiio_cache-.*/usr/lib/python3/dist-packages/numpy/core/_multiarray_umath.*\.so$' "$CACHED/stdout") == 4))
  (($(grep '^/dev/shm/mpiio_cache-' "$CACHED/stdout" | sort -u | wc -l) == 1))
}

@test "MPIIO_CACHE_LOADER=plain leaves the loader alone" {
  MPIIO_CACHE_LOADER=plain says 'plain: MPIIO_CACHE_LOADER'
  is_plain_because_of setting
}

@test "a kernel whose dispatch can only spare a range serves as well" {
  says dispatch "$PYTHON" "$PROGRAMS/without_prctl.py" 2
  is_dispatched
}

@test "without dispatch in the kernel the loader is left alone" {
  says 'plain: the kernel' "$PYTHON" "$PROGRAMS/without_prctl.py" 1
  is_plain_because_of system
}

@test "where nothing may be executed in the store only the searches are served" {
  need_root
  mkdir "$SCRATCH/noexec"
  mount -t tmpfs -o noexec tmpfs "$SCRATCH/noexec"
  MPIIO_CACHE_DIR=$SCRATCH/noexec says 'dispatch for searches only' || local failed=1
  umount "$SCRATCH/noexec"
  [[ -z ${failed:-} ]]
  is_dispatched
  (($(stats .calls.loader.bytes) == 0))
}

@test "a traced process is left alone" {
  need_command strace
  SLACK=20 says dispatch strace -f -qq -e trace=none -e signal=SIGSYS -o "$SCRATCH/strace"
  is_plain_because_of traced
  [[ ! -s $SCRATCH/strace ]]
}

@test "gdb attached to a rank finds the original files and stops at no signal of ours" {
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
  PRELOAD=$MIOC_LIBRARY launch mpiexec.mpich -n 2 "$PYTHON" "$SCRATCH/app.py" "$SCRATCH/pid" >"$SCRATCH/out" 2>&1 </dev/null &
  local job=$! deadline=$((SECONDS + 30))
  until [[ -s $SCRATCH/pid ]] || ((SECONDS > deadline)); do sleep 0.1; done
  timeout 60 gdb -nx -batch -ex 'info sharedlibrary' -ex continue -p "$(<"$SCRATCH/pid")" >"$SCRATCH/gdb" 2>&1 </dev/null
  wait "$job"
  grep -E '^(Thread|Program|\[Inf).*(SIG|exited)|multiarray_umath' "$SCRATCH/gdb"
  ! grep -q SIGSYS "$SCRATCH/gdb"
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
  [[ $(said) == *", loader dispatch"* ]]
  is_dispatched
}

# RUNS: UCX, which MPICH sits upon, rewrites mmap() and the like in memory. (Its other way, UCX_MEM_MMAP_HOOK_MODE=reloc, which replaces
# dlopen() too, hangs in a plain run here already: in its own malloc, from dlsym().)
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
threads = [threading.Thread(target=__import__, args=(name,)) for name in ("scipy.spatial", "scipy.ndimage", "lxml.etree")]
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
    [[ $(said) == *", loader dispatch"* ]]
    is_dispatched
  done
}

@test "programs that start MPI between their loads, with UCX's hooks in memory" { load_with_ucx 3; }

# bats test_tags=all
@test "programs that start MPI between their loads, with UCX's hooks in memory, 20 times" { load_with_ucx 20; }
