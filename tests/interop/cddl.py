"""Holds what nodes write against docs/envelope.cddl and docs/messages.cddl.

    cddl.py vectors DIR    every vector: those that are valid, and those that are refused for their form
    cddl.py frames DIR     every frame that nodes wrote there (INTELMESH_FRAMES_DIR)

A directory without anything to check is a failure. It does not check signatures; cose_cwt.py does.
"""

import sys
from pathlib import Path

import cbor2
from cddl_verifier import Validator

DOCS = Path(__file__).resolve().parents[2] / "docs"
ENVELOPE_TAG = 0xD2  # COSE_Sign1, tag 18
WIRE_VERSION = 1
# Bounds in bytes of a whole map, which CDDL cannot say.
BEYOND_CDDL = {"cose-unprotected-large"}


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


def frame_bodies(data):
    """The frames of one stream without the lengths in front; one frame may be written down without its length."""
    bodies, rest = [], data
    while len(rest) >= 4 and 4 + int.from_bytes(rest[:4], "big") <= len(rest):
        end = 4 + int.from_bytes(rest[:4], "big")
        bodies.append(rest[4:end])
        rest = rest[end:]
    return bodies if bodies and not rest else [data]


def fault_of_frames(schema, bodies):
    """Frames behind a HELLO of a later version may have more fields, which another rule says."""
    root = None
    for body in bodies:
        fault = fault_of(schema, body, root)
        if fault:
            return fault
        value = cbor2.loads(body)
        if value[0] == 0 and value[4] > WIRE_VERSION:
            root = "later-frame"
    return None


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
        [data] = frame_bodies(path.read_bytes())
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

    `version` and `not_built` have a valid form, and are refused for what it says. Faults of other layers (a signature, a JSON body, a relation of two fields) are beyond what CDDL can say.
    """
    envelope_schema, message_schema = schemas()
    valid, refused = 0, 0
    for path in sorted(p for p in directory.rglob("*") if p.is_file() and p.suffix == ".txt"):
        fields, data = read_vector(path)
        data = data.ljust(int(fields.get("pad", 0)), b"\0")
        is_frame = "frame" in path.parent.name
        fault = fault_of_frames(message_schema, frame_bodies(data)) if is_frame else fault_of(envelope_schema, data)
        if fields["expect"] in ("ok", "version", "not_built"):
            valid += 1
            if fault:
                faults.append(f"{path.name}: {fault}")
        elif fields["expect"] in ("cbor", "cose", "frame"):
            refused += 1
            if not fault and path.stem not in BEYOND_CDDL:
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
