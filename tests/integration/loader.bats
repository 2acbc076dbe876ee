# Libraries that the dynamic loader opens: served from the store they are as they are without us, in every respect that
# a program can see. The cases are tests/programs/dl_*.c. Each runs plain, cached, and cached with the loader not
# patched.

setup_file() {
  load helper
  export LOADER_FOLDER MIOC_METADATA_SERVER=${MIOC_METADATA_SERVER:-$MIOC_BUILD/bin/mioc_metadata_server}
  LOADER_FOLDER=$(mktemp -d /tmp/mioc-loader.XXXXXX)
  chmod 755 "$LOADER_FOLDER" # a test runs as nobody
  "$PROGRAMS/dl_libs/build" "$LOADER_FOLDER/source" "$LOADER_FOLDER/libs"
  # Better on a shared filesystem; a prefix that is named is cached whatever it is on.
  "$FIXTURES/shared-fs" mount "$LOADER_FOLDER/source" "$LOADER_FOLDER/libs" 2>/dev/null ||
    { rm -rf "$LOADER_FOLDER/libs" && mv "$LOADER_FOLDER/source" "$LOADER_FOLDER/libs"; }
}

teardown_file() {
  load helper
  if mountpoint -q "$LOADER_FOLDER/libs"; then "$FIXTURES/shared-fs" umount "$LOADER_FOLDER/libs"; fi
  rm -rf --one-file-system "$LOADER_FOLDER"
}

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  export DL_LIBS=$LOADER_FOLDER/libs
  export MPIIO_CACHE_PATHS=$DL_LIBS
}

teardown() { helper_teardown; }

# CASE [VARIABLE=VALUE]...: sets CASE_COMMAND. The libraries' path is set for the program alone, not for the launcher.
case_command() {
  CASE_COMMAND=(env LD_LIBRARY_PATH="$DL_LIBS/env" "${@:2}" "$PYTHON" -S -E "$PROGRAMS/dl_cases.py"
    "$MIOC_BUILD/programs/dl_cases.so" "$1")
}

# CASE [VARIABLE=VALUE]...: as two ranks. (Explicit returns: callers that use || have no errexit in here.)
check() {
  local mode
  case_command "$@"
  run_plain on_mpiexec 2 "${CASE_COMMAND[@]}"
  (($(grep -c "^\[[01]\] $1 " "$PLAIN/stdout") > 10)) || return 1 # it ran
  for mode in ${MODES:-patch plain}; do
    export MPIIO_CACHE_LOADER=$mode MPIIO_CACHE_STATS=$SCRATCH/$mode.json
    MPIIO_CACHE_LOG=info run_cached on_mpiexec 2 "${CASE_COMMAND[@]}"
    unset MPIIO_CACHE_LOADER MPIIO_CACHE_STATS
    echo "loader $mode"
    [[ $(said) == *'active: 2 ranks'* ]] || { cat "$CACHED/stderr"; return 1; }
    assert_same || return 1
  done
}

stats_hold() { [[ $(stat_of "$SCRATCH/$1.json" "$2 $3") == true ]] ||
  { echo "$1: not $2 $3"; jq -c .loader "$SCRATCH/$1.json"; return 1; }; }

# And the loader was answered from the store, or left alone.
check_served() {
  check "$@" || return 1
  stats_hold patch .loader.patched '>= 1' && stats_hold patch .loader.unpatched '== 0' &&
    stats_hold patch .loader.loads '> 0' && stats_hold patch '.calls.loader | .hit + .miss' '> 0' &&
    stats_hold plain .loader.patched '== 0' && stats_hold plain .loader.why.setting '>= 1' &&
    stats_hold plain .loader.loads '== 0' && stats_hold plain .calls.loader.calls '== 0'
}

# CASE [VARIABLE=VALUE]...: in one process with a store of its own, whose exit code is not hydra's to choose.
check_alone() {
  local mode
  case_command "$@"
  run_plain alone "${CASE_COMMAND[@]}"
  for mode in patch plain; do
    MPIIO_CACHE_LOADER=$mode run_alone_cached
    assert_same || return 1
  done
}

# The program alone is preloaded: `env`, before it, would have the agent.
run_alone_cached() {
  mkdir -p "$SCRATCH/store"
  LOCAL_AGENT_REPORT=$SCRATCH/report MPIIO_CACHE_DIR=$SCRATCH/store \
    run_into "$CACHED" alone env LD_PRELOAD="$MIOC_BUILD/programs/local_agent.so" "${CASE_COMMAND[@]:1}"
  CACHED_RC=$RC CACHED_SECONDS=$TOOK
  rm -rf "$SCRATCH/store"
}

# --- What cannot be loaded --------------------------------------------------------------------------------------------

@test "missing libraries and dependencies: dlerror says what it says without us" { check_served missing; }

@test "files that are no libraries: dlerror says what it says without us" { check_served broken; }

@test "undefined symbols, versions and bad arguments: dlerror says what it says without us" { check_served undefined; }

@test "a library that is cut short kills with the same signal" {
  check_alone truncated
  ((PLAIN_RC == 135)) # SIGBUS
}

@test "paths of all lengths" { check_served long_names; }

@test "a library that may not be read, as root" { check_served unreadable; }

@test "a library that may not be read, as nobody" {
  need_root
  need_command setpriv
  chmod 755 "$SCRATCH" "$LOADER_FOLDER"
  PYTHON="$SCRATCH/as-nobody"
  printf '#!/bin/sh\nexec setpriv --reuid 65534 --regid 65534 --clear-groups %s "$@"\n' /usr/bin/python3 >"$PYTHON"
  chmod 755 "$PYTHON"
  mkdir -m 1777 "$SCRATCH/stores"
  local dir=$SCRATCH
  export MPIIO_CACHE_DIR=$SCRATCH/stores
  check unreadable
  grep -q 'Permission denied' "$PLAIN/stdout"
  [[ -z $(ls "$dir/stores") ]] || { sleep 1 && [[ -z $(ls "$dir/stores") ]]; }
}

@test "a root that becomes nobody gets what nobody gets" {
  need_root
  STORES_MAY_STAY=1 # nobody cannot remove root's
  check other_user
  grep -q 'unreadable.so: cannot open shared object file: Permission denied' "$PLAIN/stdout"
}

@test "with one descriptor free a library is loaded, with none it is not" { check_served descriptors; }

@test "errno after loads that succeed and fail" { check_served errno_after; }

# --- How they are called ----------------------------------------------------------------------------------------------

@test "names by dladdr, dlinfo and dl_iterate_phdr, and which libraries are the same" { check_served names; }

@test "libraries that are loaded by the name of a descriptor" {
  # A loader that is left alone sees the copy behind the descriptor, and has two libraries then.
  MODES=patch check by_descriptor
  stats_hold patch .loader.loads '> 0'
  (($(grep -c 'by descriptor: 1 1' "$PLAIN/stdout") == 4))
}

@test "sonames of loaded libraries are found without a search" { check_served sonames; }

@test "LD_LIBRARY_PATH and its folders for better processors" { check_served library_path; }

@test "an empty entry in LD_LIBRARY_PATH is the working directory" {
  cd "$DL_LIBS"
  check_served library_path LD_LIBRARY_PATH="$DL_LIBS/env:"
  grep -q 'load simple.so: done' "$PLAIN/stdout"
}

@test "bare names and \$ORIGIN are those of the caller" {
  check_served callers
  grep -q 'caller_dlopen(libbare.so.1): done' "$PLAIN/stdout"
}

@test "a caller that is in no library" { check_served caller_of_no_library; }

@test "relative paths after chdir, fchdir and in a removed directory" { check_served relative; }

@test "NULL and the empty name are the program" { check_served none_and_main; }

@test "libraries that the program replaces, truncates, removes" { check_served replaced; }

@test "libraries that a child of the program replaces and removes" { check_served replaced_by_child; }

# --- What is bound to what --------------------------------------------------------------------------------------------

@test "under-linked libraries find what was made global" { check_served under_linked; }

@test "RTLD_NOLOAD, RTLD_NODELETE, RTLD_DEEPBIND" { check_served flags; }

@test "lazy, immediate, without a linkage table, IFUNC, executable stack" { check_served bound_in_all_ways; }

@test "with LD_BIND_NOW" {
  check_served bound_in_all_ways LD_BIND_NOW=1
  check_served under_linked LD_BIND_NOW=1
}

@test "libraries that are closed and loaded again" { check_served reloaded; }

@test "namespaces of dlmopen" {
  check_served namespaces
  check_served namespaces_of_callers
}

@test "thread-local storage: twenty libraries, and static blocks until there is no room" {
  check_served thread_local_storage
  grep -q 'cannot allocate memory in static TLS block' "$PLAIN/stdout"
}

@test "exceptions from one library are caught in another" { check_served exceptions; }

# --- Constructors -----------------------------------------------------------------------------------------------------

@test "constructors and destructors run in the same order" { check_served order; }

@test "a constructor that starts threads" { check_served threads; }

@test "a constructor that starts processes" { check_served processes; }

@test "a constructor that replaces the program or ends it" {
  check replaced_by_exec
  check_alone replaced_by_exec
  check_alone ended_by_exit
  ((PLAIN_RC == 5))
  check_alone ended_by__exit
  ((PLAIN_RC == 6))
}

@test "a constructor that loads others" { check_served loads_others; }

@test "a constructor that is left by longjmp, by an exception, and by a switch of stacks" {
  check_served left_by_longjmp
  check_served left_and_entered_again
  check_alone left_by_exception
  ((PLAIN_RC == 134)) # SIGABRT
}

@test "a thread that is cancelled while it loads" {
  check_served cancelled_before
  check_served cancelled_afterwards
  check cancelled_inside
  check cancelled_inside_by_soname
}

@test "a backtrace in a constructor reaches the program" { check_served backtraces; }

# --- Signals ----------------------------------------------------------------------------------------------------------

@test "a program that answers system calls in a handler for SIGSYS" { check_served filtered; }

@test "signals that the program or a constructor blocks stay blocked" { check_served blocked; }

@test "the loader writes while signals are blocked" {
  check_served blocked LD_DEBUG=files
  check_served bound_in_handler LD_DEBUG=all
}

# --- Threads and processes --------------------------------------------------------------------------------------------

@test "eight threads load at once" { check_served many_threads; }

@test "threads with small stacks" { check_served small_stacks; }

@test "close_range, closefrom and close of all descriptors between loads" { check_served closed_range; }

@test "forked children load" { check_served children; }

@test "an interpreter that a rank starts loads" { check_served guest; }

@test "a process under a debugger" { check_served traced; }

@test "loads after main" { check_served at_exit; }

# --- What libc loads by itself ----------------------------------------------------------------------------------------

# FILE: both ranks were given its copy, and that of simple.so.
is_among_served() {
  stats_hold patch .calls.loader.bytes ">= 2 * $(($(stat -Lc %s "$DL_LIBS/$1") + $(stat -c %s "$DL_LIBS/simple.so")))"
}

@test "modules of the name service" {
  check_served name_service
  is_among_served env/libnss_mioc.so.2
  grep -q 'getpwnam_r: 0, /home/somebody' "$PLAIN/stdout"
}

@test "modules of iconv, also within a call of ours" {
  check_served conversions GCONV_PATH="$DL_LIBS/gconv"
  is_among_served gconv/MIOC.so
  grep -q 'MIOC: open' "$PLAIN/stdout"
}

@test "libgcc_s, for a thread's end, its cancellation and a backtrace" {
  check_served unwinding LD_LIBRARY_PATH="$DL_LIBS/gcc"
  # MPI has brought it before main(); so also in a process without.
  check_alone unwinding LD_LIBRARY_PATH="$DL_LIBS/gcc"
  ((PLAIN_RC == 0))
  run_alone_cached
  assert_same
  cat "$SCRATCH/report"
  awk '$1 == "loader" { served = $3 + $5 } END { exit !(served >= 2) }' "$SCRATCH/report"
}

@test "a constructor of another preloaded library loads before main" {
  cat >"$SCRATCH/early.c" <<'C'
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
__attribute__((constructor)) static void early(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/needs_origin.so", getenv("DL_LIBS"));
    void *handle = getenv("PMI_RANK") != NULL ? dlopen(path, RTLD_NOW) : NULL;
    if (handle != NULL)
        printf("%s early: %d\n", getenv("PMI_RANK"), ((int (*)(void))dlsym(handle, "needs_origin_value"))());
    fflush(stdout);
}
C
  gcc -shared -fPIC -o "$SCRATCH/early.so" "$SCRATCH/early.c"
  case_command simple
  run_plain on_mpiexec 2 env LD_PRELOAD="$SCRATCH/early.so" "${CASE_COMMAND[@]:1}"
  grep -q '1 early: 11' "$PLAIN/stdout"
  for order in "$SCRATCH/early.so:$MIOC_LIBRARY" "$MIOC_LIBRARY:$SCRATCH/early.so"; do
    run_cached on_mpiexec 2 env LD_PRELOAD="$order" "${CASE_COMMAND[@]:1}"
    assert_same
  done
}

@test "another preload's malloc and free are ours too, all along" {
  cat >"$SCRATCH/own.c" <<'C'
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
extern void *__libc_malloc(size_t);
extern void __libc_free(void *);
struct head { unsigned long magic; size_t size; };
void *malloc(size_t n)
{
    struct head *head = __libc_malloc(n + sizeof *head);
    if (head == NULL)
        return NULL;
    *head = (struct head){ 0x5ca1ab1e0ddba11ul, n };
    return head + 1;
}
void free(void *p)
{
    static const char text[] = "free() of what another malloc() gave\n";
    struct head *head = p;
    if (p == NULL)
        return;
    if ((--head)->magic != 0x5ca1ab1e0ddba11ul) {
        (void)!write(2, text, sizeof text - 1);
        _exit(66);
    }
    head->magic = 0;
    __libc_free(head);
}
void *calloc(size_t n, size_t m)
{
    void *p = malloc(n * m);
    return p == NULL ? NULL : memset(p, 0, n * m);
}
void *realloc(void *p, size_t n)
{
    void *q = malloc(n);
    size_t before = p == NULL ? 0 : ((struct head *)p)[-1].size;
    if (q == NULL)
        return NULL;
    if (before > 0)
        memcpy(q, p, before < n ? before : n);
    free(p);
    return q;
}
C
  gcc -shared -fPIC -O1 -fno-builtin -o "$SCRATCH/own.so" "$SCRATCH/own.c"
  case_command simple
  mkdir -p "$SCRATCH/store"
  run_plain alone "${CASE_COMMAND[@]:0:1}" LD_PRELOAD="$SCRATCH/own.so" "${CASE_COMMAND[@]:1}"
  MPIIO_CACHE_DIR=$SCRATCH/store run_into "$CACHED" alone "${CASE_COMMAND[@]:0:1}" \
    LD_PRELOAD="$SCRATCH/own.so $MIOC_BUILD/programs/local_agent.so" "${CASE_COMMAND[@]:1}"
  CACHED_RC=$RC CACHED_SECONDS=$TOOK
  [[ $PLAIN_RC == 0 ]]
  assert_same
  rm -rf "$SCRATCH/store"
}

# --- Stores and filesystems -------------------------------------------------------------------------------------------

@test "libraries that are too large for the store" {
  MPIIO_CACHE_MAX_FILE=1K check simple
  MPIIO_CACHE_MAX_FILE=1K check names
}

@test "libraries in a prefix that is excluded" { MPIIO_CACHE_EXCLUDE=$DL_LIBS/dep check names; }

@test "a store from which nothing may be executed" {
  need_root
  mkdir "$SCRATCH/store"
  mount -t tmpfs -o noexec mioc "$SCRATCH/store"
  MPIIO_CACHE_DIR=$SCRATCH/store check simple || { umount "$SCRATCH/store"; return 1; }
  has_no_stores "$SCRATCH/store"
  umount "$SCRATCH/store"
}

@test "a filesystem from which nothing may be executed" {
  need_root
  mkdir "$SCRATCH/libs"
  mount --bind "$DL_LIBS" "$SCRATCH/libs"
  mount -o remount,bind,noexec "$SCRATCH/libs"
  local rc=0
  DL_LIBS=$SCRATCH/libs MPIIO_CACHE_PATHS=$SCRATCH/libs check simple || rc=1
  umount "$SCRATCH/libs"
  ((rc == 0)) && grep -q 'failed to map segment' "$PLAIN/stdout"
}

# --- Stress -----------------------------------------------------------------------------------------------------------

@test "a thousand loads in eight threads under a profiler's signals and queued ones" {
  check_served stress
  grep -q '1000 of 1000 loads, 1000 signals, sum 500500, ticked' "$PLAIN/stdout"
}
