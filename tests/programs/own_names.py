"""own_names.py FOLDER ROUNDS: each rank makes and removes names of its own in one folder, and looks for them in its
listing, in every spelling."""
import os
import sys

folder, rounds, me = sys.argv[1], int(sys.argv[2]), os.environ["PMI_RANK"]
inner = folder + "/inner"
forms = [folder, folder + "/", folder + "/.", folder + "//", inner + "/..", inner + "/../"]
wrong = []
for i in range(rounds):
    name, form = "own%s.%d" % (me, i), forms[i % len(forms)]
    os.mkdir(folder + "/" + name)
    if name not in os.listdir(form):
        wrong.append("new in " + form[len(folder):])
    os.rmdir(folder + "/" + name)
    if name in os.listdir(form):
        wrong.append("gone in " + form[len(folder):])
print(me, "wrong:", len(wrong), sorted(set(wrong)), flush=True)
