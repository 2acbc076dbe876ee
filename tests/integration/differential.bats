# Every interposed function, over every shape of path and flag: served from a store it answers as the kernel does.

setup() {
  load helper
  helper_setup
}

teardown() { helper_teardown; }

@test "170,000 calls served from the store give the results of the real calls" {
  chmod 755 "$SCRATCH" # the test runs as nobody too
  "$PROGRAMS/run-differential" "$MIOC_BUILD/programs/differential" "$MIOC_BUILD/programs/local_agent.so" "$SCRATCH"
}
