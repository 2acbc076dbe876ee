# Processors other than x86-64: everything but the plug-in compiles without a warning, and runs. On aarch64 libraries
# are served, too.

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
        printf("stat %d %ld %o %ld, read %zd: %s", rc, (long)st.st_size, st.st_mode, (long)st.st_mtime,
               read(fd, text, 63), text);
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

# COMPILER: all of it but the plug-in, as libmpiio_cache.so and local_agent.so in $SCRATCH.
build_with() {
  local common folder source others objects=()
  need_command "$1"
  mkdir -p "$SCRATCH/include" "$SCRATCH/libs"
  # Of this machine's headers only the one that is the same everywhere.
  cp "$(echo '#include <xxhash.h>' | gcc -E - | sed -n 's/^# [0-9]* "\(.*xxhash\.h\)".*/\1/p' | head -n 1)" \
    "$SCRATCH/include"
  common=(-std=gnu11 -D_GNU_SOURCE -O1 -fPIC -fvisibility=hidden -ftls-model=initial-exec -Wall -Wextra -Wshadow
    -Wmissing-prototypes -Wstrict-prototypes -Werror -isystem "$SCRATCH/include"
    -I "$MIOC_ROOT/preload" -I "$MIOC_ROOT/mpi_shim"
    -DMIOC_SITE_FILE='"/etc/mpiio_cache.conf"' -DMIOC_VERSION='"0"'
    -DMIOC_AGENT_FROM_LIBDIR='"../libexec/mpiio_cache/agent"')
  # What needs MPI, and the agent's program, which needs libsodium.
  others='transport_(mpi|open|wait)|wrap_mpi|(node_)?tcp[a-z_]*|secret|munge|agent_program'
  for folder in preload $(cd "$MIOC_ROOT" && echo preload/*/ mpi_shim/*/) tests/programs/local_agent; do
    folder=${folder%/}
    mkdir -p "$SCRATCH/objects/$folder"
    find "$MIOC_ROOT/$folder" "$MIOC_ROOT/$folder.c" -maxdepth 1 -name '*.[cS]' 2>/dev/null |
      grep -vE "/($others)\.c$" >"$SCRATCH/sources"
    (cd "$SCRATCH/objects/$folder" && xargs -P 2 -n 8 "$1" "${common[@]}" -c <"$SCRATCH/sources")
  done
  mapfile -t objects < <(find "$SCRATCH/objects" -name '*.o' | grep -vE "/(start|api|local_agent)\.o$")
  for source in preload/start:libmpiio_cache tests/programs/local_agent/local_agent:local_agent; do
    "$1" -shared -o "$SCRATCH/${source#*:}.so" "$SCRATCH/objects/${source%:*}.o" "${objects[@]}" -Wl,-z,defs \
      -Wl,--version-script="$MIOC_ROOT/preload/libmpiio_cache.map" -lpthread -ldl
  done
}

# ARCHITECTURE QEMU LIBRARIES: 1 if libraries are served there
check_processor() {
  local cc=$1-gcc qemu=qemu-$2-static root=/usr/$1
  build_with "$cc"
  command -v "$qemu" >/dev/null || skip "it compiles; $qemu, to run it, is not installed"
  echo 'int inner(void) { return 41; }' | "$cc" -shared -fPIC -x c - -o "$SCRATCH/libs/libinner.so"
  echo 'int inner(void); int outer(void) { return inner() + 1; }' |
    "$cc" -shared -fPIC -x c - -x none -o "$SCRATCH/libs/outer.so" "$SCRATCH/libs/libinner.so" -Wl,-rpath,"\$ORIGIN" \
    -Wl,-soname,outer.so
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

# By qemu's -L an absolute path is looked for in that folder first, so the interpreter finds its own things there.
@test "Debian's numpy for aarch64 is imported from copies, as without us" {
  local root=$PYTHON_ENVS/arm64-python qemu=qemu-aarch64-static python
  need_command $qemu
  build_with aarch64-linux-gnu-gcc
  fixture arm64-python "$root"
  cat >"$SCRATCH/app.py" <<'END'
import sys
sys.path.append(sys.argv[1])
import numpy, numpy.linalg, numpy.random, numpy.fft
print(numpy.__file__, numpy.linalg.det(numpy.eye(3) * 2), numpy.random.default_rng(1).integers(9, size=3))
print(sorted(m.__file__ for m in sys.modules.values() if (getattr(m, "__file__", None) or "").endswith(".so")))
END
  python=("$root/usr/bin/python3.11" -S "$SCRATCH/app.py" "$root/usr/lib/python3/dist-packages")
  local libraries=$root/usr/lib/aarch64-linux-gnu
  local path=$libraries/blas:$libraries/lapack # whose links are made when they are installed
  run_plain $qemu -L "$root" -E LD_LIBRARY_PATH="$path" "${python[@]}"
  [[ $PLAIN_RC == 0 && $(<"$PLAIN/stdout") == *'_multiarray_umath'* ]]
  mkdir "$SCRATCH/store"
  LOCAL_AGENT_REPORT=$SCRATCH/report MPIIO_CACHE_DIR=$SCRATCH/store MPIIO_CACHE_PATHS=$root/usr/lib \
    run_cached_as_guest $qemu -L "$root" -E LD_LIBRARY_PATH="$path" -E LD_PRELOAD="$SCRATCH/local_agent.so" \
    "${python[@]}"
  SLACK=60 assert_same
  cat "$SCRATCH/report"
  # Each extension module, and libblas behind it.
  awk -v modules="$(tail -n 1 "$PLAIN/stdout" | grep -o '\.so' | wc -l)" '$1 == "loader" { served += $3 + $5 }
    END { print served " loads served, " modules " modules"; exit !(served > modules) }' "$SCRATCH/report"
}
