"""Holds sealed bodies against an independent COSE library, the Python package `cwt` (3.3).

    seal_cwt.py NODE        NODE: the program to test, as target/ci/intelmesh

A body that a running node sealed opens there with the recipient's key, and one that is sealed there opens here, with
keys/seal.pem of the node; what was changed opens nowhere. It does not look at who may have what.

`cwt` knows ECDH-ES+A256KW (-31) with the curves of NIST alone; that X25519 makes its secret with SHA-256 too is
taught to it below. COSE_Encrypt, COSE_KDF_Context, HKDF, key wrap, AES-GCM and Enc_structure are all its own.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cwt import COSE, COSEKey, Recipient
from cwt.recipient_algs import ecdh_aes_key_wrap

from cose_cwt import CONTEXT, Node, cose_key, kid_of, text_of, verify_there

SEAL_CONTEXT = "intelmesh/seal/v1"
EVENT = '{"source.ip":"192.0.2.1","extra.ratio":100.0,"comment":"J\\u00f6rg"}'
META = {
    "version": 1,
    "to": ["cert-ee"],
    "seal": True,
    "tlp": "RED",
    "rtir_id": 12345,
    "links": [{"type": "alternate", "right": "CESNET-RT#2235"}],
}
# Keys of a core, and of what is sealed (docs/PROTOCOL.md §2.3, §2.6).
PUBLISHER, CREATED, TO, LINKS, EXT, BODY = 3, 6, 11, 14, 15, 16
# The hash of -25 (ECDH-ES + HKDF-256) is that of -31.
HKDF_256 = -25
KEY_WRAP = {"alg": "A256KW"}


class X25519Taught:
    """Stands for COSEKey and EC2Key inside `cwt`'s key agreement with key wrap."""

    @staticmethod
    def new(parameters):
        return COSEKey.new({**parameters, 3: HKDF_256})

    def __new__(cls, parameters):
        public, private = pair_of(X25519PrivateKey.generate())
        return COSEKey.new({1: 1, -1: parameters[-1], 3: HKDF_256, -2: public, -4: private})

    from_symmetric_key = COSEKey.from_symmetric_key


ecdh_aes_key_wrap.COSEKey = X25519Taught
ecdh_aes_key_wrap.EC2Key = X25519Taught


def seal_key(public, private=None):
    parameters = {1: 1, 3: HKDF_256, -1: 4, -2: public, 2: kid_of(public)}
    if private:
        parameters[-4] = private
    return COSEKey.new(parameters)


def aad_of(core):
    """What a seal is bound to: every field of the core but the body."""
    beside = {key: value for key, value in core.items() if key != BODY}
    return cbor2.dumps([SEAL_CONTEXT, beside], canonical=True)


def open_there(core, key):
    """What was sealed, or None where `cwt` refuses it."""
    try:
        text = COSE.new(verify_kid=True).decode(core[BODY], key, context=KEY_WRAP, external_aad=aad_of(core))
    except Exception:  # cwt and cryptography raise many kinds, and each is a refusal
        return None
    item = cbor2.loads(text)
    padded = max(512, 1 << (len(cbor2.dumps(item, canonical=True)) - 1).bit_length())
    if len(text) != padded or text != cbor2.dumps(item, canonical=True).ljust(padded, b"\0"):
        sys.exit(f"error: {len(text)} bytes are not deterministic CBOR and zeros up to {padded}")
    return item


def ours_there(node, own, key):
    """Exports what the node sealed for cert-ee, and opens it."""
    with node:
        line = f'{{"meta":{json.dumps(META)},"payload":{EVENT}}}'
        answer = json.loads(node.command("submit", "-", stdin=line + "\n"))
        file = node.directory / "sealed.cose"
        node.command("event", "export", answer["id"], "--cose", str(file))
        envelope = file.read_bytes()
    payload = verify_there(envelope, own)
    if payload is None:
        sys.exit("error: cwt refuses the signature of a sealed envelope")
    core = cbor2.loads(payload)
    opened = open_there(core, key)
    if opened is None:
        sys.exit("error: cwt cannot open what the node sealed")
    want = {LINKS: [["alternate", "CESNET-RT#2235"]], EXT: b'{"rtir_id":12345}', BODY: EVENT.encode()}
    if opened != want or {LINKS, EXT} & core.keys():
        sys.exit(f"error: inside is {opened}, outside {core.keys()}")
    print(f"sealed here: {answer['id']} opens with cwt")
    for field, value in [(CREATED, core[CREATED] + 1), (PUBLISHER, "cert-xx"), (TO, ["cert-xx"]), (10, 2)]:
        if open_there({**core, field: value}, key) is not None:
            sys.exit(f"error: cwt opens it with another field {field}")
    if open_there(core, seal_key(*pair_of(X25519PrivateKey.generate()))) is not None:
        sys.exit("error: cwt opens it with another key")
    print("sealed here: opens with no other field beside it, and with no other key")
    return core


def pair_of(private):
    return private.public_key().public_bytes_raw(), private.private_bytes_raw()


def theirs_here(node, core, signing):
    """Seals with cwt for the node, whose key is read from keys/seal.pem as OpenSSL would."""
    private = load_pem_private_key((node.directory / "keys" / "seal.pem").read_bytes(), password=None)
    public = private.public_key().public_bytes_raw()
    core = dict(core)
    core.update({2: uuid.uuid4().bytes, PUBLISHER: "cert-ee", TO: ["cert-at"], CREATED: int(time.time() * 1000)})
    inside = {EXT: b'{"rtir_id":678}', BODY: EVENT.encode()}
    text = cbor2.dumps(inside, canonical=True).ljust(512, b"\0")
    recipient = Recipient.new(
        protected={1: -31}, unprotected={4: kid_of(public)}, recipient_key=seal_key(public), context=KEY_WRAP
    )
    sealed = COSE.new().encode(
        text,
        COSEKey.generate_symmetric_key(alg="A256GCM"),
        protected={1: 3},
        unprotected={5: hashlib.sha256(text).digest()[:12]},
        recipients=[recipient],
        external_aad=aad_of(core),
        out="cbor2/CBORTag",
    )

    def signed(core):
        own = cose_key(*pair_of(signing))
        return COSE.new(deterministic_header=True).encode_and_sign(
            cbor2.dumps(core, canonical=True), own, protected={1: -19, 4: own.kid}, external_aad=CONTEXT
        )

    core[BODY] = sealed
    core = dict(sorted(core.items()))
    said = opened_here(node, signed(core))
    if said.returncode != 0:
        sys.exit(f"error: the node cannot open what cwt sealed: {said.stderr}")
    opened = json.loads(said.stdout)
    if opened["ext"] != {"rtir_id": 678} or EVENT not in said.stdout:
        sys.exit(f"error: the node read {said.stdout}")
    print("sealed there: opens here, token for token")
    for field, value in [(CREATED, core[CREATED] - 1), (10, 2), (12, 3)]:
        said = opened_here(node, signed({**core, field: value}))
        if said.returncode != 1 or "cannot open" not in said.stderr:
            sys.exit(f"error: with another field {field} the node said {said}")
    print("sealed there: opens with no other field beside it")


def opened_here(node, envelope):
    file = node.directory / "theirs.cose"
    file.write_bytes(envelope)
    command = [node.program, "event", "open", str(file), "--json", "-C", str(node.directory)]
    return subprocess.run(command, capture_output=True, text=True)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix="intelmesh-seal-") as place:
        node = Node(sys.argv[1], Path(place) / "node")
        signing, sealing = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
        public, secret = pair_of(sealing)
        peer = (
            f'key = "{text_of(signing.public_key().public_bytes_raw())}"\n'
            f'seal = "{text_of(public).replace("ed25519:", "x25519:")}"\naddresses = []\n'
        )
        (node.directory / "peers" / "cert-ee.toml").write_text(peer)
        own = load_pem_private_key((node.directory / "keys" / "node.pem").read_bytes(), password=None)
        core = ours_there(node, cose_key(own.public_key().public_bytes_raw()), seal_key(public, secret))
        theirs_here(node, core, signing)


if __name__ == "__main__":
    main()
