# SPDX-License-Identifier: BSD-3-Clause
"""property_rank.py - one rank of the property test: makes the calls that the driver sends, and answers when each
began, when it ended, and what came of it.

    property_rank.py SOCKET NAME...    the NAMEs are the folder of all trees, as the ranks may call it

Messages are marshalled, with their length before them. ["play", TREE, START, CALLS] is answered by a list; calls begin
at START (CLOCK_MONOTONIC, ns), so that all ranks are at work at once. ["forget", TREE] closes what the rank has open
in there; ["end"].
"""
import marshal
import os
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
from property_calls import Tree

clock = time.monotonic_ns


def exactly(connection, size):
    parts = []
    while size > 0:
        part = connection.recv(size)
        if not part:
            raise EOFError("the connection is closed")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def receive(connection):
    return marshal.loads(exactly(connection, struct.unpack("I", exactly(connection, 4))[0]))


def send(connection, message):
    data = marshal.dumps(message)
    connection.sendall(struct.pack("I", len(data)) + data)


def play(tree, start, calls):
    answers = []
    while clock() < start:
        pass
    for call in calls:
        began = clock()
        answer = tree.make(call)
        answers.append([began, clock()] + answer)
    return answers


def main():
    path, *names = sys.argv[1:]
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    os.umask(0)
    send(connection, int(os.environ["PMI_RANK"]))
    trees, current = {}, None
    while (message := receive(connection))[0] != "end":
        tree = trees.setdefault(message[1], Tree([name + "/" + message[1] for name in names]))
        if tree is not current:
            tree.enter()
            current = tree
        if message[0] == "play":
            send(connection, play(tree, *message[2:]))
        else:
            trees.pop(message[1]).leave()
            current = None


if __name__ == "__main__":
    main()
