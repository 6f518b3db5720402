"""Messages that this node writes, read by the programs of others.

    formats.py NODE INTELMQ_PYTHON    NODE: the program `intelmesh`; INTELMQ_PYTHON: a Python with IntelMQ

Events of IntelMQ's own tests, made now, are converted to IDEA0, n6 and MISP. `idea-format` reads each IDEA message
both ways, PyMISP reads each MISP event, and n6's messages are held against the keys and forms of its specification,
which is restated here because n6 is on no package index. Then all of it comes back, and IntelMQ's own classes take
each event. It judges no conversion of theirs.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import idea.lite
import idea.valid
from pymisp import MISPEvent

EVENTS = 400
N6_KEYS = set(
    "id source restriction confidence category time address action adip block dip dport email expires fqdn iban "
    "injects long_description md5 name origin phone product proto registrar replaces sha1 sha256 sport target type "
    "url url_pattern username x509fp_sha1 x509issuer x509subject".split()
)
N6_FORMS = {
    "id": re.compile(r"[0-9a-f]{32}"),
    "source": re.compile(r"(?=.{1,32}$)[-0-9a-z]+\.[-0-9a-z]+"),
    "restriction": re.compile(r"public|need-to-know|internal"),
    "confidence": re.compile(r"low|medium|high"),
    "time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z"),
    "proto": re.compile(r"tcp|udp|icmp"),
    "md5": re.compile(r"[0-9a-f]{32}"),
    "sha1": re.compile(r"[0-9a-f]{40}"),
    "sha256": re.compile(r"[0-9a-f]{64}"),
}
faults = 0


def fault(*what):
    global faults
    faults += 1
    print("FAULT", *what)


def convert(node, source, target, lines):
    done = subprocess.run(
        [node, "convert", "--from", source, "--to", target],
        input="".join(line + "\n" for line in lines), capture_output=True, text=True, check=False,
    )
    if done.returncode != 0:
        fault(source, target, done.returncode, done.stderr[-2000:])
    return done.stdout.splitlines()


def read_idea(line):
    for module in (idea.valid, idea.lite):
        try:
            module.Idea(json.loads(line)).checkRequired()
        except Exception as error:
            fault(module.__name__, error, line)


def read_n6(line):
    message = json.loads(line)
    for key in set(message) - N6_KEYS:
        fault("n6 refuses the key", key, line)
    for key, form in N6_FORMS.items():
        if key in message and not form.fullmatch(message[key]):
            fault("n6 refuses", key, message[key])
        if key not in message and key in ("id", "source", "restriction", "confidence", "time"):
            fault("n6 wants", key, line)
    for address in message.get("address", [{"ip": "192.0.2.1"}]):
        if set(address) - {"ip", "asn", "cc"} or not re.fullmatch(r"\d+(\.\d+){3}", address["ip"]):
            fault("n6 refuses the address", address)


def read_misp(line):
    event = MISPEvent()
    event.from_dict(**json.loads(line)["Event"])
    if len(event.objects) != 1 or not event.objects[0].attributes:
        fault("PyMISP sees no object", line)


def unprivileged():
    """IntelMQ's bots refuse to run as root."""
    if os.geteuid() != 0:
        return []
    caps = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return ["setpriv", "--clear-groups", *caps, "--reuid=65534", "--regid=65534", "--"]


def main():
    node, python = sys.argv[1:]
    here = Path(__file__).parent
    script = str(here / "intelmq_events.py")
    made = subprocess.run([*unprivileged(), python, "-B", script, str(EVENTS)], capture_output=True, text=True,
                          check=True, cwd="/")
    events = made.stdout.splitlines()
    back = []
    for name, read in (("idea", read_idea), ("n6", read_n6), ("misp", read_misp)):
        messages = convert(node, "intelmq", name, events)
        for message in messages:
            read(message)
        if name != "n6" and len(messages) != len(events):
            fault(name, len(messages), "of", len(events))
        back += convert(node, name, "intelmq", messages)
    # IntelMQ's classes take what came back as it stands.
    taken = subprocess.run([python, "-c", TAKES], input="".join(line + "\n" for line in back), text=True,
                           capture_output=True, check=False)
    if taken.returncode != 0:
        fault("IntelMQ", taken.stdout[-2000:], taken.stderr[-2000:])
    print(f"{len(events)} events, {len(back)} came back, {faults} faults")
    return min(faults, 1)


TAKES = """
import json, os, sys
import intelmq
from intelmq.lib.message import Event
harmonization = json.load(open(os.path.join(os.path.dirname(intelmq.__file__), "etc/harmonization.conf")))
for line in sys.stdin:
    event = Event(harmonization=harmonization)
    for key, value in json.loads(line).items():
        event.add(key, value, sanitize=False, raise_failure=True)
"""

if __name__ == "__main__":
    sys.exit(main())
