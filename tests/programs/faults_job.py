# SPDX-License-Identifier: BSD-3-Clause
"""faults_job.py - one launch of a job (Job), and the tree, hosts and plain answers that all of them share (Bench)."""
import json
import mmap
import os
import shutil
import signal
import subprocess
import tempfile
import time

import faults_plan as plans

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("MIOC_BUILD", os.path.join(ROOT, "build/release"))
LIBRARY = os.path.join(BUILD, "lib/libmpiio_cache.so")
SERVER = os.path.join(BUILD, "bin/mioc_metadata_server")
HOSTS = os.path.join(ROOT, "tests/fixtures/simulated-hosts")
SHARED = os.path.join(ROOT, "tests/fixtures/shared-fs")
SLURM = os.path.join(ROOT, "tests/fixtures/slurm")
APP = os.path.join(HERE, "faults_app.py")
PYTHON = "/usr/bin/python3"

TIMEOUT = 2        # MPIIO_CACHE_TIMEOUT
LINGER = 4         # MPIIO_CACHE_LINGER
PAUSE = 5          # of a rank that goes on
OPERATION = 3 * TIMEOUT + 4  # longest of one operation: three deadlines, then the breaker; and a busy machine
JOB = 90           # a job that lasts longer hangs
WRITE_BOUND = 10   # how soon a write is seen everywhere: what is silent for so long is trusted no more
ENDING = 12        # how long processes may take to end when nothing holds them


def is_there(pid):
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class Wrong(Exception):
    pass


class Job:
    """One launch: the control file, the launcher, its ranks' pids and what is left of it."""

    def __init__(self, bench, plan, preload=True):
        self.bench, self.plan, self.preload = bench, plan, preload
        self.size = plan["nodes"] * plan["ranks"]
        self.client = plans.CLIENTS[plan.get("client", "")]
        self.folder = tempfile.mkdtemp(dir=bench.scratch, prefix="job.")
        self.id = "mioc-%s" % os.path.basename(self.folder)
        self.counters = os.path.join(self.folder, "counters")
        self.pids, self.mounted = {}, False
        with open(os.path.join(self.folder, "progress"), "w+b") as file:
            file.truncate(4096)
            self.progress = memoryview(mmap.mmap(file.fileno(), 4096)).cast("Q")
        self.make_control()

    def make_control(self):
        plan, site = self.plan, self.bench.seen
        control = {"seed": plan["seed"], "order": plan["order"], "folder": self.folder,
                   "operations": self.bench.operations, "again": [], "passing": plan.get("times", 0)}
        if plan["kind"] == "error":
            path = "%s/sample/part%d/mod%d.py" % (site, *plan["file"])
            control["again"] = [["look", path], ["read", path]]
        if "starved" in plan:
            control["starved"] = plan["starved"]
        if "writer" in plan:
            control["write"] = {"rank": plan["writer"], "deaf": plans.not_told(plan), "path": site + "/sample/note.py",
                                "text": plans.NOTE % 2, "bound": WRITE_BOUND,
                                "patience": 30}
        with open(os.path.join(self.folder, "control"), "w") as file:
            json.dump(control, file)

    def server_options(self):
        plan = self.plan
        options = "--servers 4 --latency-us %d --counters %s %s" % (plan["latency_us"], self.counters, self.client[0])
        if plan["kind"] == "error":
            options += " --fault /site/sample/part%d/mod%d.py:%s:%s" % (*plan["file"], plan["error"], plan["operation"])
            options += ":%d" % plan["times"] if plan["times"] else ""
        if plan["kind"] == "hang" and self.preload:
            options += " --hang-after %d:%d" % (plan["after"], plan["seconds"])
        return options

    def start(self, command=None):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("MPIIO_CACHE_", "PMI_", "PYTHON", "LD_PRELOAD", "SLURM_"))}
        env.update(PYTHONPATH=self.bench.seen, PYTHONDONTWRITEBYTECODE="1", MIOC_TEST_ID=self.id,
                   MIOC_METADATA_SERVER=SERVER, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        if self.preload:
            env.update(LD_PRELOAD=LIBRARY, MPIIO_CACHE_TIMEOUT=str(TIMEOUT), MPIIO_CACHE_LINGER=str(LINGER),
                       MPIIO_CACHE_LOG="info", MPIIO_CACHE_KEYFILE=self.bench.key)
            if self.client[1] is not None:
                env["MPIIO_CACHE_ACTIMEO"] = str(self.client[1])
            if self.plan["class"] == "library":
                env["MPIIO_CACHE_PATHS"] = self.bench.seen
        self.output = open(os.path.join(self.folder, "output"), "w+b")
        launcher = self.srun(env) if self.plan.get("survive") else self.mpiexec()
        # simulated-hosts is a shell script, so it is preloaded, too, as the user's launcher would be.
        self.launcher = subprocess.Popen(launcher + (command or [PYTHON, APP, os.path.join(self.folder, "control")]),
                                         env=env, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output,
                                         start_new_session=True)
        return self

    def mpiexec(self):
        mount = "%s:%s:%s" % (self.bench.source, self.bench.mountpoint, self.server_options())
        return [HOSTS, "--mount", mount, "--shm", self.bench.shm, str(self.plan["nodes"]), str(self.plan["ranks"])]

    def srun(self, env):
        """Slurm lets the others of a killed rank live; hydra does not, with -disable-auto-cleanup neither:
        it sends them SIGUSR1."""
        env.update(self.bench.slurm())
        env["MPIIO_CACHE_DIR"] = os.path.join(self.bench.shm, "node0")
        subprocess.run([SHARED, "mount", self.bench.source, self.bench.mountpoint] + self.server_options().split(),
                       check=True, env=dict(os.environ, MIOC_METADATA_SERVER=SERVER))
        self.mounted = True
        return ["srun", "--overcommit", "-N", str(self.plan["nodes"]), "--ntasks-per-node=%d" % self.plan["ranks"],
                "--mpi=pmi2", "-K0", "--no-kill"]

    def processes(self):
        """{pid: rank or None} of all that this job started and that runs; the file servers are not counted."""
        found, mark = {}, ("MIOC_TEST_ID=%s" % self.id).encode()
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open("/proc/%s/environ" % name, "rb") as file:
                    environ = file.read().split(b"\0")
                if mark not in environ or not is_there(int(name)):
                    continue
                with open("/proc/%s/cmdline" % name, "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"mioc_metadata_server"):
                continue
            rank = next((int(e[9:]) for e in environ if e.startswith(b"PMI_RANK=")), None)
            found[int(name)] = rank if len(words) > 1 and words[1] == APP.encode() else None
        return found

    def find_ranks(self):
        if len(self.pids) < self.size:
            for pid, rank in self.processes().items():
                if rank is not None:
                    self.pids.setdefault(rank, pid)
        return self.pids

    def find_agents(self):
        """{node: pid} of the agents that run. An agent has the environment of the rank that started it."""
        found = {}
        for pid in self.processes():
            try:
                with open("/proc/%d/comm" % pid) as file:
                    is_agent = file.read() == "mpiio_cache\n"
                with open("/proc/%d/environ" % pid, "rb") as file:
                    rank = next((int(e[9:]) for e in file.read().split(b"\0") if e.startswith(b"PMI_RANK=")), None)
            except OSError:
                continue
            if is_agent and rank is not None:
                found[rank // self.plan["ranks"]] = pid
        return found

    def has_started(self, rank):
        return os.path.exists(os.path.join(self.folder, "started.%d" % rank))

    def result(self, rank):
        try:
            with open(os.path.join(self.folder, "result.%d" % rank)) as file:
                return json.load(file)
        except FileNotFoundError:
            return None

    def wait(self, until, is_done):
        while not is_done():
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True

    def text(self):
        self.output.flush()
        with open(self.output.name, errors="replace") as file:
            return file.read()

    def end(self):
        """Ends what is still there, by pid. Returns what it was."""
        left = self.processes()
        for pid in left:
            for what in (signal.SIGKILL, signal.SIGCONT):
                try:
                    os.kill(pid, what)
                except ProcessLookupError:
                    pass
        if self.launcher.poll() is None:
            self.wait(time.monotonic() + 5, lambda: self.launcher.poll() is not None)
        self.output.close()
        self.unmount()
        return left

    def unmount(self):
        if self.mounted:
            self.mounted = False
            subprocess.run([SHARED, "umount", self.bench.mountpoint], check=False)


class Bench:
    """The tree, its mount point, /dev/shm of the hosts, and what a plain run sees."""

    def __init__(self):
        self.scratch = tempfile.mkdtemp(dir="/tmp", prefix="mioc-faults.")
        self.pristine = os.path.join(self.scratch, "pristine")
        self.source, self.mountpoint = os.path.join(self.scratch, "source"), os.path.join(self.scratch, "shared")
        self.shm = os.path.join(self.scratch, "shm")
        self.seen = os.path.join(self.mountpoint, "site")
        self.key = os.path.join(self.scratch, "key")  # Slurm's nodes have no munged in its usual place
        with open(os.open(self.key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(os.urandom(64))
        os.mkdir(self.mountpoint)
        plans.make_tree(self.pristine)
        self.operations = plans.operations(self.seen)
        self.truths, self.slurm_folder = {}, None

    def fresh(self, plan):
        """A new tree, and empty hosts; what is on them is of this seed."""
        shutil.rmtree(self.source, ignore_errors=True)
        shutil.copytree(self.pristine, self.source, symlinks=True, copy_function=lambda a, b: os.link(a, b)
                        if "/numpy/" in a else shutil.copy2(a, b))
        self.clear()
        for node in range(plan["nodes"]):
            folder = os.path.join(self.shm, "node%d" % node)
            os.makedirs(folder)
            size = plan["room"] if plan.get("full") == node else 0
            subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777,size=%s" % (size or "4g"), "tmpfs", folder],
                           check=True)
            if plan.get("full") == node and not size: # full to the last page
                with open(os.path.join(folder, "full"), "wb", buffering=0) as file:
                    subprocess.run(["mount", "-o", "remount,size=64k", folder], check=True)
                    try:
                        while file.write(bytes(4096)):
                            pass
                    except OSError:
                        pass

    def clear(self):
        if os.path.isdir(self.shm):
            for name in os.listdir(self.shm):
                subprocess.run(["umount", os.path.join(self.shm, name)], check=False, stderr=subprocess.DEVNULL)
                os.rmdir(os.path.join(self.shm, name))

    def left_in_shm(self):
        return sorted(os.path.join(node, name) for node in os.listdir(self.shm)
                      for name in os.listdir(os.path.join(self.shm, node))
                      if name != "full")

    def truth(self, plan, key):
        """What a plain rank alone sees of the tree as it is, with the plan's errors of the file server."""
        if key in self.truths:
            return self.truths[key]
        alone = {k: v for k, v in plan.items() if k not in ("writer", "survive", "starved", "times")}
        alone.update(nodes=1, ranks=1, order="same", latency_us=0, times=0)
        job = Job(self, alone, preload=False).start()
        job.launcher.wait(JOB)
        result = job.result(0)
        if result is None:
            raise Wrong("the plain run failed:\n" + job.text())
        job.end()
        self.truths[key] = result["results"]
        return result["results"]

    def slurm(self):
        """Its environment; started by the first who needs it."""
        if not self.slurm_folder:
            self.slurm_folder = tempfile.mkdtemp(dir="/tmp", prefix="mioc-slurm.")
            subprocess.run([SLURM, "start", self.slurm_folder, "4"], check=True, stdout=subprocess.DEVNULL)
        return {"SLURM_CONF": self.slurm_folder + "/slurm.conf"}

    def remove(self):
        if self.slurm_folder:
            subprocess.run([SLURM, "stop", self.slurm_folder], check=False)
            shutil.rmtree(self.slurm_folder, ignore_errors=True)
        self.clear()
        shutil.rmtree(self.scratch, ignore_errors=True)
