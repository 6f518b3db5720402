"""Reads the feed of the door `misp-feed` as MISP does, at two moments.

    misp_feed.py NODE       NODE: the program to test, as target/ci/intelmesh

The rules are those of MISP 2.5 (app/Model/Feed.php and Event.php), restated here; PyMISP reads each event. A MISP that
pulled the feed at the first moment must have all of it after it pulls at the second: what was left out stays there,
and an event comes again only if its timestamp grew.
"""

import hashlib
import json
import logging
import re
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

from cose_cwt import Node

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

from pymisp import MISPEvent  # noqa: E402

# MISP takes no UUID beyond version 7.
UUID = re.compile(r"[a-f0-9]{8}-[a-f0-9]{4}-[0-7][a-f0-9]{3}-[089ab][a-f0-9]{3}-[a-f0-9]{12}")
MANIFEST_KEYS = ("Orgc", "Tag", "info", "date", "analysis", "threat_level_id", "timestamp")
UNCORRELATED = {"datetime", "boolean", "float", "integer", "port", "counter", "comment"}
CONSUMER = """
[[consumer]]
name = "misp"
to = "misp-feed"
dir = "feed"
org = "CERT Example"
org_uuid = "b89da4c2-0f74-11ea-96a1-6fa873a0eb4d"
interval = "24h"
own = true
"""
faults = 0


def fault(*what):
    global faults
    faults += 1
    print("FAULT", *what)


def uuids(value):
    if isinstance(value, dict):
        if "uuid" in value:
            yield value["uuid"]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from uuids(inner)


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def read_event(directory, uuid, entry):
    file = directory / f"{uuid}.json"
    event = json.loads(file.read_text())["Event"]
    read = MISPEvent()
    read.load_file(str(file))
    if read.manifest[uuid] != entry:
        fault(uuid, "PyMISP's manifest differs", read.manifest[uuid], entry)
    if event["uuid"] != uuid or event["published"] is not True:
        fault(uuid, "another uuid, or not published")
    if int(event["timestamp"]) != entry["timestamp"]:
        fault(uuid, "manifest and file differ in timestamp")
    for inner in uuids(event):
        if not UUID.fullmatch(inner):
            fault(uuid, "MISP refuses", inner)
    everything = list(uuids(event["Object"]))
    if len(everything) != len(set(everything)):
        fault(uuid, "a UUID stands twice")
    for item in event["Object"]:
        if int(item["timestamp"]) > int(event["timestamp"]):
            fault(uuid, "an object is newer than its event")
    return event


def read_feed(directory):
    manifest = json.loads((directory / "manifest.json").read_text())
    hashes = [line.split(",") for line in (directory / "hashes.csv").read_text().split()]
    events = {}
    for uuid, entry in manifest.items():
        for key in MANIFEST_KEYS:
            if key not in entry:
                fault(uuid, "the manifest lacks", key)
        events[uuid] = event = read_event(directory, uuid, entry)
        live = [a for item in event["Object"] for a in item["Attribute"] if not a.get("deleted")]
        wanted = {md5(a["value"]) for a in live if a["type"] not in UNCORRELATED}
        if {line[0] for line in hashes if line[1] == uuid} != wanted:
            fault(uuid, "hashes.csv has other values")
    return manifest, events


def pull(local, manifest, events):
    """What MISP has after a pull: nothing vanishes because it is left out."""
    for uuid, entry in manifest.items():
        fresh = json.loads(json.dumps(events[uuid]))
        held = local.setdefault(uuid, fresh)
        if int(held["timestamp"]) >= entry["timestamp"]:
            continue
        items = {item["uuid"]: item for item in held["Object"]}
        for item in fresh["Object"]:
            before = items.get(item["uuid"])
            if before is None or int(item["timestamp"]) > int(before["timestamp"]):
                items[item["uuid"]] = item
        held.update(Object=list(items.values()), timestamp=fresh["timestamp"])


def live(event):
    return {
        item["uuid"]: {a["object_relation"]: a["value"] for a in item["Attribute"] if not a.get("deleted")}
        for item in event["Object"] if not item.get("deleted")
    }


def wait_for(what, holds):
    for _ in range(600):
        if holds():
            return
        time.sleep(0.1)
    sys.exit(f"error: not within 60 s: {what}")


def submit(node, *events):
    lines = "".join(json.dumps({"meta": meta, "payload": payload}) + "\n" for meta, payload in events)
    answers = node.command("submit", "--json", stdin=lines)
    return [json.loads(line)["id"] for line in answers.splitlines()]


def event(ip, **more):
    return {"tlp": "GREEN", **more}, {
        "classification.type": "scanner", "source.ip": ip, "source.port": 80, "source.tor_node": False,
        "time.source": "2026-01-01T00:00:00+00:00", "extra.note": "ü", "destination.ip": "198.51.100.1",
    }


def main():
    local = {}
    with tempfile.TemporaryDirectory() as home:
        directory = Path(home, "node")
        made = Node(sys.argv[1], directory)
        with (directory / "intelmesh.toml").open("a") as config:
            config.write(CONSUMER)
        feed = directory / "feed"

        def count():
            return sum(len(live(json.loads(file.read_text())["Event"])) for file in feed.glob("*-*.json"))

        with made as node:
            first, second = submit(node, event("192.0.2.1"), event("192.0.2.2"))
            wait_for("both events", lambda: feed.exists() and count() == 2)
            wait_for("the manifest", lambda: (feed / "manifest.json").exists())
            time.sleep(1)
            older = Path(home, "older")
            shutil.copytree(feed, older)
            pull(local, *read_feed(older))
            replaces = [{"type": "replaces", "right": second}, {"type": "related", "right": first}]
            submit(node, event("192.0.2.3", links=replaces), event("192.0.2.4"))
            node.command("event", "withdraw", first)
            wait_for("the new events and two deletions", lambda: count() == 2)
            time.sleep(1)
        manifest, events = read_feed(feed)
        pull(local, manifest, events)
        for uuid, wanted in events.items():
            if live(local[uuid]) != live(wanted):
                fault(uuid, "MISP has other objects than the feed")
        values = sorted(fields["source.ip"] for held in local.values() for fields in live(held).values())
        if values != ["192.0.2.3", "192.0.2.4"]:
            fault("MISP shows", values)
    print(f"{len(events)} events, {len(values)} objects, {faults} faults")
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main())
