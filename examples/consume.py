#!/usr/bin/env python3
"""Takes events from a node, with the standard library alone.

    consume.py NODE_DIR NAME [COUNT]

Prints id and payload of each event, then acknowledges it. The node keeps the position of NAME:
after a restart of either side the first event is the one behind the last acknowledgement. So a
consumer may see one event twice, and never misses one. Ends after COUNT events, if it is given.
"""

import json
import socket
import sys


def main(directory, name, count=None):
    node = socket.socket(socket.AF_UNIX)
    node.connect(f"{directory}/run/out.sock")
    # One file to read, and the socket itself to write: a text file that does both forgets lines
    # that it has read ahead as soon as something is written.
    lines = node.makefile("r", encoding="utf-8")

    def write(value):
        node.sendall((json.dumps(value) + "\n").encode())

    # `from` counts only for a new name: `earliest` begins with the oldest event that is held.
    write({"consumer": name, "from": "earliest"})
    taken = 0
    while count is None or taken < int(count):
        line = json.loads(lines.readline() or '{"error": "the node is gone"}')
        if "notice" in line:
            print(line["notice"], file=sys.stderr)
            continue
        if "error" in line:
            print(line["error"], file=sys.stderr)
            return 1
        # Whatever is to be done with the event is done before it is acknowledged.
        print(line["meta"]["uuid"]["current"], json.dumps(line["payload"]), flush=True)
        write({"ack": line["seq"]})
        taken += 1
    # At the end of our side the node syncs all acknowledgements, then closes. What it sent beyond
    # COUNT was not acknowledged, and comes again next time.
    node.shutdown(socket.SHUT_WR)
    return 1 if any("error" in json.loads(line) for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
