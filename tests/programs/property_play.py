# SPDX-License-Identifier: BSD-3-Clause
"""property_play.py - plays plans in jobs, and has the answers judged.

play(model, plans, is_plain) starts one job for all of them, each with a tree of its own; a Run is what became of one.
"""
import os
import shutil
import time

import property_plan as plans
from property_job import BUILD, LIBRARY, MODELS, SERVER, Hang, Job
from property_judge import Judge, error_name, short

TOGETHER = 8  # plans that are at work in turns, where they have to wait


def seeds_in(text):
    out = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        out += range(int(first), int(last or first) + 1)
    return out


def cannot():
    """What keeps the test from being run here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    if not os.path.exists("/dev/fuse"):
        return "no /dev/fuse"
    if not os.path.exists(SERVER) or not os.path.exists(LIBRARY):
        return "%s is not built" % BUILD
    return None if shutil.which("mpiexec.mpich") else "no mpiexec.mpich"


class Run:
    def __init__(self, plan, name, root, kept, is_plain):
        self.plan, self.name, self.root, self.kept, self.is_plain = plan, name, root, kept, is_plain
        self.log, self.at, self.ready = [], 0, 0
        self.judge, self.problem = None, None

    def step(self, job):
        """Plays the next phase; whether there are more."""
        phase = self.plan["phases"][self.at]
        done = job.play(self.name, {rank: calls for rank, calls in phase["calls"]})
        self.log.append((done, job.truth(self.name)))
        self.at += 1
        if self.at == len(self.plan["phases"]):
            job.forget(self.name)
            return False
        if self.plan["phases"][self.at]["wait"]:
            self.ready = time.monotonic() + self.kept
        return True

    def begin(self, job):
        self.log = [job.truth(self.name)]

    def decide(self):
        """Judges what was played."""
        self.judge = Judge(self.root, self.log[0], self.kept, self.is_plain)
        for done, truth in self.log[1:]:
            self.judge.phase(done, truth)
        return self

    @property
    def wrong(self):
        return self.judge.wrong if self.judge else []

    @property
    def failed(self):
        return bool(self.problem or self.wrong)


class Batch:
    """One job's plans."""

    def __init__(self, model, is_plain, some):
        self.job, self.kept, self.hits, self.output = Job(model, is_plain), MODELS[model][1], 0, ""
        self.is_plain, self.problem, self.runs = is_plain, None, []
        for i, plan in enumerate(some):
            name = "t%d" % i
            self.job.add(name, lambda top, root, seed=plan["seed"]: plans.make_tree(top, root, seed))
            self.runs.append(Run(plan, name, self.job.names[0] + "/" + name, self.kept, is_plain))

    def play(self):
        try:
            self.job.start()
            self.play_all()
            self.problem = self.job.finish()
            if not self.is_plain and not self.problem:
                self.hits = sum(calls["hit"] for calls in self.job.stats()["calls"].values())
        except Hang as hang:
            self.problem = str(hang)
        finally:
            self.output = self.job.text()
            self.job.remove()
        for run in self.runs:
            if run.log:
                run.decide()
        return self

    def play_all(self):
        waiting, active = self.runs[::-1], []
        while waiting or active:
            while waiting and len(active) < (TOGETHER if self.kept else 1):
                active.append(waiting.pop())
                active[-1].begin(self.job)
            run = min(active, key=lambda run: run.ready)
            time.sleep(max(0, run.ready - time.monotonic()))
            try:
                if not run.step(self.job):
                    active.remove(run)
            except Hang as hang:
                run.problem = str(hang)
                raise


def line_of(call, began):
    """A call and its answer, for people."""
    fields = dict(call.fields)
    for name in "call", "at", "via", "to_via":
        fields.pop(name, None)
    at = call.get("at")
    base = "" if at is None else "cwd:" if at == "cwd" else "fd %d:" % at
    words = [call.name]
    if "path" in fields:
        words.append(("B/" if call.get("via") else "") + base + fields.pop("path"))
    if "to" in fields:
        start = "B/" if call.get("to_via") else "" if "to_via" in call.fields else base
        words.append(start + fields.pop("to"))
    if "mode" in fields:
        fields["mode"] = "%o" % fields["mode"]
    if "text" in fields:
        fields["text"] = short(fields["text"].encode())
    words += ["%s=%s" % item for item in fields.items()]
    answer = error_name(call.error) if call.error else "ok"
    if not call.error and call.value is not None:
        answer = repr(call.value) if not isinstance(call.value, list) else " ".join(short(part) for part in call.value)
    return "%9.3f to %9.3f ms  rank %d  %s -> %s" % ((call.began - began) / 1e6, (call.ended - began) / 1e6, call.rank,
                                                    " ".join(words), answer[:400])


def story(run, is_short=True):
    """Lines: what is wrong first, and the calls that have to do with it."""
    judge, wrong = run.judge, run.wrong[0]
    began = judge.calls[0].began if judge.calls else 0
    touching = {number for key in wrong.keys for number in judge.history.writers.get(key, ())} | related(judge, wrong)
    for call in judge.calls:
        if not is_short or call.number in touching or call is wrong.call:
            yield line_of(call, began)
        if call is wrong.call:
            break
    yield "phase %d (%s): %s" % (wrong.phase, run.plan["phases"][wrong.phase]["kind"], wrong.text)


def related(judge, wrong):
    """The calls by which the failing one knows where it is: its rank's chdir, and what opened its descriptor."""
    out, call = set(), wrong.call
    if call is None:
        return out
    for other in judge.calls[:call.number][::-1]:
        if other.rank != call.rank or other.error:
            continue
        is_slots = "slot" in other.fields and other["slot"] in (call.get("at"), call.get("slot"))
        if is_slots or (other.name == "chdir" and call.get("at") == "cwd"):
            out.add(other.number)
            if other.name in ("chdir", "hold", "hold_to_write"):
                break
    return out
