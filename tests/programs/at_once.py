"""at_once.py FOLDER SYNC ROUNDS CLIENT: all ranks do the same to the same new name at the same moment.

Who comes second learns from the error, if there is one, and what it looks at next must agree. SYNC is a folder of the
machine's own, where ranks meet. CLIENT nfs keeps listings for a time, without us too."""
import os
import sys

folder, sync, rounds, client = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
me, size = int(os.environ["PMI_RANK"]), int(os.environ["PMI_SIZE"])
wrong = {}


def meet(name):
    open("%s/%s.%d" % (sync, name, me), "w").close()
    while not all(os.path.exists("%s/%s.%d" % (sync, name, r)) for r in range(size)):
        os.sched_yield()


def check(what, ok):
    if not ok:
        wrong[what] = wrong.get(what, 0) + 1


def succeeds(function, *arguments):
    try:
        function(*arguments)
    except OSError:
        return False
    return True


os.listdir(folder)
for i in range(rounds):
    made, lock, link, moved, written = ("%s/%s%d" % (folder, kind, i)
                                        for kind in ("made", "lock", "link", "moved", "written"))
    own = "%s/own%d.%d" % (folder, i, me)
    os.close(os.open(own, os.O_CREAT | os.O_WRONLY))
    for name in made, lock, link, moved, written:
        os.path.lexists(name)
    meet("a%d" % i)
    check("makedirs(exist_ok=True)", succeeds(lambda: os.makedirs(made, exist_ok=True)))
    check("a folder after makedirs", os.path.isdir(made))
    meet("b%d" % i)
    if not succeeds(lambda: os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))):
        check("the lock file that exists can be opened", succeeds(lambda: open(lock).close()))
    meet("c%d" % i)
    if not succeeds(os.symlink, "target", link):
        check("the link that exists is one", os.path.islink(link))
    meet("d%d" % i)
    if not succeeds(os.unlink, lock):
        check("what cannot be found for unlink is gone", not os.path.exists(lock))
    meet("e%d" % i)
    if me == 0:
        open(made + "/inside", "w").close()
    else:
        check("the folder that was made can be listed", succeeds(os.listdir, made))
    meet("f%d" % i)
    if me != 0 and not succeeds(os.rmdir, made) and client != "nfs":
        check("the folder that is not empty is not", len(os.listdir(made)) > 0)
    # Nobody fails: what one makes meets what others make of it, whose calls have not returned yet.
    meet("g%d" % i)
    os.rename(own, moved)
    check("what it renamed is there", os.path.isfile(moved) and not os.path.exists(own))
    check("what it renamed is listed", client == "nfs" or os.path.basename(moved) in os.listdir(folder))
    meet("h%d" % i)
    os.close(os.open(written, os.O_CREAT | os.O_WRONLY | os.O_TRUNC))
    check("what it opened to write is there", os.path.isfile(written))
    meet("i%d" % i)
    os.utime(written, (i, 10 ** 9 + i))
    check("what it wrote has its time", os.stat(written).st_mtime == 10 ** 9 + i)
print(me, "wrong:", wrong, flush=True)
