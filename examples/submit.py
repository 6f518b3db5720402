#!/usr/bin/env python3
"""Submits JSON lines from standard input to a node, with the standard library alone.

    submit.py NODE_DIR < events.jsonl

Prints the id of each event. An event that is refused is printed to standard error, and the exit
code is 1 in the end. A refusal with `retry` ends the program: send the rest again later. Nothing
is lost by that, and an event with an id of its own is never stored twice.
"""

import json
import socket
import sys


def main(directory):
    node = socket.socket(socket.AF_UNIX)
    node.connect(f"{directory}/run/in.sock")
    answers = node.makefile("r", encoding="utf-8")
    refused = 0
    for event in sys.stdin:
        if not event.strip():
            continue
        # One answer for each event, in order, once the event is durable. To submit faster, write
        # several lines before their answers are read: but read, or the node stops reading as well.
        node.sendall((event.rstrip("\n") + "\n").encode())
        answer = json.loads(answers.readline() or '{"error": "the node is gone", "retry": true}')
        if "id" in answer:
            print(answer["id"])
            continue
        refused += 1
        print(answer["error"], answer.get("hint", ""), file=sys.stderr)
        if answer.get("retry"):
            return 2
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
