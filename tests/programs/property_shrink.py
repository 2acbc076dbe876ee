# SPDX-License-Identifier: BSD-3-Clause
"""property_shrink.py - makes a plan that fails shorter: calls are left out as long as what remains still fails.

All candidates of a round are played in one job, each more than once, as what fails may need luck.
"""
import copy
import time

from property_play import Batch

TIMES, ROUNDS, SECONDS = 3, 12, 60


def places(plan):
    """Every call: (phase, place in the phase's list of ranks, place in the rank's list)."""
    return [(p, r, c) for p, phase in enumerate(plan["phases"]) for r, (_, calls) in enumerate(phase["calls"])
            for c in range(len(calls))]


def without(plan, gone):
    gone, out = set(gone), copy.deepcopy(plan)
    for p, phase in enumerate(out["phases"]):
        phase["calls"] = [[rank, [call for c, call in enumerate(calls) if (p, r, c) not in gone]]
                          for r, (rank, calls) in enumerate(phase["calls"])]
        phase["calls"] = [entry for entry in phase["calls"] if entry[1]]
    out["phases"] = [phase for phase in out["phases"] if phase["calls"] or phase["wait"]] or plan["phases"][:1]
    return out


def first_cut(run):
    """Without what came after the wrong answer."""
    plan, wrong = copy.deepcopy(run.plan), run.wrong[0]
    plan["phases"] = plan["phases"][:wrong.phase + 1]
    return plan


def kind(run):
    call = run.wrong[0].call
    return call and (call.name, call.error)


def shrink(model, is_plain, run):
    """The shortest run that failed."""
    best, parts, until = run, 4, time.monotonic() + SECONDS
    plan = first_cut(run)
    for _ in range(ROUNDS):
        calls = places(plan)
        parts = min(parts, len(calls))
        size = -(-len(calls) // parts) if parts else 0
        chunks = [calls[at:at + size] for at in range(0, len(calls), size)] if size else []
        gone = chunks + [set(calls) - set(chunk) for chunk in chunks[-1:]]
        candidates = [plan] + [without(plan, some) for some in gone]
        played = Batch(model, is_plain, candidates * TIMES).play().runs
        failing = [r for r in played if r.wrong and kind(r) == kind(run)]
        if failing:
            shortest = min(failing, key=lambda r: len(places(first_cut(r))))
            if len(places(first_cut(shortest))) < len(calls) or best is run:
                best, plan = shortest, first_cut(shortest)
                parts = max(4, parts // 2)
                if time.monotonic() < until:
                    continue
        if parts >= len(calls) or time.monotonic() > until:
            break
        parts *= 2
    return best
