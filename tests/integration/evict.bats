# The store is smaller than what is read: old contents make way, evicted contents are asked for again, and open files
# keep theirs.

setup() {
  load helper
  helper_setup
  need_fuse
  need_hosts
  mkdir "$SCRATCH/source"
  local i
  for i in {0..39}; do
    head -c 500000 /dev/urandom | base64 -w 70 | sed "s/^/# /; 1i value = $i" >"$SCRATCH/source/data$i.txt"
  done
  SHARED=$SCRATCH/sw COUNTERS=$SCRATCH/counters
  HOSTS_MOUNT="$SCRATCH/source:$SHARED:--counters $COUNTERS"
  export MPIIO_CACHE_PATHS=$SHARED MPIIO_CACHE_MANIFEST=off
  cat >"$SCRATCH/app.py" <<'PY'
import glob, hashlib, mmap, os, sys, time
shared = sys.argv[1]
def read(i):
    with open("%s/data%d.txt" % (shared, i), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:12]
kept = open(shared + "/data0.txt", "rb")
mapped = mmap.mmap(kept.fileno(), 0, access=mmap.ACCESS_READ)
first = [read(i) for i in range(40)]
most = 0
again = [read(i) for i in range(40)]
print(first == again, hashlib.sha256("".join(first).encode()).hexdigest()[:16])
print(hashlib.sha256(mapped[:]).hexdigest()[:12] == first[0], hashlib.sha256(kept.read()).hexdigest()[:12] == first[0],
      os.fstat(kept.fileno()).st_size == os.stat(kept.name).st_size,
      os.readlink("/proc/self/fd/%d" % kept.fileno()) == os.path.realpath(kept.name))
PY
}

teardown() { helper_teardown; }

@test "old contents make way for new ones on all nodes, and are read again by one rank" {
  run_plain on_hosts 2 3 "$PYTHON" "$SCRATCH/app.py" "$SHARED"
  rm "$COUNTERS"
  MPIIO_CACHE_LOG=info MPIIO_CACHE_MAX_BYTES=10M MPIIO_CACHE_STATS=$SCRATCH/stats.json run_cached on_hosts 2 3 \
    "$PYTHON" "$SCRATCH/app.py" "$SHARED"
  SLACK=20 assert_same
  said
  jq -c '[.reported_nodes, .store, .root, .calls.open]' "$SCRATCH/stats.json"
  "$MIOC_METADATA_SERVER" --report "$COUNTERS" | jq -c '[.other.open, .other.read]'
  (($(grep -cx 'True True True True' "$CACHED/stdout") == 6))
  (($(stat_of "$SCRATCH/stats.json" .store.bytes) <= 10 * 1048576))
  # 27 MB went through it. Six ranks open 81 files each; what one reads at about the same time as the others is read
  # once, and once more in the second round.
  local opens
  opens=$("$MIOC_METADATA_SERVER" --report "$COUNTERS" | jq .other.open)
  (($(stat_of "$SCRATCH/stats.json" '.calls.open.hit + .calls.open.miss') >= 6 * 81 * 8 / 10))
  ((opens <= 6 * 81 / 2))
}

# Seen: where nothing could be evicted, each content that did not fit waited 1.5 s all the same. The import of numpy
# took 90 s.
@test "where nothing can be given up nobody waits for it" {
  local i
  for i in {0..19}; do ln "$SCRATCH/source/data$i.txt" "$SCRATCH/source/lib$i.so"; done
  cat >"$SCRATCH/full.py" <<'PY'
import hashlib, sys
total = hashlib.sha256()
for name in ["lib%d.so" % i for i in range(20)] + ["data%d.txt" % i for i in range(40)]:
    with open("%s/%s" % (sys.argv[1], name), "rb") as file:
        total.update(file.read())
print(total.hexdigest())
PY
  MPIIO_CACHE_LOG=info MPIIO_CACHE_MAX_BYTES=10M SLACK=6 same_as_plain on_hosts 2 2 "$PYTHON" "$SCRATCH/full.py" \
    "$SHARED"
  echo "plain $PLAIN_SECONDS, cached $CACHED_SECONDS"
  [[ $(said) == *'active: 4 ranks on 2 nodes'* ]]
}

# Files that somebody outside of the job writes to while they are read.
@test "contents that will not be complete give their bytes and their place back, on every node" {
  mkdir "$SCRATCH/source/growing" "$SCRATCH/source/still"
  local i shell=$BASHPID
  for i in {0..19}; do head -c 4M /dev/zero >"$SCRATCH/source/growing/$i.txt"; done
  for i in {0..4}; do head -c 4M /dev/zero >"$SCRATCH/source/still/$i.txt"; done
  cat >"$SCRATCH/grow.py" <<'PY'
import os, sys
files = [open("%s/%d.txt" % (sys.argv[1], i), "ab", 0) for i in range(20)]
while os.getppid() == int(sys.argv[2]):
    for file in files: file.write(b"x")
PY
  cat >"$SCRATCH/changing.py" <<'PY'
import os, subprocess, sys, time
shared = sys.argv[1]
for i in range(20):
    with open("%s/growing/%d.txt" % (shared, i), "rb") as file: file.read(10)
for i in range(5):
    with open("%s/still/%d.txt" % (shared, i), "rb") as file: file.read(10)
def unsealed(): # KiB, by a program that sees the store's files as they are
    plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    find = ["find", "/dev/shm", "-path", "*/c/*", "!", "-perm", "400", "-printf", "%k\n"]
    return sum(map(int, subprocess.run(find, env=plain, stdout=subprocess.PIPE).stdout.split()))
until = time.monotonic() + 20 # nodes tell how far they are once a second
while unsealed() > 0 and time.monotonic() < until: time.sleep(0.05)
print("never complete, KiB:", unsealed(), flush=True)
PY
  "$PYTHON" -S "$SCRATCH/grow.py" "$SCRATCH/source/growing" "$shell" 3>&- &
  local grower=$!
  HOSTS_MOUNT="$SCRATCH/source:$SHARED:--dir-timeout 0 --file-attr-timeout 0"
  run_plain on_hosts 3 1 "$PYTHON" "$SCRATCH/changing.py" "$SHARED"
  MPIIO_CACHE_MAX_BYTES=48M MPIIO_CACHE_STATS=$SCRATCH/stats.json \
    run_cached on_hosts 3 1 "$PYTHON" "$SCRATCH/changing.py" "$SHARED"
  kill "$grower"
  jq -c '[.reported_nodes, .store, .root, .calls.open]' "$SCRATCH/stats.json"
  SLACK=20 assert_same
  [[ $(sort -u "$CACHED/stdout") == "never complete, KiB: 0" ]]
  # Some of them did change, and what nobody changes has found its place behind 80 MB of what has none.
  local contents bytes
  contents=$(stat_of "$SCRATCH/stats.json" .store.contents) bytes=$(stat_of "$SCRATCH/stats.json" .store.bytes)
  ((contents >= 5 && contents < 25 && bytes < (contents + 1) * 4400000))
}
