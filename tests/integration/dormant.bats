# Where there is nothing for it to do the library does nothing, and nothing can be told from the outside.

setup() {
  load helper
  helper_setup
}

teardown() { helper_teardown; }

@test "a C program sees no new thread, descriptor, signal action or library beyond the preload" {
  cat >"$SCRATCH/look.c" <<'C'
#include <dirent.h>
#include <stdio.h>
#include <string.h>
int main(void)
{
    char line[4096];
    DIR *dir;
    FILE *f = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, "Threads", 7) || !strncmp(line, "SigCgt", 6) || !strncmp(line, "SigIgn", 6) || !strncmp(line, "SigBlk", 6) || !strncmp(line, "Shd", 3)) fputs(line, stdout);
    fclose(f);
    dir = opendir("/proc/self/fd");
    for (struct dirent *e; (e = readdir(dir)) != NULL;) puts(e->d_name);
    closedir(dir);
    f = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, f)) {
        char *path = strchr(line, '/');
        if (path && strstr(line, " r-xp ") && !strstr(path, "libmpiio_cache.so")) fputs(path, stdout);
    }
    fclose(f);
}
C
  gcc -o "$SCRATCH/look" "$SCRATCH/look.c"
  same_as_plain alone "$SCRATCH/look"
  same_as_plain on_mpiexec 2 "$SCRATCH/look"
}

@test "one-rank jobs, 50 at once, run as plain" {
  # Into files of their own: of 50 mpiexec at once on one pipe now and then one loses a line, plain as well.
  many() {
    local i
    for i in {1..50}; do
      launch mpiexec.mpich -n 1 "$PYTHON" -c "open('$SCRATCH/out.$i', 'w').write('one')" &
    done
    wait
    cat "$SCRATCH"/out.* && rm "$SCRATCH"/out.*
  }
  need_command mpiexec.mpich
  SLACK=15 same_as_plain many
  (($(grep -o one "$CACHED/stdout" | wc -l) == 50))
}

@test "an interpreter without a launcher says why it is dormant" {
  run_plain alone "$PYTHON" -c 'print(1)'
  MPIIO_CACHE_LOG=info run_cached alone "$PYTHON" -c 'print(1)'
  assert_same
  [[ $(said) == *'inactive: '* ]]
}

@test "bash and other programs say nothing at any level" {
  run_plain alone bash -c 'echo hello; ls / >/dev/null'
  MPIIO_CACHE_LOG=info run_cached alone bash -c 'echo hello; ls / >/dev/null'
  assert_same
  [[ -z $(said) ]]
}

@test "a job of which nothing is on a shared filesystem is dormant and starts no MPI" {
  need_command mpiexec.mpich
  run_plain on_mpiexec 2 "$PYTHON" -c 'print(open("/proc/self/maps").read().count("libmpich"))'
  MPIIO_CACHE_LOG=info run_cached on_mpiexec 2 "$PYTHON" -c 'print(open("/proc/self/maps").read().count("libmpich"))'
  assert_same
  [[ $(said) == *'inactive: '*'shared filesystem'* ]]
}
