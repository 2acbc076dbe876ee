# The site's configuration file: defaults, the kill switch, lists of programs and users, records.
#
# It lies where the library was configured to look, below /usr/local/etc here: each job has a mount namespace with a
# folder of its own there, as a site's image would.

setup() {
  load helper
  helper_setup
  need_root
  need_command mpiexec.mpich
  mkdir "$SCRATCH/lib" "$SCRATCH/etc" "$SCRATCH/records"
  chmod 1777 "$SCRATCH/records"
  echo 'value = 42' >"$SCRATCH/lib/module.py"
  echo 'import sys; sys.path.insert(0, sys.argv[1]); import module; print("ran", module.value)' >"$SCRATCH/app.py"
  SITE=$(strings -a "$MIOC_LIBRARY" | grep -m 1 '/mpiio_cache\.conf$')
  mkdir -p "${SITE%/*}"
}

teardown() { helper_teardown; }

# Two ranks where the file's lines are those of standard input.
job() {
  launch unshare --mount --propagation private bash -c 'mount --bind "$1" "$2" && shift 2 && exec "$@"' bash \
    "$SCRATCH/etc" "${SITE%/*}" mpiexec.mpich -n 2 "${AS[@]}" "$PYTHON" "$SCRATCH/app.py" "$SCRATCH/lib"
}

# LINE...: the site's file, then the job plain and cached.
with_site() {
  printf '%s\n' "MPIIO_CACHE_PATHS=$SCRATCH/lib" "$@" >"$SCRATCH/etc/mpiio_cache.conf"
  run_plain job
  MPIIO_CACHE_LOG=${LOG-info} run_cached job
  assert_same
  said
}

@test "the site's values are defaults, and the user's variables win" {
  with_site "MPIIO_CACHE_LOADER = plain"
  [[ $(said) == *'active: 2 ranks on 1 node'*'plain: MPIIO_CACHE_LOADER' ]]
  MPIIO_CACHE_LOADER=patch with_site "MPIIO_CACHE_LOADER = plain"
  [[ $(said) == *'active: 2 ranks on 1 node'*'loader patch' ]]
}

@test "the kill switch keeps every job dormant, whatever the user sets" {
  MPIIO_CACHE_DISABLE=0 with_site KILL_SWITCH=1
  local why="the site's configuration says so: KILL_SWITCH is on"
  [[ $(said) == "mpiio_cache: inactive: $why; running uncached. Your site knows why" ]]
  LOG='' with_site KILL_SWITCH=1
  [[ -z $(said) ]]
  with_site KILL_SWITCH=0
  [[ $(said) == *'active: 2 ranks'* ]]
}

@test "programs and users are left alone by lists" {
  with_site 'DENY_PROGRAMS=nothing:app.py'
  [[ $(said) == *'DENY_PROGRAMS names this program; running uncached'* ]]
  with_site 'ALLOW_PROGRAMS=*/python3*'
  [[ $(said) == *'active: 2 ranks'* ]]
  with_site "DENY_USERS=12345, $EUID"
  [[ $(said) == *'DENY_USERS names this user; running uncached'* ]]
  with_site 'ALLOW_USERS=12345'
  [[ $(said) == *'ALLOW_USERS does not name this user; running uncached'* ]]
}

@test "a line that means nothing is one warning, and the others hold" {
  LOG='' with_site 'KILLSWITCH=1' 'MPIIO_CACHE_TTL=soon'
  (($(said | wc -l) == 1))
  [[ $(said) == *"$SITE:2: KILLSWITCH=1: unknown name; the line is ignored (and 1 more)" ]]
}

@test "a file that others could have written is not believed" {
  : >"$SCRATCH/etc/mpiio_cache.conf"
  chmod 666 "$SCRATCH/etc/mpiio_cache.conf"
  MPIIO_CACHE_PATHS=$SCRATCH/lib LOG='' with_site KILL_SWITCH=1
  (($(said | wc -l) == 1))
  [[ $(said) == *"$SITE: others than its owner may write it; the site's settings are not in force" ]]
}

@test "each job leaves one record, as whoever ran it, and a missing folder is one warning" {
  with_site "RECORDS=$SCRATCH/records"
  local records=("$SCRATCH"/records/*)
  ls -la "$SCRATCH/records"
  ((${#records[@]} == 1 && $(find "$SCRATCH/records" -type f | wc -l) == 1))
  [[ $(jq -r '[.ranks, .job.user, .job.id, .job.script, .job.status] | join(" ")' "${records[0]}") \
    == "2 $EUID hydra $SCRATCH/app.py 0" ]]
  (($(stat_of "${records[0]}" .root.calls) > 0))
  chmod 755 "$SCRATCH"
  AS=(setpriv --reuid=65534 --clear-groups)
  with_site "RECORDS=$SCRATCH/records"
  AS=()
  records=("$SCRATCH"/records/65534-*)
  ((${#records[@]} == 1)) && [[ $(stat -c %u "${records[0]}") == 65534 ]]
  LOG='' with_site "RECORDS=$SCRATCH/nowhere"
  (($(said | wc -l) == 1))
  [[ $(said) == *"cannot write this job's record below $SCRATCH/nowhere: No such file or directory; it is lost."* ]]
}
