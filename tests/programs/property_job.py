# SPDX-License-Identifier: BSD-3-Clause
"""property_job.py - one start of four ranks on two simulated hosts that play many plans (Job), and what is true of the
tree behind all mounts (snapshot)."""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from property_calls import TYPES
from property_rank import receive, send

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("MIOC_BUILD", os.path.join(ROOT, "build/release")))
LIBRARY = os.environ.get("MIOC_PROPERTY_LIBRARY", os.path.join(BUILD, "lib/libmpiio_cache.so"))
SERVER = os.path.join(BUILD, "bin/mioc_metadata_server")
HOSTS = os.path.join(ROOT, "tests/fixtures/simulated-hosts")
PYTHON = "/usr/bin/python3"

NODES, PER_NODE = 2, 2
RANKS = NODES * PER_NODE
KEPT = 0.3      # seconds that a client of the NFS-like model keeps what it knows
LATE = 0.3      # seconds that an answer may take on its way to it
SILENCE = 60    # a rank that does not answer for so long hangs
TOGETHER = 3e-4 # seconds from the message until all ranks begin

# The metadata server's options, the seconds for which plain may see what another node has changed since, and
# MPIIO_CACHE_ACTIMEO.
MODELS = {
    "none": ("--client none", 0, "auto"),
    "nfs": ("--client nfs --keep %s" % KEPT, KEPT + LATE, str(KEPT)),
    "lustre": ("--client lustre", 0, "0"),
}


class Hang(Exception):
    pass


def snapshot(top):
    """{inode: [type, mode, mtime, links, more]}, and the root's inode; `more` is a file's bytes, a link's target, a
    directory's names."""
    found = {}

    def look(path, st):
        kind, more = TYPES[st.st_mode & 0o170000], None
        if kind == "l":
            more = os.readlink(path)
        elif kind == "f":
            with open(path, "rb", buffering=0) as file:
                more = file.readall()
        else:
            more = {}
            with os.scandir(path) as entries:
                for entry in entries:
                    more[entry.name] = look(entry.path, entry.stat(follow_symlinks=False))
        found[st.st_ino] = [kind, st.st_mode & 0o7777, st.st_mtime_ns, st.st_nlink, more]
        return st.st_ino

    return look(top, os.lstat(top)), found


class Job:
    def __init__(self, model, is_plain=False):
        self.model, self.is_plain = model, is_plain
        self.scratch = tempfile.mkdtemp(dir="/tmp", prefix="mioc-property.")
        self.source, self.mountpoint = self.scratch + "/source", self.scratch + "/shared"
        self.names = [self.mountpoint + "/lib", self.scratch + "/alias"]
        os.mkdir(self.source)
        os.mkdir(self.mountpoint)
        # Its inode numbers are never used again.
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.source], check=True)
        os.mkdir(self.source + "/lib")
        os.symlink(self.names[0], self.names[1])
        self.launcher, self.ranks = None, {}

    def add(self, name, make_tree):
        """A tree, before the start. Its root's name as the ranks have it is what absolute links in it begin with."""
        make_tree("%s/lib/%s" % (self.source, name), self.names[0] + "/" + name)

    def environment(self):
        others = "MPIIO_CACHE_", "PMI_", "PYTHON", "LD_PRELOAD", "SLURM_"
        env = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        env["MIOC_METADATA_SERVER"] = SERVER
        if not self.is_plain:
            env.update(LD_PRELOAD=LIBRARY, MPIIO_CACHE_PATHS=":".join(self.names), MPIIO_CACHE_LOG="info",
                       MPIIO_CACHE_STATS=self.scratch + "/stats", MPIIO_CACHE_MANIFEST="off",
                       MPIIO_CACHE_ACTIMEO=MODELS[self.model][2])
        return env

    def start(self):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.scratch + "/socket")
        listener.listen(RANKS)
        listener.settimeout(SILENCE)
        self.output = open(self.scratch + "/output", "w+b")
        mount = "%s:%s:%s" % (self.source, self.mountpoint, MODELS[self.model][0])
        program = [PYTHON, "-S", HERE + "/property_rank.py", self.scratch + "/socket"] + self.names
        self.launcher = subprocess.Popen(
            [HOSTS, "--mount", mount, str(NODES), str(PER_NODE)] + program, env=self.environment(),
            stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output, start_new_session=True)
        try:
            while len(self.ranks) < RANKS:
                connection = listener.accept()[0]
                connection.settimeout(SILENCE)
                self.ranks[receive(connection)] = connection
        except (OSError, EOFError) as error:
            raise Hang("the ranks did not start: %s" % error) from error
        finally:
            listener.close()
        return self

    def play(self, tree, calls):
        """Makes each rank's calls, {rank: calls}, at the same time. [rank, call, began, ended, errno, value] of
        each."""
        start = time.monotonic_ns() + int(TOGETHER * 1e9) if len(calls) > 1 else 0
        for rank, mine in calls.items():
            send(self.ranks[rank], ["play", tree, start, mine])
        done = []
        for rank, mine in calls.items():
            try:
                answers = receive(self.ranks[rank])
            except (OSError, EOFError) as error:
                why = error or "it is gone"
                raise Hang("rank %d does not answer: %s; it was to make %s" % (rank, why, mine)) from error
            done += [[rank, call] + answer for call, answer in zip(mine, answers)]
        return done

    def truth(self, tree):
        return snapshot("%s/lib/%s" % (self.source, tree))

    def forget(self, tree):
        for connection in self.ranks.values():
            send(connection, ["forget", tree])

    def finish(self):
        """Ends the ranks. What is wrong with that, or None."""
        for connection in self.ranks.values():
            send(connection, ["end"])
        try:
            code = self.launcher.wait(SILENCE)
        except subprocess.TimeoutExpired:
            return "the job does not end"
        return None if code == 0 else "the launcher said %d" % code

    def stats(self):
        with open(self.scratch + "/stats") as file:
            return json.load(file)

    def text(self):
        with open(self.scratch + "/output", errors="replace") as file:
            return file.read()

    def remove(self):
        for connection in self.ranks.values():
            connection.close()
        if self.launcher is not None and self.launcher.poll() is None:
            os.killpg(self.launcher.pid, signal.SIGKILL)  # a session of its own
            self.launcher.wait()
        subprocess.run(["umount", self.source], check=False)
        shutil.rmtree(self.scratch, ignore_errors=True)
