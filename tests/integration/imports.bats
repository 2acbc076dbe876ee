# The main job: many ranks import from a shared filesystem, which sees about the operations of one rank.

setup() {
  load helper
  helper_setup
  need_fuse
  need_hosts
  need_python_env
  need_command jq
  SHARED=$SCRATCH/shared
  # matplotlib's list of fonts, which its first import makes.
  export MPLCONFIGDIR=$BATS_FILE_TMPDIR/matplotlib
  # The program itself starts MPI, so that both runs pay for that.
  IMPORT=("$SHARED/bin/python3" "$PROGRAMS/imports.py" "$MIOC_BUILD/lib" numpy scipy.linalg pandas matplotlib.pyplot)
}

teardown() { helper_teardown; }

# NAME N P COMMAND... -- on N hosts with P ranks, whose clients are CLIENT (the server's options); leaves NAME.json, the
# server's counts.
count_on() {
  local name=$1 n=$2 p=$3
  shift 3
  rm -f "$SCRATCH/$name.counters"
  HOSTS_MOUNT="$PYTHON_ENV:$SHARED:--counters $SCRATCH/$name.counters ${CLIENT:-}" on_hosts "$n" "$p" "$@"
  "$MIOC_METADATA_SERVER" --report "$SCRATCH/$name.counters" >"$SCRATCH/$name.json"
}

import_on() { count_on "$@" "${IMPORT[@]}"; }

# NAME N P -- what happens before main(), which no preload can serve: the kernel's exec, and ld.so's search for what the
# interpreter is linked with. `--version` ends before anything is read or imported.
before_main_on() {
  run_plain count_on "$@" "$SHARED/bin/python3" --version
  [[ $PLAIN_RC == 0 && $(stat_of "$SCRATCH/$1.json" '.other.open + .other.opendir') == 0 ]]
}

# Sets BARE and BEFORE, the counts of one rank; counted once for all tests of this file with such clients.
count_one_rank() {
  local kind=${CLIENT// /}
  BARE=$BATS_FILE_TMPDIR/bare$kind.json BEFORE=$BATS_FILE_TMPDIR/before$kind.json
  [[ ! -e $BARE ]] || return 0
  run_plain import_on fonts 1 1
  run_plain import_on bare 1 1
  [[ $PLAIN_RC == 0 ]]
  before_main_on before 1 1
  cp "$SCRATCH/bare.json" "$BARE"
  cp "$SCRATCH/before.json" "$BEFORE"
}

# WHAT JQ: the issue's bar for the last cached run, in operations that JQ takes from a report: what comes behind the
# start of main() is at most 1.1 times one bare rank's.
check_bar() {
  local bare before cached before_cached
  bare=$(stat_of "$BARE" "$2") before=$(stat_of "$BEFORE" "$2")
  cached=$(stat_of "$SCRATCH/cached.json" "$2") before_cached=$(stat_of "$SCRATCH/before-all.json" "$2")
  echo "$1: one bare rank $bare, $before of them before main; cached $cached, $before_cached of them before main"
  (((cached - before_cached) * 10 <= (bare - before) * 11))
}

# N P: all operations, shared objects included.
check_operations() {
  count_one_rank
  before_main_on before-all "$1" "$2"
  run_plain import_on plain "$1" "$2"
  MPIIO_CACHE_LOG=info run_cached import_on cached "$1" "$2"
  assert_same
  said
  [[ $(said) == *"active: $(($1 * $2)) ranks on $1 node"* ]]
  echo "metadata operations of the plain run: $(stat_of "$SCRATCH/plain.json" .metadata)"
  check_bar "metadata operations" .metadata
  # The interpreter's own pages are the kernel's to read, once a node, as they are needed.
  check_bar "reads of all but the interpreter" '.other.read + .shared_object.read'
  echo "reads of the interpreter: one bare rank $(stat_of "$BARE" .interpreter.read)," \
    "$1 x $2 cached $(stat_of "$SCRATCH/cached.json" .interpreter.read)"
}

@test "1 x 4 ranks cost the filesystem at most 1.1 times one bare rank and what precedes main" { check_operations 1 4; }

@test "4 x 4 ranks cost the filesystem at most 1.1 times one bare rank and what precedes main" { check_operations 4 4; }

@test "so do 4 x 4 ranks that MPI joins" {
  export MPIIO_CACHE_TRANSPORT=mpi
  check_operations 4 4
}

# Seen: where a client keeps attributes, each file that the root had read cost one operation more: the root looked
# again, and the client asked the server for the time of access, which the read had changed.
@test "so do 2 x 2 ranks whose clients keep names and attributes as NFS's and Lustre's do" {
  local CLIENT
  for CLIENT in '--client nfs --keep 60' '--client lustre'; do
    if [[ $CLIENT == *lustre ]] && ! has_coherent_clients; then
      echo "skipped: needs Linux 6.16"
      continue
    fi
    check_operations 2 2
  done
}

# Slurm's test has eight nodes in every run.
# bats test_tags=all
@test "8 x 4 ranks cost the filesystem at most 1.1 times one bare rank and what precedes main" { check_operations 8 4; }

# A tree of installations as Spack and EasyBuild make them: each package in a folder of its own, and all folders in
# PYTHONPATH and in every RPATH.
make_installations() {
  local i other rpath='' tree=$SCRATCH/tree make=(gcc -shared -fPIC -o)
  for i in {1..20}; do rpath+=$SHARED/p$i/lib:; done
  for i in {1..20}; do
    mkdir -p "$tree/p$i/lib/python3.11/site-packages/package$i"
    echo "value = $i" >"$tree/p$i/lib/python3.11/site-packages/package$i/__init__.py"
    "${make[@]}" "$tree/p$i/lib/libof$i.so" -Wl,-soname,"libof$i.so" -x c - <<<"int of$i(void) { return $i; }"
  done
  for i in {1..20}; do
    other=$((i * 7 % 20 + 1))
    echo "int of$other(void); int value(void) { return of$other(); }" >"$SCRATCH/extension.c"
    "${make[@]}" "$tree/p$i/lib/python3.11/site-packages/package$i/extension.so" "$SCRATCH/extension.c" \
      "$tree/p$other/lib/libof$other.so" -Wl,-rpath,"$rpath"
  done
}

@test "2 x 2 ranks that are told of a tree of installations cost the filesystem no more than one bare rank" {
  local rank
  need_command gcc
  make_installations
  cat >"$SCRATCH/app.py" <<'PY'
import ctypes, importlib, os, sys
total = 0
for i in range(1, 21):
    module = importlib.import_module("package%d" % i)
    total += module.value * ctypes.CDLL(os.path.dirname(module.__file__) + "/extension.so").value()
sys.stdout.write("%d\n" % total)
PY
  PYTHON_ENV=$SCRATCH/tree
  PYTHONPATH=$(printf "$SHARED/p%d/lib/python3.11/site-packages:" {1..20})
  export PYTHONPATH PYTHONDONTWRITEBYTECODE=1
  run_plain count_on one 1 1 "$PYTHON" "$SCRATCH/app.py"
  run_plain count_on plain 2 2 "$PYTHON" "$SCRATCH/app.py"
  MPIIO_CACHE_PATHS=$SHARED run_cached count_on cached 2 2 "$PYTHON" "$SCRATCH/app.py"
  assert_same
  for rank in one plain cached; do echo "$rank: $(stat_of "$SCRATCH/$rank.json" .metadata)"; done
  (($(stat_of "$SCRATCH/cached.json" .metadata) * 10 <= $(stat_of "$SCRATCH/one.json" .metadata) * 11))
}

@test "a missing module is one question for all ranks" {
  IMPORT=("$SHARED/bin/python3" -c '
import os
try:
    import mioc_missing
except ImportError as error:
    print(error)
for suffix in ".py", ".so", "/__init__.py", "/data":
    print(os.path.exists(os.path.dirname(os.__file__) + "/mioc_missing" + suffix))')
  run_plain import_on plain 2 4
  rm -f "$SCRATCH/$name.counters"
  HOSTS_MOUNT="$PYTHON_ENV:$SHARED:--log $SCRATCH/log" run_cached on_hosts 2 4 "${IMPORT[@]}"
  assert_same
  grep mioc_missing "$SCRATCH/log" || true
  (($(grep -c 'mioc_missing' "$SCRATCH/log") <= 1))
}

@test "ranks that import different modules, in different orders, with threads, get what plain gives" {
  cat >"$SCRATCH/diverge.py" <<'PY'
import importlib, os, random, sys, threading
rank = int(os.environ.get("PMI_RANK", "0"))
names = ["json", "sqlite3", "email.mime.text", "xml.dom.minidom", "unittest.mock", "asyncio", "http.server",
         "ctypes.util", "numpy.fft", "multiprocessing.pool", "concurrent.futures", "logging.handlers",
         "mioc_missing_%d" % rank]
random.Random(rank).shuffle(names)
def work(part):
    for name in part:
        try:
            importlib.import_module(name)
        except ImportError as error:
            assert "mioc_missing" in str(error)
threads = [threading.Thread(target=work, args=(names[i::3],)) for i in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(rank, sorted(n for n in names if n in sys.modules),
      sorted(sys.modules[n].__file__ for n in names if n in sys.modules))
PY
  IMPORT=("$SHARED/bin/python3" "$SCRATCH/diverge.py")
  run_plain import_on plain 4 3
  run_cached import_on cached 4 3
  assert_same
  [[ $PLAIN_RC == 0 ]]
}

# Waits of a rank, and different questions at the root: ranks in step wait for each one.
@test "ranks wait for few modules, and for hardly any in a second run" {
  IMPORT=("${IMPORT[@]::3}" numpy scipy.linalg)
  export MPIIO_CACHE_STATS=$SCRATCH/stats.json
  run_plain import_on plain 2 2
  local run modules misses questions operations first_operations
  # On a busy machine ranks can come before what is read ahead; only what is so each time is ours.
  for run in first second third fourth; do
    run_cached import_on "$run" 2 2
    assert_same
    modules=$(awk '{ print $1; exit }' "$CACHED/stdout")
    misses=$(stat_of "$SCRATCH/stats.json" .calls.all.miss)
    questions=$(stat_of "$SCRATCH/stats.json" .root.questions)
    operations=$(stat_of "$SCRATCH/$run.json" .metadata)
    echo "$run run: $modules modules, $misses misses of four ranks, $questions questions at the root," \
      "$operations metadata operations"
    if [[ $run == first ]]; then
      # What a module imports is read while it is on its way.
      ((misses <= modules * 3 && questions * 3 <= modules * 2))
      first_operations=$operations
    # What it still waits for are large shared objects on their way.
    elif ((misses * 5 <= modules && questions * 10 <= modules)); then
      break
    fi
  done
  ((misses * 5 <= modules && questions * 10 <= modules && operations * 100 <= first_operations * 105))
}

@test "statistics count every rank once and agree with the store" {
  local modules='import sys; sys.argv.pop(0); [__import__(name) for name in sys.argv]
print(len({m.__file__ for m in sys.modules.values() if str(getattr(m, "__file__", "")).endswith(".so")}))'
  modules=$("$PYTHON_ENV/bin/python3" -c "$modules" "${IMPORT[@]:3}")
  MPIIO_CACHE_STATS=$SCRATCH/stats.json run_cached import_on cached 2 3
  [[ $CACHED_RC == 0 ]]
  jq . "$SCRATCH/stats.json"
  (($(stat_of "$SCRATCH/stats.json" .ranks) == 6))
  (($(stat_of "$SCRATCH/stats.json" .calls.stat.hit) > 1000))
  (($(stat_of "$SCRATCH/stats.json" .calls.open.hit) > 1000))
  echo "$modules extension modules"
  ((modules > 50 && $(stat_of "$SCRATCH/stats.json" '.loader.loads') >= 6 * modules))
}

@test "statistics are a table on standard error with MPIIO_CACHE_STATS=1" {
  MPIIO_CACHE_STATS=1 run_cached import_on cached 2 2
  [[ $CACHED_RC == 0 ]]
  cat "$CACHED/stderr"
  (($(grep -c 'active: 4 ranks on 2 nodes' "$CACHED/stderr") == 1))
  grep -qE '^ *open .*[0-9]' "$CACHED/stderr"
}
