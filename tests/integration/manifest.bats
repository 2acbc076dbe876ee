# The manifest: a second run's root reads what the first one asked before anybody asks. It costs speed at most.

setup() {
  load helper
  helper_setup
  need_command mpiexec.mpich
  need_command jq
  # A small environment of the test's own, on whatever this machine has: MPIIO_CACHE_PATHS makes it library.
  LIB=$SCRATCH/lib APP=$SCRATCH/app.py
  mkdir -p "$LIB/pkg"
  local i
  for i in {1..40}; do echo "value = $i" >"$LIB/pkg/mod$i.py"; done
  # By names that nobody finds in the bytecode, so that a first run has to ask for each.
  { echo 'import importlib; take = lambda name: importlib.import_module("." + name, __name__)'
    printf 'take("%s")\n' mod{1..40}; } >"$LIB/pkg/__init__.py"
  cat >"$APP" <<PY
import sys
sys.path.insert(0, "$LIB")
import pkg
print(sum(getattr(pkg, name).value for name in dir(pkg) if name.startswith("mod")), pkg.__file__)
PY
  "$PYTHON" "$APP" >/dev/null # bytecode
  export MPIIO_CACHE_PATHS=$LIB MPIIO_CACHE_STATS=$SCRATCH/stats.json
}

teardown() { helper_teardown; }

app() { on_mpiexec 3 "$PYTHON" "$APP"; }
# What the root was asked, but for what it knew or was about to know: ranks may ask at once.
misses() { stat_of "$SCRATCH/stats.json" .root.questions; }
manifests() { find "$XDG_CACHE_HOME" -type f | wc -l; }

# Runs the program cached, which must give what plain gives; prints its misses.
check_run() {
  run_cached app
  assert_same
  echo "misses: $(misses), manifests: $(manifests)"
}

@test "a second run asks almost nothing, and writes one file that only its user may read" {
  run_plain app
  check_run
  local first
  first=$(misses)
  ((first > 40))
  [[ $(manifests) == 1 && $(find "$XDG_CACHE_HOME" -type f -printf '%m %f') == 600\ *.manifest ]]
  check_run
  (($(misses) * 20 <= first))
  [[ $(manifests) == 1 ]]
}

@test "a stale manifest gives what is there now" {
  run_plain app
  check_run
  # Changed, removed, new, another kind of thing, and a link to elsewhere.
  echo 'value = 1000' >"$LIB/pkg/mod1.py"
  rm "$LIB/pkg/mod2.py"
  rm "$LIB/pkg/mod3.py" && mkdir "$LIB/pkg/mod3" && echo 'value = 3000' >"$LIB/pkg/mod3/__init__.py"
  mv "$LIB/pkg/mod4.py" "$LIB/pkg/mod41.py" && ln -s mod41.py "$LIB/pkg/mod4.py"
  echo 'value = 50000' >"$LIB/pkg/mod42.py"
  sed -i '/"mod2"/d' "$LIB/pkg/__init__.py"
  echo 'take("mod42")' >>"$LIB/pkg/__init__.py"
  run_plain app
  [[ $PLAIN_RC == 0 ]]
  check_run
  check_run
  rm -r "$LIB/pkg"
  run_plain app
  [[ $PLAIN_RC == 1 ]]
  check_run
}

@test "names of a script's directory that change before they are touched are seen changed" {
  # No library: its directory is in sys.path, so a module there counts from the moment that somebody touches it.
  mkdir "$SCRATCH/shared"
  echo 'value = "old"' >"$SCRATCH/shared/late.py"
  cat >"$SCRATCH/shared/main.py" <<PY
import os, subprocess, sys, time
open("$SCRATCH/ready-" + os.environ["PMI_RANK"], "w").close()
while not os.path.exists("$SCRATCH/go"):
    time.sleep(0.01)
import late
print(late.value, os.stat(late.__file__).st_size)
PY
  need_fuse
  mkdir "$SCRATCH/mount"
  mount_shared "$SCRATCH/shared" "$SCRATCH/mount"
  script() {
    rm -f "$SCRATCH"/ready-* "$SCRATCH/go"
    on_mpiexec 2 "$PYTHON" -B "$SCRATCH/mount/main.py" &
    local job=$! rc=0
    while [[ ! -e $SCRATCH/ready-0 || ! -e $SCRATCH/ready-1 ]] && kill -0 "$job" 2>/dev/null; do sleep 0.05; done
    # Another program, unknown to the job, and longer after the start than a name's lifetime.
    sleep 1
    "${@:-true}"
    touch "$SCRATCH/go"
    wait "$job" || rc=$?
    return "$rc"
  }
  change() { echo 'value = "new and longer"' >"$SCRATCH/mount/late.py"; }
  export MPIIO_CACHE_TTL=0.5
  run_cached script true
  grep -q '^old ' "$CACHED/stdout"
  [[ $(manifests) == 1 ]] && grep -q 'late.py$' "$XDG_CACHE_HOME"/mpiio_cache/*.manifest
  run_cached script change
  cat "$CACHED/stdout"
  (($(grep -c '^new and longer 25$' "$CACHED/stdout") == 2))
}

@test "off reads and writes none; a file of the user's choice is used and replaced" {
  run_plain app
  export MPIIO_CACHE_MANIFEST=off
  check_run
  local first
  first=$(misses)
  check_run
  (($(misses) * 2 > first))
  [[ $(manifests) == 0 ]]
  export MPIIO_CACHE_MANIFEST=$SCRATCH/mine
  check_run
  [[ -s $SCRATCH/mine && $(manifests) == 0 ]]
  check_run
  (($(misses) * 20 <= first))
  # A damaged one is said, and the next is good again.
  truncate -s 100 "$SCRATCH/mine"
  check_run
  [[ $(said) == *"warning: no manifest: $SCRATCH/mine: "* && $(said | wc -l) == 1 ]]
  check_run
  (($(misses) * 20 <= first))
  [[ -z $(said) ]]
}

@test "where it cannot be written the job goes on; said once on request, and as a warning of a file the user chose" {
  run_plain app
  echo >"$SCRATCH/file"
  export XDG_CACHE_HOME=$SCRATCH/file/x
  run_cached app
  assert_same
  [[ -z $(said) ]]
  MPIIO_CACHE_LOG=info run_cached app
  assert_same
  said
  (($(said | grep -c manifest) == 1))
  MPIIO_CACHE_MANIFEST=$SCRATCH/missing/mine run_cached app
  assert_same
  said
  [[ $(said) == *"warning: cannot write the manifest: $SCRATCH/missing/mine: No such file or directory; "* &&
    $(said | wc -l) == 1 ]]
  # A full disk.
  need_root
  mkdir "$SCRATCH/full"
  mount -t tmpfs -o size=4k tmpfs "$SCRATCH/full"
  head -c 4096 /dev/zero >"$SCRATCH/full/zero" || true
  MPIIO_CACHE_MANIFEST=$SCRATCH/full/mine run_cached app
  umount "$SCRATCH/full"
  assert_same
  said
  local warning="warning: cannot write the manifest: $SCRATCH/full/mine: No space left on device"
  [[ $(said) == *"$warning; the next run reads nothing ahead. Name "* ]]
  # No home at all.
  unset XDG_CACHE_HOME
  HOME='' MPIIO_CACHE_LOG=info run_cached app
  assert_same
  [[ $(said) != *manifest* ]]
}

# The kernel lets no process end before a request that FUSE's server has is answered.
@test "a home directory that is very slow costs one of its operations at most, at the end" {
  local latency=3
  mkdir "$SCRATCH/slow" "$SCRATCH/home"
  mount_shared "$SCRATCH/slow" "$SCRATCH/home" --latency-us $((latency * 1000000))
  SLACK=$((latency + 2))
  export XDG_CACHE_HOME=$SCRATCH/home
  same_as_plain app
  echo "plain $PLAIN_SECONDS s, cached $CACHED_SECONDS s; one operation there takes $latency s"
}

@test "a hostile manifest makes the root read nothing that the policy does not serve" {
  mkdir "$SCRATCH/shared" "$SCRATCH/mount"
  mv "$LIB" "$SCRATCH/shared/lib"
  echo secret >"$SCRATCH/shared/secret"
  mkdir "$SCRATCH/shared/private"
  ln -s ../secret "$SCRATCH/shared/lib/inside"
  mount_shared "$SCRATCH/shared" "$SCRATCH/mount" --log "$SCRATCH/log"
  export MPIIO_CACHE_PATHS=$SCRATCH/mount/lib
  sed -i "s,$LIB,$SCRATCH/mount/lib," "$APP"
  run_plain app
  [[ $PLAIN_RC == 0 ]]
  : >"$SCRATCH/log"
  {
    echo 'mpiio_cache manifest 1'
    echo "C $SCRATCH/mount/secret"
    echo "L $SCRATCH/mount/private"
    echo "L $SCRATCH/mount"
    echo "C $SCRATCH/mount/lib/../secret"
    echo "S $SCRATCH/mount/lib/../private/x"
    echo "L $SCRATCH/mount/lib/pkg/../../private"
    echo "C $SCRATCH/mount/lib/pkg/mod7.py"
    echo "C /etc/shadow"
    echo "end 8"
  } >"$SCRATCH/hostile"
  MPIIO_CACHE_MANIFEST=$SCRATCH/hostile run_cached app
  assert_same
  # It was read: nobody else asks for the source where there is bytecode.
  grep -q ' .*/mod7.py ' "$SCRATCH/log" || grep -q 'mod7.py' "$SCRATCH/log"
  ! grep -E '(open|opendir|read) .*(secret|private)' "$SCRATCH/log"
}

@test "runs of one program at the same time leave one whole manifest" {
  run_plain app
  unset MPIIO_CACHE_STATS
  local i jobs=()
  for i in 1 2 3; do
    (run_into "$SCRATCH/job$i" env LD_PRELOAD="$MIOC_LIBRARY" mpiexec.mpich -n 2 "$PYTHON" "$APP"; exit "$RC") &
    jobs+=($!)
  done
  for i in "${jobs[@]}"; do wait "$i"; done
  [[ $(manifests) == 1 ]]
  local file lines
  file=$(find "$XDG_CACHE_HOME" -type f)
  lines=$(wc -l <"$file")
  [[ $(tail -n 1 "$file") == "end $((lines - 2))" ]]
}
