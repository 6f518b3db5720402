#!/usr/bin/env python3
"""What IntelMQ 3.5.0 itself says to events that are handed to it: the other side of tests/intelmq_accepts.rs.

It runs IntelMQ's own classes the way its bots do, without Redis and sockets. Nothing of IntelMQ is copied here.

  intelmq_accepts.py fields           its field list, as JSON, and where its file is
  intelmq_accepts.py judge [FILE]     lines {"type", "queue", "line"} on stdin; FILE: another harmonization.conf.
                                      One JSON line back for each: {"raised": what, "moved": how many, "needless": [names]}
"""
import json
import pathlib
import sys
import warnings

import intelmq
from intelmq.lib.message import Event, MessageFactory, Report
from intelmq.lib.utils import base64_decode, load_configuration
from pkg_resources import resource_filename

warnings.simplefilter("ignore")
CONF = resource_filename("intelmq", "etc/harmonization.conf")


def no_json(name):
    raise ValueError(f"{name} is no JSON")


def look(message, harmonization):
    """What the bots of a pipeline do with a message that they have taken."""
    message.hash()
    "extra" in message
    message.get("extra")
    message.to_dict(hierarchical=True, with_type=True)
    json.loads(message.to_json(hierarchical=True), parse_constant=no_json)
    message.to_dict(jsondict_as_string=True)
    message.deep_copy()
    message.copy()


def next_bots(message, harmonization):
    """Through a queue to the next bot, and through TCP to another IntelMQ."""
    look(message, harmonization)
    again = MessageFactory.unserialize(MessageFactory.serialize(message), harmonization=harmonization)
    look(again, harmonization)
    if isinstance(again, Event):
        parsed(again.to_json(), harmonization)


def parsed(line, harmonization):
    """TCP collector, queue, JSON parser."""
    report = Report(harmonization=harmonization)
    report.add("feed.name", "tcp")
    report.add("feed.accuracy", 100)
    report.add("raw", line.encode())
    report = MessageFactory.unserialize(MessageFactory.serialize(report), harmonization=harmonization)
    event = Event(report, harmonization=harmonization)
    text = base64_decode(report["raw"])
    event.update(MessageFactory.unserialize(text, harmonization=harmonization, default_type="Event"))
    event.add("raw", text, overwrite=False)
    event.add("classification.type", "undetermined", overwrite=False)
    return event


def judge(case, harmonization):
    line = case["line"]
    if case["queue"]:
        message = MessageFactory.unserialize(line, harmonization=harmonization)
        if type(message).__name__ != case["type"]:
            raise ValueError(f"it became a {type(message).__name__}")
    else:
        message = parsed(line, harmonization)
    if not message:
        raise ValueError("nothing is left of it")
    next_bots(message, harmonization)


def needless(case, moved, harmonization):
    """Of what was moved at the top level, what IntelMQ would have taken alone."""
    names = []
    for name, value in moved.items():
        try:
            alone = {"__type": case["type"], name: value}
            message = MessageFactory.from_dict(alone, harmonization=harmonization)
            if message:
                next_bots(message, harmonization)
                names.append(f"{name}={value!r}"[:200])
        except Exception:
            pass
    return names


def main(arguments):
    if arguments == ["fields"]:
        harmonization = load_configuration(CONF)
        fields = {name: field["type"] for name, field in harmonization["event"].items()}
        print(json.dumps({"version": intelmq.__version__, "file": CONF, "event": fields}))
        return 0
    if not arguments or arguments[0] != "judge":
        print(__doc__, file=sys.stderr)
        return 2
    harmonization = json.loads(pathlib.Path(arguments[1] if len(arguments) > 1 else CONF).read_text())
    for text in sys.stdin:
        case = json.loads(text)
        answer = {}
        try:
            judge(case, harmonization)
        except BaseException as fault:
            answer["raised"] = f"{type(fault).__name__}: {fault}"[:500]
        else:
            moved = json.loads(case["line"]).get("extra.intelmesh.moved", {})
            answer.update(moved=len(moved), needless=needless(case, moved, harmonization))
        print(json.dumps(answer), flush=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
