"""Real events, made now: IntelMQ's own parsers over the test data that lies in its installed package.

    intelmq_events.py COUNT    COUNT different events on stdout, one flat JSON object a line

Runs IntelMQ's own unit tests of its parsers and keeps what each parser sent. The package has about 400 different
events of that kind; where more are asked for, the same feeds are observed again, a day later. Nothing of what it
reads or prints enters this project. It deliberately judges no parser: an event counts whatever its test thinks of it.
"""

import importlib
import io
import json
import os
import pkgutil
import sys
import unittest

os.environ.setdefault("INTELMQ_SKIP_INTERNET", "1")
os.environ.setdefault("INTELMQ_SKIP_REDIS", "1")

import intelmq.lib.test as harness
import intelmq.tests.bots.parsers as parsers

DAYS_MAX = 28


def sent_by_parsers():
    """What every parser sent in its own tests, in order, each event once."""
    events = {}
    run_bot = harness.BotTestCase.run_bot

    def run_and_keep(test, *args, **kwargs):
        try:
            return run_bot(test, *args, **kwargs)
        finally:
            if test.bot_type == "parser" and test.pipe is not None:
                for text in test.get_output_queue():
                    event = json.loads(text)
                    event.pop("__type", None)
                    events.setdefault(json.dumps(event, sort_keys=True), event)

    harness.BotTestCase.run_bot = run_and_keep
    unittest.TextTestRunner(stream=io.StringIO()).run(tests_of_parsers())
    return list(events.values())


def tests_of_parsers():
    suite = unittest.TestSuite()
    for module in pkgutil.walk_packages(parsers.__path__, parsers.__name__ + "."):
        if module.name.rpartition(".")[2].startswith("test_"):
            try:
                suite.addTests(unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(module.name)))
            except (ImportError, unittest.SkipTest) as error:
                print(f"{module.name}: left out: {error}", file=sys.stderr)
    return suite


def observed(event, day):
    """The event as a collector would have it that took the feed in on that day."""
    return {"feed.accuracy": 100.0, **event, "time.observation": f"2026-11-{day + 1:02}T06:00:00+00:00"}


def main():
    count = int(sys.argv[1])
    events = [event for event in sent_by_parsers() if "classification.type" in event and "raw" in event]
    printed = set()
    for day in range(DAYS_MAX):
        for event in events:
            line = json.dumps(observed(event, day), sort_keys=True)
            if line not in printed:
                printed.add(line)
                print(line)
            if len(printed) == count:
                return 0
    print(f"error: the package has only {len(printed)} different events in {DAYS_MAX} days", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
