# README's commands, as a reader copies them.

setup() {
  load helper
  helper_setup
}

teardown() { helper_teardown; }

# The indented lines of README, without comments, in their order; not its picture.
commands() {
  sed '/^```/,/^```/d' "$MIOC_ROOT/README.md" | sed -nE 's/^(    |      )([^ ].*)$/\2/p' | sed -E 's/ +# .*$//'
}

@test "every command of README runs, in the order of README, under Slurm" {
  need_root
  need_command slurmctld
  need_command mpiexec.mpich
  local lmod=/usr/share/lmod/lmod/libexec/lmod
  [[ -e $lmod ]] || skip "lmod is not installed"
  fixture slurm start "$SCRATCH/slurm"
  chmod 755 "$SCRATCH"
  mkdir -p "$SCRATCH/clone" "$SCRATCH/bin" "$SCRATCH/lib"
  ln -s "$MIOC_ROOT"/{CMakeLists.txt,CMakePresets.json,README.md,LICENSE,preload,mpi_shim,scripts,tests} \
    "$SCRATCH/clone/"
  ln -s "$PYTHON" "$SCRATCH/bin/python"
  echo 'value = 42' >"$SCRATCH/lib/module.py"
  echo 'import module; print("ran", module.value)' >"$SCRATCH/clone/app.py"
  commands >"$SCRATCH/commands"
  cat "$SCRATCH/commands"
  (($(wc -l <"$SCRATCH/commands") >= 14)) # or the extraction has lost them
  # What a test may not do, or not here: 4096 ranks, other people's folders, the two commands that run this very test.
  sed -E -e "s|/apps/mpiio-cache|$SCRATCH/apps|g; s|SYSCONFDIR=/etc|SYSCONFDIR=$SCRATCH/etc|; s|-n 4096|-n 4|" \
    -e 's|srun -n 4 python|srun -N 2 -n 4 python|' \
    -e 's|^(\./scripts/(demo\|test)).*|\1 --help|' "$SCRATCH/commands" >"$SCRATCH/lines"
  {
    echo "module() { eval \"\$($lmod bash \"\$@\")\"; }"
    echo "cd '$SCRATCH/clone'"
    # The first line of README is before any installation.
    echo "export LD_LIBRARY_PATH='$MIOC_BUILD/lib'"
    while IFS= read -r line; do
      printf 'echo %q\n' "\$ $line"
      echo "$line || { echo 'FAILED'; exit 1; }"
      [[ $line != 'module load'* ]] || echo "command -v mpiio-cache; echo \$LD_LIBRARY_PATH"
    done <"$SCRATCH/lines"
  } >"$SCRATCH/session.sh"
  local rc=0
  # shellcheck disable=SC1091
  (source "$SCRATCH/slurm/env" &&
    env PATH="$SCRATCH/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" MPIIO_CACHE_LOG=info \
    PYTHONPATH="$SCRATCH/lib" \
    MPIIO_CACHE_PATHS="$SCRATCH/lib" LMOD_DIR=/usr/share/lmod/lmod/libexec HOME="$SCRATCH" bash "$SCRATCH/session.sh" \
    </dev/null) >"$SCRATCH/out" 2>&1 || rc=1
  fixture slurm stop "$SCRATCH/slurm"
  cat "$SCRATCH/out"
  ((rc == 0))
  # Four times srun with the library, each of four ranks and active; the others were commands of other kinds.
  (($(grep -c '^mpiio_cache: active: 4 ranks on ' "$SCRATCH/out") == 4 && $(grep -cx 'ran 42' "$SCRATCH/out") == 16))
  grep -qx "$SCRATCH/apps/bin/mpiio-cache" "$SCRATCH/out"
  [[ -s $SCRATCH/clone/trace.html && -s $SCRATCH/clone/job.json ]]
}
