# Something else hooks dlopen, before us, after us or while the program runs: loads are still served, and the hook sees
# no call of ours.

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  need_command jq
  export MPIIO_CACHE_PATHS=/usr/lib/python3 MPIIO_CACHE_STATS=$SCRATCH/stats.json MPIIO_CACHE_LOG=info
}

teardown() { helper_teardown; }

stats() { stat_of "$SCRATCH/stats.json" "$1"; }

# PRELOADS PROGRAM [ARGUMENT...]: runs two ranks with these preloads ("" for none), plain and cached. OURS marks the
# place of our library.
check_with() {
  local preloads=$1
  shift
  run_plain on_mpiexec 2 env LD_PRELOAD="${preloads//OURS/}" "$PYTHON" "$@"
  [[ $PLAIN_RC == 0 && -s $PLAIN/stdout ]]
  run_cached on_mpiexec 2 env LD_PRELOAD="${preloads//OURS/$MIOC_LIBRARY}" "$PYTHON" "$@"
  assert_same
  said
  jq -c '[.loader, .calls.loader]' "$SCRATCH/stats.json"
  [[ $(said) == *', loader patch'* ]]
  (($(stats .loader.patched) == 2 && $(stats .loader.unpatched) == 0))
}

# What numpy and scipy load without any hook.
count_without_hooks() {
  check_with OURS -c 'import numpy, scipy.linalg; print(numpy.__file__)'
  BYTES=$(stats .calls.loader.bytes)
  ((BYTES > 10000000 && $(stats '.calls.loader.hit + .calls.loader.miss') > 50))
}

# The same objects came from the store, whatever else a hook brings or has brought.
is_all_served() { (($(stats .calls.loader.bytes) == BYTES)); }

@test "a library that takes dlopen out of every table of imports, as UCX 1.18 does" {
  count_without_hooks
  check_with OURS -c '
import ctypes, sys
hooks = ctypes.CDLL(sys.argv[1])
slots = hooks.got_hooks_install()
import numpy, scipy.linalg
print(numpy.__file__, slots > 0, hooks.got_hooks_calls() > 30)' "$MIOC_BUILD/programs/got_hooks.so"
  is_all_served
}

@test "another preload that wraps dlopen sees the program's calls and no other, before us and after" {
  gcc -shared -fPIC -o "$SCRATCH/wraps.so" -x c - <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* Not those of MPI, which each rank loads before main() as long as it has one. */
static void note(const char *what, const char *name, void *caller)
{
    char line[4200];
    Dl_info info;
    if (getenv("PMI_RANK") == NULL || (dladdr(caller, &info) != 0 && strstr(info.dli_fname, "python") == NULL))
        return;
    int n = snprintf(line, sizeof line, "%s(%.4000s)\n", what, name != NULL ? name : "NULL");
    if (write(1, line, n) != n)
        abort();
}
void *dlopen(const char *name, int flags)
{
    note("dlopen", name, __builtin_return_address(0));
    return ((void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen"))(name, flags);
}
void *dlmopen(Lmid_t lmid, const char *name, int flags)
{
    note("dlmopen", name, __builtin_return_address(0));
    return ((void *(*)(Lmid_t, const char *, int))dlsym(RTLD_NEXT, "dlmopen"))(lmid, name, flags);
}
C
  count_without_hooks
  local order
  for order in "$SCRATCH/wraps.so:OURS" "OURS:$SCRATCH/wraps.so"; do
    check_with "$order" -c 'import numpy, scipy.linalg; print(numpy.__file__)'
    grep -q '^dlopen(/usr/lib/python3' "$PLAIN/stdout"
    is_all_served
  done
}

@test "jemalloc, before us and after: ld.so allocates with it in the midst of a load" {
  local jemalloc order
  jemalloc=$(ldconfig -p | sed -n 's/.*libjemalloc\.so\.2 .*=> //p' | head -n 1)
  [[ -n $jemalloc ]] || skip "libjemalloc2 is not installed"
  count_without_hooks
  for order in "$jemalloc:OURS" "OURS:$jemalloc"; do
    check_with "$order" -c '
import numpy, scipy.linalg
print(numpy.__file__, "jemalloc" in open("/proc/self/maps").read())'
    grep -q 'True$' "$PLAIN/stdout"
    is_all_served
  done
}

@test "an auditor (LD_AUDIT) hears of the same objects by the same names" {
  gcc -shared -fPIC -o "$SCRATCH/audit.so" -x c - <<'C'
#define _GNU_SOURCE
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
unsigned la_version(unsigned version) { return version; }
unsigned la_objopen(struct link_map *map, Lmid_t lmid, uintptr_t *cookie)
{
    char line[4200];
    int n = snprintf(line, sizeof line, "opened %.4000s\n", map->l_name);
    (void)cookie;
    if (lmid == LM_ID_BASE && strstr(map->l_name, "/usr/lib/python3") == map->l_name && write(1, line, n) != n)
        _exit(99);
    return 0;
}
char *la_objsearch(const char *name, uintptr_t *cookie, unsigned flag)
{
    (void)cookie;
    (void)flag;
    return (char *)name;
}
C
  run_plain on_mpiexec 2 env LD_AUDIT="$SCRATCH/audit.so" "$PYTHON" \
    -c 'import numpy, scipy.linalg; print(numpy.__file__)'
  (($(grep -c '^opened /usr/lib/python3' "$PLAIN/stdout") > 50))
  run_cached on_mpiexec 2 env LD_AUDIT="$SCRATCH/audit.so" "$PYTHON" \
    -c 'import numpy, scipy.linalg; print(numpy.__file__)'
  assert_same
  said
  [[ $(said) == *', loader patch'* ]]
  (($(stats '.calls.loader.hit + .calls.loader.miss') > 50))
}
