"""Holds envelopes against an independent COSE library, the Python package `cwt` (3.3, which knows alg -19).

    cose_cwt.py NODE        NODE: the program to test, as target/ci/intelmesh

An envelope that a running node signed and exported verifies there; one that is made there verifies here; and a
bit flipped in any byte of either is refused by both. What later versions may add (extensions, entries of the
unprotected header, a key id of 32 bytes) is carried both ways. It does not look at JSON; the vectors do.
"""

import base64
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cwt import COSE, COSEKey

CONTEXT = b"intelmesh/envelope/v1"
EVENT = '{"source.ip":"192.0.2.1","classification.type":"phishing","extra.ratio":100.0,"comment":"J\\u00f6rg"}'


def text_of(public):
    return "ed25519:" + base64.urlsafe_b64encode(public).rstrip(b"=").decode()


def cose_key(public, private=None, kid_bytes=8):
    parameters = {1: 1, 3: -19, -1: 6, -2: public, 2: kid_of(public, kid_bytes)}
    if private:
        parameters[-4] = private
    return COSEKey.new(parameters)


def kid_of(public, kid_bytes=8):
    return hashlib.sha256(public).digest()[:kid_bytes]


class Node:
    """A node in a directory of its own."""

    def __init__(self, program, directory):
        self.program = program
        self.directory = directory
        self.command("init", str(directory), "--name", "cert-at", "--listen", "/ip4/127.0.0.1/tcp/0")
        self.process = None
        self.environment = {}

    def command(self, *arguments, stdin=None):
        arguments = [self.program, *arguments]
        if arguments[1] != "init":
            arguments += ["-C", str(self.directory)]
        return subprocess.run(arguments, input=stdin, capture_output=True, text=True, check=True).stdout

    def __enter__(self):
        self.process = subprocess.Popen(
            [self.program, "run", "-C", str(self.directory)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **self.environment},
        )
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            sys.exit(f"error: the node said {line!r}, not ready")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)

    def verify(self, envelope):
        """What `event verify` says, and whether it is content."""
        file = self.directory / "envelope.cose"
        file.write_bytes(envelope)
        done = subprocess.run(
            [self.program, "event", "verify", str(file), "-C", str(self.directory)], capture_output=True, text=True
        )
        if done.returncode not in (0, 1):
            sys.exit(f"error: event verify ended with {done.returncode}: {done.stderr}")
        return done.returncode == 0, (done.stdout + done.stderr).strip()


def verify_there(envelope, key):
    """The payload, or None where `cwt` refuses it."""
    try:
        return COSE.new(verify_kid=True).decode(envelope, key, external_aad=CONTEXT)
    except Exception:  # cwt and cbor2 raise many kinds, and each is a refusal
        return None


def refused_by_both(node, envelope, key, what):
    for at in range(len(envelope)):
        for bit in range(8):
            damaged = bytearray(envelope)
            damaged[at] ^= 1 << bit
            if verify_there(bytes(damaged), key) is not None:
                sys.exit(f"error: {what}: cwt accepts byte {at} with bit {bit} flipped")
        # One process for each byte; the node's own tests flip all eight bits.
        damaged = bytearray(envelope)
        damaged[at] ^= 1 << (at % 8)
        good, said = node.verify(bytes(damaged))
        if good:
            sys.exit(f"error: {what}: the node accepts byte {at} with bit {at % 8} flipped: {said}")
    print(f"{what}: a bit flipped in any of {len(envelope)} bytes is refused by both")


def ours_there(node):
    """Exports what the node signed. Returns it with its publisher's key."""
    with node:
        answer = json.loads(node.command("submit", "-", stdin=EVENT + "\n"))
        file = node.directory / "exported.cose"
        node.command("event", "export", answer["id"], "--cose", str(file))
        envelope = file.read_bytes()
        text = json.loads(node.command("status", "--json"))["key"]
    public = base64.urlsafe_b64decode(text.removeprefix("ed25519:") + "=")
    key = cose_key(public)
    payload = verify_there(envelope, key)
    if payload is None:
        sys.exit("error: cwt refuses an envelope of the node")
    core = cbor2.loads(payload)
    name = f"{core[3]}:{core[4]}:{uuid.UUID(bytes=core[2])}"
    if name != answer["id"] or core[16] != EVENT.encode():
        sys.exit(f"error: the core says {name}, {core[16]!r}")
    good, said = node.verify(envelope)
    if not good or said != f"ok publisher=cert-at key={text}":
        sys.exit(f"error: the node says to its own envelope: {said}")
    print(f"made here: {name} verifies with cwt")
    return envelope, key, core


def theirs_here(node, core):
    """Makes an envelope with cwt for a peer that the node trusts as a publisher."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    peer = f'key = "{text_of(public)}"\naddresses = []\n'
    (node.directory / "peers" / "cert-ee.toml").write_text(peer)
    core = dict(sorted({**core, 2: uuid.uuid4().bytes, 3: "cert-ee", 6: int(time.time() * 1000)}.items()))
    payload = cbor2.dumps(core, canonical=True)
    key = cose_key(public, private.private_bytes_raw())
    envelope = COSE.new(deterministic_header=True).encode_and_sign(
        payload, key, protected={1: -19, 4: kid_of(public)}, external_aad=CONTEXT
    )
    good, said = node.verify(envelope)
    if not good or said != f"ok publisher=cert-ee key={text_of(public)}":
        sys.exit(f"error: the node says to an envelope of cwt: {said}")
    print(f"made there: verifies here: {said}")
    return envelope, cose_key(public)


def later_there(node):
    """What the stand-in for version 2 signs (a build for tests) verifies with cwt, under its long key id."""
    node.environment = {"INTELMESH_SPEAKS": "2"}
    with node:
        answer = json.loads(node.command("submit", "-", stdin=EVENT + "\n"))
        file = node.directory / "exported.cose"
        node.command("event", "export", answer["id"], "--cose", str(file))
        envelope = file.read_bytes()
        text = json.loads(node.command("status", "--json"))["key"]
    node.environment = {}
    public = base64.urlsafe_b64decode(text.removeprefix("ed25519:") + "=")
    payload = verify_there(envelope, cose_key(public, kid_bytes=32))
    if payload is None or not {64, 127} <= set(cbor2.loads(payload)) or 394 not in cbor2.loads(envelope).value[1]:
        sys.exit("error: cwt refuses an envelope of version 2, or it lacks what is new")
    print("made by version 2: verifies with cwt")


def later_here(node, core):
    """Extensions, a long key id and unsigned entries, made with cwt, are carried here; other labels are refused."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    (node.directory / "peers" / "cert-pl.toml").write_text(f'key = "{text_of(public)}"\naddresses = []\n')
    added = {2: uuid.uuid4().bytes, 3: "cert-pl", 6: int(time.time() * 1000), 64: [5, False], 127: {1: b"\xff"}}
    payload = cbor2.dumps(dict(sorted({**core, **added}.items())), canonical=True)
    signed = COSE.new(deterministic_header=True).encode_and_sign(
        payload,
        cose_key(public, private.private_bytes_raw(), kid_bytes=32),
        protected={1: -19, 4: kid_of(public, 32)},
        external_aad=CONTEXT,
    )
    protected, _, payload, signature = cbor2.loads(signed).value
    for unprotected, wanted in [({394: [b"receipt"]}, True), ({-65537: {1: None}}, True), ({4: b"kid"}, False), ({255: 0}, False)]:
        envelope = cbor2.dumps(cbor2.CBORTag(18, [protected, unprotected, payload, signature]), canonical=True)
        good, said = node.verify(envelope)
        if good != wanted:
            sys.exit(f"error: the node says to unprotected {unprotected}: {said}")
    print("made there, as a later version may: carried here")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix="intelmesh-cose-") as place:
        node = Node(sys.argv[1], Path(place) / "node")
        envelope, key, core = ours_there(node)
        refused_by_both(node, envelope, key, "made here")
        envelope, key = theirs_here(node, core)
        refused_by_both(node, envelope, key, "made there")
        later_here(node, core)
        later_there(node)


if __name__ == "__main__":
    main()
