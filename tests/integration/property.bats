# Random writers and readers (tests/programs/property): four ranks on two simulated hosts make random calls on a small
# tree, and every answer must be one that plain could have given in that kind of client. A seed that fails is named with
# the command that plays it again and shortens its history.

setup() {
  load helper
  helper_setup
  need_fuse
  need_hosts
}

teardown() { helper_teardown; }

# MODEL SEEDS [OPTION...]
play() {
  if [[ $1 == lustre ]]; then has_coherent_clients || skip "needs Linux 6.16"; fi
  timeout -k 10 600 "$PYTHON" "$PROGRAMS/property" --model "$1" --seeds "$2" --no-shrink "${@:3}"
}

@test "random writers and readers, a client that keeps nothing: plain could have given each answer" {
  play none 68-134
}

@test "random writers and readers, a client like NFS's: plain could have given each answer" {
  play nfs 1-66,340,957,7720
}

@test "random writers and readers, a client like Lustre's: plain could have given each answer" {
  play lustre 135-200,338,4076,4847
}

@test "the judge of random calls is right about histories that are made by hand" {
  timeout -k 10 60 "$PYTHON" "$PROGRAMS/property_judged"
}

@test "the judge of random calls finds an answer that is changed" {
  local models=none,nfs
  has_coherent_clients && models+=,lustre
  timeout -k 10 300 "$PYTHON" "$PROGRAMS/property_mutants" --seeds 1-2 --models "$models"
}

# bats test_tags=all
@test "random writers and readers: 1,000 seeds more in each kind of client, and 300 without the library" {
  local model
  for model in none nfs lustre; do
    play "$model" 201-300 --plain
    play "$model" 201-1200
  done
}
