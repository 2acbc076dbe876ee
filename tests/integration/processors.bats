# Other processors than x86-64: all of it but the plug-in compiles without a warning, and runs; on aarch64 libraries are served, too.

setup() {
  load helper
  helper_setup
}

teardown() { helper_teardown; }

# What a program sees of a file and of a library that needs another one.
write_program() {
  cat >"$SCRATCH/program.c" <<'C'
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char path[4096], text[64] = "";
    struct stat st;
    Dl_info info;
    void *library;
    int fd, rc;

    (void)argc;
    snprintf(path, sizeof path, "%s/text.txt", argv[1]);
    for (int i = 0; i < 3; i++) {
        rc = stat(path, &st);
        fd = open(path, O_RDONLY);
        printf("stat %d %ld %o %ld, read %zd: %s", rc, (long)st.st_size, st.st_mode, (long)st.st_mtime, read(fd, text, 63), text);
        close(fd);
        printf("missing: %d\n", access("/missing", F_OK) | stat(strcat(path, "x"), &st) << 1);
        path[strlen(path) - 1] = '\0';
    }
    snprintf(path, sizeof path, "%s/outer.so", argv[1]);
    library = dlopen(path, RTLD_NOW);
    if (library == NULL || !dladdr(dlsym(library, "outer"), &info))
        return printf("%s\n", dlerror()), 1;
    printf("%s %s %d\n", info.dli_fname, info.dli_sname, ((int (*)(void))dlsym(library, "outer"))());
    printf("%p %s\n", dlopen("/missing.so", RTLD_NOW), dlerror());
    return 0;
}
C
}

# ARCHITECTURE QEMU LIBRARIES: 1 if libraries are served there
check_processor() {
  local cc=$1-gcc qemu=qemu-$2-static root=/usr/$1 common source objects=()
  need_command "$cc"
  mkdir -p "$SCRATCH/include" "$SCRATCH/objects" "$SCRATCH/libs"
  # Of this machine's headers only the one that is the same everywhere.
  cp "$(echo '#include <xxhash.h>' | gcc -E - | sed -n 's/^# [0-9]* "\(.*xxhash\.h\)".*/\1/p' | head -n 1)" "$SCRATCH/include"
  common=(-std=gnu11 -D_GNU_SOURCE -O1 -fPIC -fvisibility=hidden -ftls-model=initial-exec -Wall -Wextra -Wshadow
    -Wmissing-prototypes -Wstrict-prototypes -Werror -isystem "$SCRATCH/include"
    -DMIOC_SITE_FILE='"/etc/mpiio_cache.conf"' -DMIOC_VERSION='"0"')
  printf '%s\n' "$MIOC_ROOT"/preload/{,loader/}*.c "$MIOC_ROOT"/preload/loader/*.S "$MIOC_ROOT"/mpi_shim/*.c "$PROGRAMS/local_agent.c" | grep -vE '/(transport_(mpi|open)|wrap_mpi)\.c$' >"$SCRATCH/sources"
  (cd "$SCRATCH/objects" && xargs -P 2 -n 8 "$cc" "${common[@]}" -c <"$SCRATCH/sources")
  for source in start:libmpiio_cache local_agent:local_agent; do
    mapfile -t objects < <(ls "$SCRATCH"/objects/*.o | grep -vE "/(start|api|local_agent).o$")
    "$cc" -shared -o "$SCRATCH/${source#*:}.so" "$SCRATCH/objects/${source%:*}.o" "${objects[@]}" -Wl,-z,defs \
      -Wl,--version-script="$MIOC_ROOT/preload/libmpiio_cache.map" -lpthread -ldl
  done
  command -v "$qemu" >/dev/null || skip "it compiles; $qemu, to run it, is not installed"
  echo 'int inner(void) { return 41; }' | "$cc" -shared -fPIC -x c - -o "$SCRATCH/libs/libinner.so"
  echo 'int inner(void); int outer(void) { return inner() + 1; }' |
    "$cc" -shared -fPIC -x c - -x none -o "$SCRATCH/libs/outer.so" "$SCRATCH/libs/libinner.so" -Wl,-rpath,"\$ORIGIN" -Wl,-soname,outer.so
  patchelf --replace-needed "$SCRATCH/libs/libinner.so" libinner.so "$SCRATCH/libs/outer.so"
  echo "some text" >"$SCRATCH/libs/text.txt"
  write_program
  "$cc" -D_GNU_SOURCE -o "$SCRATCH/program" "$SCRATCH/program.c" -ldl
  run_plain "$qemu" -L "$root" "$SCRATCH/program" "$SCRATCH/libs"
  grep -q "outer.so outer 42" "$PLAIN/stdout"
  mkdir "$SCRATCH/store"
  LOCAL_AGENT_REPORT=$SCRATCH/report MPIIO_CACHE_DIR=$SCRATCH/store MPIIO_CACHE_PATHS=$SCRATCH/libs \
    run_cached_as_guest "$qemu" -L "$root" -E LD_PRELOAD="$SCRATCH/local_agent.so" "$SCRATCH/program" "$SCRATCH/libs"
  SLACK=30 assert_same
  cat "$SCRATCH/report"
  # Files are served, libraries where the loader can be patched.
  awk -v libraries="$3" '$1 == "stat" { stat += $3 } $1 == "open" { open += $3 } $1 == "loader" { loader += $3 + $5 }
    END { exit !(stat >= 2 && open >= 2 && (loader >= 2) == libraries) }' "$SCRATCH/report"
}

# Not the emulator is preloaded, but what runs in it.
run_cached_as_guest() {
  run_into "$CACHED" "$@"
  CACHED_RC=$RC CACHED_SECONDS=$TOOK
}

@test "it compiles for aarch64 and runs there" { check_processor aarch64-linux-gnu aarch64 1; }

@test "it compiles for ppc64le and runs there" { check_processor powerpc64le-linux-gnu ppc64le 0; }
