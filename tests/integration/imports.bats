# The main job: many ranks import from a shared filesystem, which sees about the operations of one rank.

setup() {
  load helper
  helper_setup
  need_fuse
  need_hosts
  need_python_env
  need_command jq
  SHARED=$SCRATCH/shared
  # The program itself starts MPI, so that both runs pay for that.
  IMPORT=("$SHARED/bin/python3" "$PROGRAMS/imports.py" "$MIOC_BUILD/lib" numpy scipy.linalg pandas)
}

teardown() { helper_teardown; }

# NAME N P [VARIABLE=VALUE]... -- runs the import on N hosts with P ranks; leaves NAME.json, the server's counts.
import_on() {
  local name=$1 n=$2 p=$3
  HOSTS_MOUNT="$PYTHON_ENV:$SHARED:--counters $SCRATCH/$name.counters" on_hosts "$n" "$p" "${IMPORT[@]}"
  "$MIOC_METADATA_SERVER" --report "$SCRATCH/$name.counters" >"$SCRATCH/$name.json"
}

python_operations() { stat_of "$SCRATCH/$1.json" .other.metadata; }

# N P: the issue's bar.
check_operations() {
  local bare cached
  run_plain import_on bare 1 1
  [[ $PLAIN_RC == 0 ]]
  run_plain import_on plain "$1" "$2"
  MPIIO_CACHE_LOG=info run_cached import_on cached "$1" "$2"
  assert_same
  said
  [[ $(said) == *"active: $(($1 * $2)) ranks on $1 node"* ]]
  bare=$(python_operations bare) cached=$(python_operations cached)
  echo "metadata operations for all but shared objects: one bare rank $bare, $1 x $2 plain $(python_operations plain)," \
    "cached $cached"
  ((cached * 10 <= bare * 11))
}

@test "1 x 8 ranks cost the filesystem at most 1.1 times one bare rank" { check_operations 1 8; }

@test "4 x 4 ranks cost the filesystem at most 1.1 times one bare rank" { check_operations 4 4; }

@test "8 x 4 ranks cost the filesystem at most 1.1 times one bare rank" { check_operations 8 4; }

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
  HOSTS_MOUNT="$PYTHON_ENV:$SHARED:--log $SCRATCH/log" run_cached on_hosts 2 4 "${IMPORT[@]}"
  assert_same
  grep mioc_missing "$SCRATCH/log" || true
  (($(grep -c 'mioc_missing' "$SCRATCH/log") <= 1))
}

@test "ranks that import different modules, in different orders, with threads, get what plain gives" {
  cat >"$SCRATCH/diverge.py" <<'PY'
import importlib, os, random, sys, threading
rank = int(os.environ.get("PMI_RANK", "0"))
names = ["json", "sqlite3", "email.mime.text", "xml.dom.minidom", "unittest.mock", "asyncio", "http.server", "ctypes.util",
         "numpy.fft", "multiprocessing.pool", "concurrent.futures", "logging.handlers", "mioc_missing_%d" % rank]
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

@test "statistics count every rank once and agree with the store" {
  MPIIO_CACHE_STATS=$SCRATCH/stats.json run_cached import_on cached 2 3
  [[ $CACHED_RC == 0 ]]
  jq . "$SCRATCH/stats.json"
  (($(stat_of "$SCRATCH/stats.json" .ranks) == 6))
  (($(stat_of "$SCRATCH/stats.json" .calls.stat.hit) > 1000))
  (($(stat_of "$SCRATCH/stats.json" .calls.open.hit) > 1000))
}

@test "statistics are a table on standard error with MPIIO_CACHE_STATS=1" {
  MPIIO_CACHE_STATS=1 run_cached import_on cached 2 2
  [[ $CACHED_RC == 0 ]]
  cat "$CACHED/stderr"
  (($(grep -c 'active: 4 ranks on 2 nodes' "$CACHED/stderr") == 1))
  grep -qE '^ *open .*[0-9]' "$CACHED/stderr"
}
