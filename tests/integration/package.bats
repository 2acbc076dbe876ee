# What is installed: by cmake --install, as a .deb, and what it needs of the system.

setup() {
  load helper
  helper_setup
}

teardown() { helper_teardown; }

@test "the installation has the usual folders, and pkg-config knows it" {
  local prefix=$SCRATCH/apps name
  cmake -S "$MIOC_ROOT" -B "$SCRATCH/build" -G Ninja -DCMAKE_INSTALL_PREFIX="$prefix" -DBUILD_TESTING=OFF \
    >"$SCRATCH/log"
  cmake --build "$SCRATCH/build" >>"$SCRATCH/log"
  cmake --install "$SCRATCH/build" >>"$SCRATCH/log"
  for name in lib/libmpiio_cache.so lib/libmpiio_cache_mpich.so bin/mpiio-cache libexec/mpiio_cache/stats \
    libexec/mpiio_cache/network include/mpiio_cache.h share/man/man1/mpiio-cache.1 share/man/man7/libmpiio_cache.so.7 \
    share/modulefiles/mpiio-cache/0.1.0 share/modulefiles/mpiio-cache/0.1.0.lua lib/pkgconfig/mpiio_cache.pc; do
    [[ -s $prefix/$name ]] || { echo "missing: $name"; return 1; }
  done
  export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
  [[ $(pkg-config --variable=preload mpiio_cache) == "$prefix/lib/libmpiio_cache.so" &&
    $(pkg-config --modversion mpiio_cache) == 0.1.0 ]]
  cat >"$SCRATCH/api.c" <<'C'
#include <mpiio_cache.h>
#include <stdio.h>
int main(void)
{
    const char *text;
    int is_active = mpiio_cache_status(&text);
    printf("%s %d %s\n", mpiio_cache_version(), is_active, text);
    return 0;
}
C
  # shellcheck disable=SC2046 # words
  cc -Wall -Werror "$SCRATCH/api.c" -o "$SCRATCH/api" $(pkg-config --cflags --libs mpiio_cache) -Wl,-rpath,"$prefix/lib"
  [[ $("$SCRATCH/api") == '0.1.0 0 ' ]]
}

@test "the library needs glibc 2.34 where it was built with that, and nothing newer than 2.25 that old glibcs lack" {
  # What moved into libc.so with 2.34 is older elsewhere: built there, it needs no more than that.
  local moved='dlopen|dlclose|dladdr1?|dlerror|dlsym|dlvsym|dlmopen|dl_iterate_phdr'
  moved+='|pthread_[a-z_]+|sem_[a-z]+|timer_[a-z]+|__libc_start_main'
  # What is called only where the libc that it is built with has it (__GLIBC_PREREQ).
  local guarded='strerrordesc_np' file
  for file in lib/libmpiio_cache.so lib/libmpiio_cache_mpich.so bin/mpiio-cache; do
    objdump -T "$MIOC_BUILD/$file" | sed -nE 's/.*\*UND\*.*\(?GLIBC_([0-9.]+)\)?  *(.*)/\1 \2/p' |
      sort -u >"$SCRATCH/symbols"
    (($(wc -l <"$SCRATCH/symbols") > 20))
    awk '{ split($1, v, "."); if (v[1] > 2 || v[2] > 34) print "newer than 2.34:", $0 }' "$SCRATCH/symbols" \
      >"$SCRATCH/bad"
    awk '{ split($1, v, "."); if (v[2] > 25) print $2 }' "$SCRATCH/symbols" |
      grep -vxE "$moved|$guarded" >>"$SCRATCH/bad" || true
    [[ ! -s $SCRATCH/bad ]] || { echo "$file:"; cat "$SCRATCH/bad"; return 1; }
  done
}

@test "the manual pages are whole" {
  need_command man
  local page
  for page in "$MIOC_ROOT"/scripts/man/*.[17]; do
    MANWIDTH=100 man --warnings -l "$page" >"$SCRATCH/text" 2>"$SCRATCH/warnings"
    [[ ! -s $SCRATCH/warnings ]] || { cat "$SCRATCH/warnings"; return 1; }
    grep -q '^NAME' "$SCRATCH/text" && grep -q '^EXIT STATUS' "$SCRATCH/text" && grep -q '^FILES' "$SCRATCH/text"
  done
}

# A root of its own over this system's, as writable as it likes: what dpkg does there stays there.
in_clean_root() {
  unshare --mount --propagation private bash -c '
    set -e
    mount -t tmpfs tmpfs /mnt
    mkdir /mnt/upper /mnt/work /mnt/root
    mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
    mount --rbind /proc /mnt/root/proc; mount --rbind /dev /mnt/root/dev; mount --rbind /sys /mnt/root/sys
    mkdir -p /mnt/root/incoming
    cp "$1" /mnt/root/incoming/
    exec chroot /mnt/root /bin/bash -ec "$2"' bash "$@"
}

@test "a .deb installs into a root of its own and works there" {
  need_root
  need_command mpiexec.mpich
  need_command dpkg-deb
  local deb
  (cd "$MIOC_ROOT" && cmake -B "$SCRATCH/build" -G Ninja -DCMAKE_INSTALL_PREFIX=/usr -DBUILD_TESTING=OFF &&
    cmake --build "$SCRATCH/build") \
    >"$SCRATCH/log"
  (cd "$SCRATCH/build" && cpack) >>"$SCRATCH/log"
  deb=$(echo "$SCRATCH"/build/mpiio-cache_0.1.0_*.deb)
  dpkg-deb -I "$deb"
  [[ $(dpkg-deb -f "$deb" Depends) == *libc6*libmpich12* ]]
  [[ -z $(dpkg-deb -c "$deb" | grep -vE ' \./(usr/((bin|lib|libexec|include|share)/.*)?)?$') ]]
  run in_clean_root "$deb" '
    export PATH=/usr/bin:/bin:/usr/sbin:/sbin
    dpkg -i /incoming/*.deb >/dev/null
    mpiio-cache --version
    mpiio-cache check --python /usr/bin/python3
    mkdir /libs && echo "value = 42" >/libs/module.py
    cd /
    LD_PRELOAD=libmpiio_cache.so MPIIO_CACHE_LOG=info MPIIO_CACHE_PATHS=/libs PYTHONPATH=/libs \
      mpiexec.mpich -n 2 /usr/bin/python3 -c "import module; print(\"value\", module.value)" </dev/null
    echo "KILL_SWITCH=1" >/etc/mpiio_cache.conf
    mpiio-cache check --python /usr/bin/python3 || echo "exit status $?"
    dpkg -r mpiio-cache >/dev/null
    [ ! -e /usr/bin/mpiio-cache ] && echo removed'
  echo "$output"
  local off='KILL_SWITCH is on (/etc/mpiio_cache.conf)'
  [[ $status == 0 && $output == *'mpiio-cache 0.1.0'*'yes: TCP with '*'no: '*"$off"*'exit status 1'*removed ]]
  (($(grep -cx 'value 42' <<<"$output") == 2 && $(grep -c '^mpiio_cache: active: 2 ranks' <<<"$output") == 1))
  [[ ! -e /usr/bin/mpiio-cache ]] # nothing of it here
}
