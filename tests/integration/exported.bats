# What holds for every exported function: tests/programs/exported*.c have a call of each that succeeds.

setup() {
  load helper
  helper_setup
  need_root # trusted attributes, groups
  need_command mpiexec.mpich
  EXPORTED=$PROGRAMS/exported.py
  MODULE=$MIOC_BUILD/programs/exported.so
  export MPIIO_CACHE_PATHS=$SCRATCH/files/library
}

teardown() { helper_teardown; }

# OUT [LIMITS]: all cases in two ranks, a guest and a program that is no interpreter.
cases() {
  mkdir "$SCRATCH/$1"
  "$PYTHON" "$EXPORTED" --make "$SCRATCH/files"
  on_mpiexec 2 "$PYTHON" "$EXPORTED" "$SCRATCH/files" "$MODULE" "$MIOC_BUILD/programs/exported_main" "$SCRATCH/$1" "${@:2}"
}

@test "every exported function has a case" {
  diff <(sed -e 's:/\*.*\*/::' "$MIOC_ROOT/preload/libmpiio_cache.map" | tr -d ' \n' | sed 's/.*global:\(.*\)local:.*/\1/' | tr ';' '\n' |
           sed '/^$/d' | sort) <("$PYTHON" "$EXPORTED" --names "$MODULE" | sort)
}

# Seen: 2, ENOENT, after dup, dup2, dup3, flock, lockf, fcntl and copy_file_range of a descriptor whose file is gone.
@test "a call that succeeds leaves errno alone, whatever was needed for it" {
  run_plain cases plain
  ((PLAIN_RC == 0))
  # The others must be seen to succeed, or nothing is tested. These never come back.
  [[ $("$PYTHON" "$EXPORTED" --idle "$SCRATCH/plain") == "_Exit _exit abort execl execle execlp execv execve execveat execvp execvpe fexecve quick_exit" ]]
  MPIIO_CACHE_LOG=info run_cached cases cached
  ((CACHED_RC == 0))
  [[ $(said) == *'active: 2 ranks'* ]]
  "$PYTHON" "$EXPORTED" --compare "$SCRATCH/plain" "$SCRATCH/cached"
  MPIIO_CACHE_DISABLE=1 run_cached cases dormant
  ((CACHED_RC == 0))
  "$PYTHON" "$EXPORTED" --compare "$SCRATCH/plain" "$SCRATCH/dormant"
  # Tracing looks at errno itself.
  MPIIO_CACHE_STATS=1 MPIIO_CACHE_TRACE=$SCRATCH/trace run_cached cases traced
  ((CACHED_RC == 0))
  "$PYTHON" "$EXPORTED" --compare "$SCRATCH/plain" "$SCRATCH/traced"
}
