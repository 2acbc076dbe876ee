# Module files, as users of Lmod and of Environment Modules use them, from an installation of its own.

setup() {
  load helper
  helper_setup
  PREFIX=$SCRATCH/apps/mpiio-cache
  cmake --install "$MIOC_BUILD" --prefix "$PREFIX" >"$SCRATCH/install.log"
  FILES=$PREFIX/share/modulefiles
  # Another version, to swap with.
  for file in "$FILES"/mpiio-cache/*; do
    other=${file/0.1.0/9.9.9}
    sed -e "s|$PREFIX|$SCRATCH/apps/other|g; s|0\.1\.0|9.9.9|g" "$file" >"$other"
  done
  cat >"$SCRATCH/session.sh" <<'SH'
state() {
  for name in PATH LD_LIBRARY_PATH MANPATH PKG_CONFIG_PATH LD_PRELOAD; do echo "$1 $name=${!name-unset}"; done
}
unset LD_LIBRARY_PATH MANPATH PKG_CONFIG_PATH
state before
module load mpiio-cache/0.1.0
state loaded
command -v mpiio-cache
mpiio-cache --version
LD_PRELOAD=libmpiio_cache.so MPIIO_CACHE_LOG=info MPIIO_CACHE_PATHS=$LIB mpiexec.mpich -n 2 "$PYTHON" -c 'print("ran")'
mpiexec.mpich -n 2 mpiio-cache run --log info --paths "$LIB" "$PYTHON" -c 'print("ran")'
module help mpiio-cache/0.1.0
module whatis mpiio-cache/0.1.0
module swap mpiio-cache/0.1.0 mpiio-cache/9.9.9
state swapped
module unload mpiio-cache/9.9.9
state after
SH
  mkdir "$SCRATCH/lib"
}

teardown() { helper_teardown; }

# Holds what the session said against what it must do.
check_session() {
  cat "$SCRATCH/out"
  local out
  out=$(<"$SCRATCH/out")
  diff <(sed -n 's/^before //p' "$SCRATCH/out") <(sed -n 's/^after //p' "$SCRATCH/out" | sed -E 's/=$/=unset/')
  [[ $out == *"loaded PATH=$PREFIX/bin:"* ]]
  [[ $out == *"loaded LD_LIBRARY_PATH=$PREFIX/lib"* ]]
  [[ $out == *"loaded LD_PRELOAD=unset"* ]] # it is not for every command of the shell
  [[ $out == *$'\n'"$PREFIX/bin/mpiio-cache"$'\n'"mpiio-cache 0.1.0"* ]]
  (($(grep -c '^mpiio_cache: active: 2 ranks' "$SCRATCH/out") == 2 && $(grep -cx ran "$SCRATCH/out") == 4))
  [[ $out == *'LD_PRELOAD=libmpiio_cache.so srun python app.py'* ]] # help
  [[ $out == *'Description: Makes imports on supercomputers fast'* ]]           # whatis
  [[ $out == *"swapped PATH=$SCRATCH/apps/other/bin:"* && $out != *"swapped PATH=$PREFIX"* ]]
}

@test "Lmod loads, helps, swaps and unloads" {
  need_command mpiexec.mpich
  local lmod=/usr/share/lmod/lmod/libexec/lmod
  [[ -e $lmod ]] || skip "lmod is not installed"
  env -u LD_PRELOAD PATH=/usr/local/bin:/usr/bin:/bin LIB="$SCRATCH/lib" PYTHON="$PYTHON" MODULEPATH="$FILES" \
    LMOD_DIR=/usr/share/lmod/lmod/libexec LMOD_PAGER=none HOME="$SCRATCH" \
    bash -c "module() { eval \"\$($lmod bash \"\$@\")\"; }; . '$SCRATCH/session.sh'" >"$SCRATCH/out" 2>&1
  check_session
}

@test "Environment Modules load, help, swap and unload" {
  need_command mpiexec.mpich
  need_command tclsh
  local modules=$PYTHON_ENVS/environment-modules
  fixture environment-modules "$modules"
  env -u LD_PRELOAD PATH=/usr/local/bin:/usr/bin:/bin LIB="$SCRATCH/lib" PYTHON="$PYTHON" MODULEPATH="$FILES" \
    HOME="$SCRATCH" MODULES_PAGER= \
    bash -c "module() { eval \"\$(tclsh '$modules/modulecmd.tcl' bash \"\$@\")\"; }; . '$SCRATCH/session.sh'" \
    >"$SCRATCH/out" 2>&1
  check_session
}
