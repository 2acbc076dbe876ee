# Libraries that an object needs are on their way before the loader asks for them.

setup() {
  load helper
  helper_setup
  need_fuse
  need_command gcc
  mkdir "$SCRATCH/source" "$SCRATCH/source"/{a,b,c}
  # NAME SOURCE GCC-ARGUMENT...
  library() { gcc -shared -fPIC -x c -o "$SCRATCH/source/$1" - "${@:3}" <<<"$2"; }
  library c/libdeep.so 'int deep(void) { return 4; }' -Wl,-soname,libdeep.so
  library b/libright.so 'int right(void) { return 1; }' -Wl,-soname,libright.so
  # 3 MB, so that its dynamic section is far from its head.
  library b/libleft.so 'extern int deep(void); int data[1 << 20] = { 1 }; int left(void) { return deep() + data[0]; }' \
    -Wl,-soname,libleft.so -L"$SCRATCH/source/c" -ldeep -Wl,--enable-new-dtags,-rpath,'$ORIGIN/../c'
  library a/top.so 'extern int left(void), right(void); int top(void) { return left() + right(); }' \
    -L"$SCRATCH/source/b" -lleft -lright -Wl,-rpath-link,"$SCRATCH/source/c" \
    -Wl,--disable-new-dtags,-rpath,'$ORIGIN/../b'
  mount_shared "$SCRATCH/source" "$SCRATCH/shared" --log "$SCRATCH/log"
  export MPIIO_CACHE_PATHS=$SCRATCH/shared
}

teardown() { helper_teardown; }

opened() { sed -nE 's/^open (\S+\.so) .*/\1/p' "$SCRATCH/log" | sort -u | xargs; }

@test "what an object needs is read with it, though nobody loads it yet" {
  cat >"$SCRATCH/app.py" <<'END'
import sys, time
with open(sys.argv[1] + "/a/top.so", "rb") as f:
    f.read()
end = time.monotonic() + 60
while "open /c/libdeep.so" not in open(sys.argv[2]).read():
    if time.monotonic() > end:
        sys.exit("nobody has read what it needs")
    time.sleep(0.01)
END
  run_cached on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py" "$SCRATCH/shared" "$SCRATCH/log"
  cat "$CACHED/stderr"
  [[ $CACHED_RC == 0 ]]
  [[ $(opened) == "/a/top.so /b/libleft.so /b/libright.so /c/libdeep.so" ]]
}

@test "a web of libraries is loaded as without us, each read once" {
  cat >"$SCRATCH/app.py" <<'END'
import ctypes, sys
print(ctypes.CDLL(sys.argv[1] + "/a/top.so").top())
END
  run_plain on_mpiexec 4 "$PYTHON" "$SCRATCH/app.py" "$SCRATCH/shared"
  [[ $PLAIN_RC == 0 && $(sort -u "$PLAIN/stdout") == 6 ]]
  : >"$SCRATCH/log"
  run_cached on_mpiexec 4 "$PYTHON" "$SCRATCH/app.py" "$SCRATCH/shared"
  SLACK=10 assert_same
  [[ $(grep -c '^open .*\.so ' "$SCRATCH/log") == 4 ]]
  [[ $(opened) == "/a/top.so /b/libleft.so /b/libright.so /c/libdeep.so" ]]
}

@test "libraries that are damaged, or name what is not there, fail to load as without us" {
  printf 'x' | dd of="$SCRATCH/source/c/libdeep.so" bs=1 seek=4 conv=notrunc status=none
  truncate -s 40 "$SCRATCH/source/b/libleft.so"
  library a/missing.so 'extern int right(void); int missing(void) { return right(); }' -L"$SCRATCH/source/b" -lright \
    -Wl,-rpath,'$ORIGIN/../nowhere:$ORIGIN/../c'
  cat >"$SCRATCH/app.py" <<'END'
import ctypes, sys
for name in "a/top.so", "a/missing.so", "b/libleft.so", "c/libdeep.so":
    try:
        ctypes.CDLL(sys.argv[1] + "/" + name)
        print(name)
    except OSError as error:
        print(name, error)
END
  SLACK=10 same_as_plain on_mpiexec 2 "$PYTHON" "$SCRATCH/app.py" "$SCRATCH/shared"
  cat "$PLAIN/stdout"
  [[ $PLAIN_RC == 0 && $(grep -c '\.so: ' "$PLAIN/stdout") == 8 ]]
}
