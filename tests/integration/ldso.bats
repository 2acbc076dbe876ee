# Each build of Debian's glibc that can be had: its ld.so is patched, and loads through the patch. aarch64 under qemu.

setup() {
  load helper
  helper_setup
  need_command gcc
  need_command dpkg-deb
}

teardown() { helper_teardown; }

# FOLDER BUILT [EMULATOR]: one line, "SITES patch" or why not.
run_ldso() {
  local folder=$1 libraries ld built=$SCRATCH/$2 emulator=${3:-} load
  libraries=$(dirname "$(find "$folder" -name libc.so.6 | head -n 1)")
  ld=$(find "$libraries" -name 'ld-linux-*.so.*' | head -n 1)
  # What of the package can be loaded by anybody.
  load=$(find "$libraries" -maxdepth 1 -regex '.*/\(libm\.so\.6\|libresolv\.so\.2\|libnss_.*\.so\.2\|librt\.so\.1\)' |
    sort | paste -sd :)
  # shellcheck disable=SC2086 # none or one word
  env LDSO_LOAD="$load" LDSO_COPY="$built/original.so:$built/copy.so" ${emulator:+LDSO_EMULATED=1} \
    timeout 60 $emulator "$ld" --library-path "$libraries" --preload "$built/selftest.so" "$built/program" 2>&1
}

@test "the loader of each glibc that Debian has is found, patched, and loads through the patch" {
  local folders folder rc=0 failed=0 run=0 line
  folders=$("$FIXTURES/libc6-packages" "$PYTHON_ENVS/libc6" 2>"$SCRATCH/why") || rc=$?
  cat "$SCRATCH/why"
  ((rc != 77)) || skip "$(tail -n 1 "$SCRATCH/why")"
  ((rc == 0))
  "$PROGRAMS/ldso/build" gcc "$SCRATCH/amd64"
  [[ ! -x $(command -v aarch64-linux-gnu-gcc) ]] || "$PROGRAMS/ldso/build" aarch64-linux-gnu-gcc "$SCRATCH/arm64"
  for folder in $folders; do
    rc=0
    case $(uname -m)-$folder in
      x86_64-*-amd64-*) line=$(run_ldso "$folder" amd64) || rc=$? ;;
      *-arm64-*)
        if [[ ! -d $SCRATCH/arm64 || ! -x $(command -v qemu-aarch64-static) ]]; then
          echo "${folder##*/}: skipped: no aarch64-linux-gnu-gcc or no qemu-aarch64-static"
          continue
        fi
        line=$(run_ldso "$folder" arm64 qemu-aarch64-static) || rc=$?
        ;;
      *) echo "${folder##*/}: skipped: another processor's"; continue ;;
    esac
    echo "${folder##*/}: exit code $rc, call sites and self-test: $line"
    run=$((run + 1))
    [[ $rc == 0 && $line == *' patch' ]] || failed=$((failed + 1))
  done
  ((run > 0)) || skip "no package of a processor that can be run here"
  ((failed == 0))
}
