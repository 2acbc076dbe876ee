# SPDX-License-Identifier: BSD-3-Clause
"""faults_plan.py - what a seed decides, and the tree that is imported."""
import os
import py_compile
import random
import shutil

KINDS = [("kill", 5), ("stop", 4), ("pause", 4), ("shm", 3), ("error", 3), ("hang", 2), ("files", 4),
         ("descriptors", 3)]
ERRORS = ["EIO", "ESTALE", "EACCES"]
# How often the agents of nodes are struck, too: in the kinds that strike ranks, and in those that strike nobody.
AGENTS = {"kill": 0.6, "stop": 0.6, "pause": 0.6, "files": 0.25, "descriptors": 0.25}
NUMPY = "/usr/lib/python3/dist-packages/numpy"
PACKAGES, MODULES = 8, 12
# Kinds of clients that the shared filesystem may have: the server's options,
# and how long another node's write may stay unseen.
CLIENTS = {"": ("", None), "none": ("--client none", 0), "nfs": ("--client nfs --keep 0.7", 1),
           "lustre": ("--client lustre", 0)}
NOTE = "VALUE = 'note %d'\n"  # what a rank rewrites


def module_text(package, module, version):
    filler = "".join("ROW_%d = %r\n" % (i, "%d-%d-%d" % (package, module, i))
                     for i in range((package * 7 + module * 13) % 60))
    return "# version %04d\nVALUE = '%d.%d.%04d'\n%s" % (version, package, module, version, filler)


def link(source, target):
    """A hard link, or where that cannot be a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def make_tree(root):
    """site/ holds numpy and the package of about 100 modules, with bytecode. Times are fixed: `look` compares them."""
    site = os.path.join(root, "site")
    os.makedirs(site)
    if os.path.isdir(NUMPY):  # hard links: nothing here is changed in place but the package
        shutil.copytree(NUMPY, os.path.join(site, "numpy"), symlinks=True, copy_function=link,
                        ignore=shutil.ignore_patterns("tests", "f2py", "distutils"))
    for package in range(PACKAGES):
        folder = os.path.join(site, "sample", "part%d" % package)
        os.makedirs(folder)
        for module in range(MODULES):
            with open(os.path.join(folder, "mod%d.py" % module), "w") as file:
                file.write(module_text(package, module, 1))
        open(os.path.join(folder, "__init__.py"), "w").close()
    with open(os.path.join(site, "sample", "__init__.py"), "w") as file:
        file.write("VALUE = 'sample'\n")
    with open(os.path.join(site, "sample", "note.py"), "w") as file:
        file.write(NOTE % 1)
    for folder, _, names in os.walk(os.path.join(site, "sample")):
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                os.utime(path, ns=(10**18, 10**18))
                py_compile.compile(path, dfile=path)
    return site


def operations(site):
    """Names and arguments; faults_app.py knows what they mean. `site` is where the ranks see it."""
    out = []
    for package in range(PACKAGES):
        folder = "%s/sample/part%d" % (site, package)
        out.append(["names", folder])
        out.append(["look", folder + "/missing.py"])
        out.append(["load", "sample.part%d.missing" % package])
        for module in range(MODULES):
            path = "%s/mod%d.py" % (folder, module)
            out += [["load", "sample.part%d.mod%d" % (package, module)], ["look", path], ["read", path]]
    out.insert(1, ["read", site + "/sample/note.py"])
    out.insert(len(out) // 3, ["guest", "sample.part3.mod3"])
    if os.path.isdir(NUMPY):
        out.insert(len(out) // 2, ["numpy", ""])
    return out


def victim(rng, plan):
    """The root, another leader, or any rank."""
    ranks, per_node = plan["nodes"] * plan["ranks"], plan["ranks"]
    pick = rng.random()
    if pick < 0.3:
        return 0
    return rng.randrange(plan["nodes"]) * per_node if pick < 0.6 else rng.randrange(ranks)


def struck_agents(plan):
    """An agent is struck as the kind says, beside its seed's ranks or in their place. A stream of its own: what else a
    seed decides stays as it is."""
    rng = random.Random("agents %d" % plan["seed"])
    if rng.random() >= AGENTS.get(plan["kind"], 0):
        return None
    picks = range(rng.choice([1, 1, 1, 2]))
    agents = {"nodes": sorted({0 if rng.random() < 0.4 else rng.randrange(plan["nodes"]) for _ in picks}),
              "how": plan["kind"] if "victims" in plan else rng.choice(["kill", "stop", "pause"])}
    if agents["how"] == "stop":
        agents["end"] = rng.choice(["continue", "kill"])
    if "victims" in plan and rng.random() < 0.6:
        plan["victims"] = []
    return agents


def lost_nodes(plan):
    """Nodes without an agent that the others hear: it is struck, its store is full, or all its ranks are killed."""
    lost = {plan.get("full")} | set(plan.get("agents", {}).get("nodes", []))
    per_node, killed = plan["ranks"], plan.get("victims", []) if plan["kind"] == "kill" else []
    return lost | {node for node in range(plan["nodes"])
                   if all(rank in killed for rank in range(node * per_node, (node + 1) * per_node))}


def not_told(plan):
    """Ranks that need not hear of the writer's write: they are on other nodes than the writer, and its node or one on
    the way to the root is lost to the job. A write stays unheard in this one case (README). Where the root is lost,
    nobody but the root itself trusts the cache any more, so all others hear of the write."""
    per_node, node, lost = plan["ranks"], plan["writer"] // plan["ranks"], lost_nodes(plan)
    way = node
    while way > 0 and way not in lost:
        way = (way - 1) // 4
    if way > 0:
        return [r for r in range(plan["nodes"] * per_node) if r // per_node != node]
    return list(range(per_node)) if 0 in lost and node > 0 else []


def make_plan(seed):
    rng = random.Random(seed)
    plan = {"seed": seed}
    plan["nodes"], plan["ranks"] = rng.choice([(1, 3), (1, 4), (2, 2), (2, 3), (3, 1), (3, 2), (6, 1)])
    plan["class"] = rng.choice(["library", "import"])
    plan["order"] = rng.choice(["same", "shuffled"])
    plan["latency_us"] = rng.choice([0, 0, 300])
    plan["kind"] = kind = rng.choices([k for k, _ in KINDS], [w for _, w in KINDS])[0]
    # At a share of all operations of all ranks, or by the file server's count while the ranks start.
    plan["at"] = ["progress", rng.random()] if rng.random() < 0.85 else ["server", rng.randrange(1, 80)]
    plan["file"] = [rng.randrange(PACKAGES), rng.randrange(MODULES)]
    if kind in ("kill", "stop", "pause"):
        plan["victims"] = sorted({victim(rng, plan) for _ in range(rng.choice([1, 1, 1, 2]))})
    if kind == "kill": # while ranks start, MPI waits for all: only the launcher can end that
        plan["survive"] = plan["at"][0] == "progress" and plan["nodes"] <= 4 and rng.random() < 0.7
    if kind == "stop":
        plan["end"] = rng.choice(["continue", "kill"])
    if kind == "shm":
        plan["full"] = rng.randrange(plan["nodes"])
        plan["room"] = rng.choice([0, 64 << 10, 1 << 20, 3 << 20, 6 << 20, 8 << 20, 12 << 20])
    if kind == "error":
        plan["error"] = rng.choice(ERRORS)
        plan["operation"] = rng.choice(["lookup", "open", "read"])
        plan["times"] = 0 if plan["error"] == "EACCES" else rng.choice([0, 1, 3])
    if kind == "hang":
        plan["after"], plan["seconds"] = rng.randrange(50, 1500), rng.choice([4, 10])
    if kind == "files" or (kind in ("kill", "stop", "pause", "shm") and rng.random() < 0.3):
        plan["changes"] = [[rng.choice(["replace", "rewrite", "truncate", "remove"]), rng.randrange(PACKAGES),
                            rng.randrange(1, MODULES)]
                           for _ in range(6)]
    if kind == "descriptors":
        ranks = plan["nodes"] * plan["ranks"]
        plan["starved"] = {"ranks": sorted(rng.sample(range(ranks), rng.randrange(1, ranks + 1))),
                           "at": rng.randrange(0, 280), "count": 10}
    if kind != "hang" and rng.random() < 0.4:
        plan["writer"] = rng.randrange(plan["nodes"] * plan["ranks"])
        plan["client"] = random.Random("client %d" % seed).choice(sorted(CLIENTS))
    agents = struck_agents(plan)
    if agents:
        plan["agents"] = agents
    return plan
