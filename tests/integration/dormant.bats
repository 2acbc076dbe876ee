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
        if (!strncmp(line, "Threads", 7) || !strncmp(line, "SigCgt", 6) || !strncmp(line, "SigIgn", 6) ||
            !strncmp(line, "SigBlk", 6) || !strncmp(line, "Shd", 3))
            fputs(line, stdout);
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

# Seen: the first call of each function asked ld.so for it, whose lock the load holds: both waited for ever.
@test "a function's first call waits for no library that another thread loads" {
  cat >"$SCRATCH/slow.c" <<'C'
#include <semaphore.h>
extern sem_t loading, called;
__attribute__((constructor)) static void load(void) { sem_post(&loading); sem_wait(&called); }
C
  cat >"$SCRATCH/app.c" <<'C'
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
sem_t loading, called;
static void *call(void *path) {
    struct stat st;
    char text[100];
    sem_wait(&loading);
    int fd = open(path, O_RDONLY);
    int all = fd >= 0 && stat(path, &st) == 0 && fstat(fd, &st) == 0 && access(path, R_OK) == 0;
    DIR *d = opendir("/");
    all = all && d != NULL && readdir(d) != NULL && closedir(d) == 0 &&
          readlink("/proc/self/exe", text, sizeof text) > 0;
    all = all && dup2(fd, 50) == 50 && fcntl(50, F_GETFD) == 0 && close(50) == 0 && signal(SIGUSR1, SIG_IGN) == SIG_DFL;
    all = all && unlink("/nowhere/nothing") != 0 && mkdir("/nowhere/nothing", 0700) != 0 && chdir("/") == 0;
    printf("%s\n", all ? "all" : "not all");
    sem_post(&called);
    return path;
}
int main(int argc, char **argv) {
    pthread_t thread;
    (void)argc;
    pthread_create(&thread, NULL, call, argv[0]);
    printf("%s\n", dlopen(argv[1], RTLD_NOW) != NULL ? "loaded" : dlerror());
    pthread_join(thread, NULL);
    fflush(stdout);
    _exit(3);
}
C
  gcc -shared -fPIC -o "$SCRATCH/slow.so" "$SCRATCH/slow.c"
  gcc -rdynamic -o "$SCRATCH/app" "$SCRATCH/app.c"
  RUN_TIMEOUT=20 same_as_plain alone "$SCRATCH/app" "$SCRATCH/slow.so"
}
