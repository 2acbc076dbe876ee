# bench imports [OPTION...]: how long a parallel import takes, from the program's first process to its last rank through
# MPI_Finalize, and what processor time: plain, with the library's first run, with its manifest, with a tar of the
# environment copied to every node first, and, as the limit, plain from a local disk. All from one run, the variants
# alternating; medians and spread. The program starts MPI itself.
#   --jobs 1x8,4x8      nodes x ranks each
#   --servers 1,8       operations that the metadata server serves at once
#   --latency-us 500    what one takes
#   --runs 3            of each variant
#   --modules A,B       what is imported (numpy,scipy.linalg)
#   --variants V,V      of plain,first,manifest,tar,floor,local; floor: the interpreter is on the shared filesystem and
#                       all that it imports on a local disk; no preload can do better, as none is there before main()
#   --steps             also when the last rank was done with each step, and what processor time the steps took
#   --one-node          also a local disk with one node of 4 ranks, left alone and forced (aims 1.02 and 1.15)
#   --json F --csv F --plot F.png   write the figures there
# shellcheck shell=bash disable=SC2154

[[ $EUID -eq 0 ]] || die "imports: needs root, for namespaces and FUSE" 77
build_all
env=${XDG_CACHE_HOME:-/var/tmp}/mpiio_cache-tests/env
mkdir -p "$(dirname "$env")"
"$root/tests/fixtures/python-env" "$env" >&2
disk=$(local_disk)
scratch=$(mktemp -d "$disk/mpiio_cache-bench.XXXXXX")
/usr/bin/python3 "$root/tests/programs/bench_imports.py" --root "$root" --build "$build" --env "$env" \
  --scratch "$scratch" "$@"
