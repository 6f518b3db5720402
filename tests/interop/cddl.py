"""Holds what nodes write against docs/envelope.cddl and docs/messages.cddl.

    cddl.py vectors DIR    every vector: those that are valid, and those that are refused for their form
    cddl.py frames DIR     every frame that nodes wrote there (INTELMESH_FRAMES_DIR)

A directory without anything to check is a failure. It does not check signatures; cose_cwt.py does.
"""

import re
import sys
from pathlib import Path

import cbor2
from cddl_verifier import Validator

DOCS = Path(__file__).resolve().parents[2] / "docs"
ENVELOPE_TAG = 0xD2  # COSE_Sign1, tag 18


# pycddl 0.6 applies `.cbor` of one element of an array to all of them: what is inside byte strings is
# checked on its own instead.
EMBEDDED = re.compile(r"bstr \.cbor [a-z0-9-]+")


class EnvelopeSchema:
    def __init__(self, text):
        text = EMBEDDED.sub("bstr", text)
        self.outer = pycddl.Schema(text)
        self.protected = pycddl.Schema("root = protected-header\n" + text)
        self.core = pycddl.Schema("root = signed-core\n" + text)

    def validate_cbor(self, data):
        self.outer.validate_cbor(data)
        protected, _, payload, _ = cbor2.loads(data).value
        self.protected.validate_cbor(protected)
        self.core.validate_cbor(payload)


def schemas():
    envelope = (DOCS / "envelope.cddl").read_text()
    messages = (DOCS / "messages.cddl").read_text()
    # The first rule is the root. messages.cddl may name the rules of envelope.cddl.
    return Validator(envelope), Validator(messages + "\n" + envelope)


def fault_of(schema, data, root=None):
    """What is wrong with it: not well-formed, not deterministic, or not what the schema says. None if nothing."""
    try:
        result = schema.validate(data, root, require_deterministic=True)
        if not result.valid:
            return "; ".join(str(found) for found in result.diagnostics[:3])
        value = cbor2.loads(data)
        if isinstance(value, cbor2.CBORTag):  # what is inside byte strings is looked at on its own
            return fault_of(schema, value.value[2], "signed-core")
    except Exception as error:  # what is no CBOR at all
        return repr(error)
    return None


def frame_body(data):
    """A frame without its length in front, whichever way it was written down."""
    if len(data) >= 4 and int.from_bytes(data[:4], "big") == len(data) - 4:
        return data[4:]
    return data


def envelopes_in(value):
    """Byte strings inside a frame that are whole envelopes."""
    if isinstance(value, bytes) and len(value) > 64 and value[:1] == bytes([ENVELOPE_TAG]):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from envelopes_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from envelopes_in(item)


def read_vector(path):
    """A text header of `key: value` lines, a blank line, and the bytes in hexadecimal."""
    header, _, body = path.read_text().partition("\n\n")
    fields = dict(line.split(":", 1) for line in header.splitlines() if ":" in line and not line.startswith("#"))
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    return fields, bytes.fromhex("".join(body.split()))


def validate(schema, data, what, faults):
    fault = fault_of(schema, data)
    if fault:
        faults.append(f"{what}: {fault}")


def check_frames(directory, faults):
    envelope_schema, message_schema = schemas()
    kinds, envelopes, frames = {}, 0, 0
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        data = frame_body(path.read_bytes())
        frames += 1
        validate(message_schema, data, path.name, faults)
        value = cbor2.loads(data)
        kind = value[0] if isinstance(value, (list, tuple)) and value else "?"
        kinds[kind] = kinds.get(kind, 0) + 1
        for envelope in envelopes_in(value):
            envelopes += 1
            validate(envelope_schema, envelope, f"{path.name}: its envelope", faults)
    print(f"{frames} frames, {envelopes} envelopes in them; by kind: {kinds}")
    if frames == 0 or envelopes == 0:
        faults.append(f"{directory}: nothing to check")


def check_vectors(directory, faults):
    """What is valid here is valid there; what is refused for its form (`cbor`, `cose`, `frame`) is refused there too.

    Faults of other layers (a signature, a JSON body, a relation of two fields) are beyond what CDDL can say.
    """
    envelope_schema, message_schema = schemas()
    valid, refused = 0, 0
    for path in sorted(p for p in directory.rglob("*") if p.is_file() and p.suffix == ".txt"):
        fields, data = read_vector(path)
        data = data.ljust(int(fields.get("pad", 0)), b"\0")
        is_frame = "frame" in path.parent.name
        data = frame_body(data) if is_frame else data
        schema = message_schema if is_frame else envelope_schema
        if fields["expect"] == "ok":
            valid += 1
            validate(schema, data, path.name, faults)
        elif fields["expect"] in ("cbor", "cose", "frame"):
            refused += 1
            if not fault_of(schema, data):
                faults.append(f"{path.name}: the schema takes what must be refused ({fields['expect']})")
    print(f"{valid} vectors valid, {refused} refused for their form")
    if valid == 0 or refused == 0:
        faults.append(f"{directory}: nothing to check")


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("vectors", "frames"):
        sys.exit(__doc__)
    faults = []
    check = {"vectors": check_vectors, "frames": check_frames}[sys.argv[1]]
    check(Path(sys.argv[2]), faults)
    for fault in faults[:50]:
        print(f"error: {fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
