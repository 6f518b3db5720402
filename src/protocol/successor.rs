//! A stand-in for version 2 of the wire, for tests: the same node, which says more than version 1 understands in
//! every place where PROTOCOL.md lets a later version do so. It promises nothing about the true version 2.

use bytes::Bytes;

use crate::envelope::successor::attested;
use crate::limits::DETAIL_BYTES_MAX;
use crate::wire::{CarrierFrame, FaultCode, FaultNumber, Hello, VerdictNumber, WireFrame};

/// Numbers of verdicts, one in each range, and of a fault, that version 1 has no name for.
const DEFERRED: u8 = 15;
const REJECTED: u8 = 31;
const CURABLE: u8 = 200;
const FAULT: u8 = 99;

/// Options of SUBSCRIBE that may be passed over.
const OPTIONS: [(u64, &[u8]); 2] = [(64, &[0xf5]), (70_000, &[0x82, 0x01, 0xa1, 0x01, 0xf6])];

/// Returns what the successor says in the place of `frame`, as it frames it.
pub(super) fn spoken(frame: WireFrame) -> WireFrame {
    let frame = match frame {
        WireFrame::Hello(mut hello) => {
            greet(&mut hello);
            WireFrame::Hello(hello)
        }
        WireFrame::Subscribe(mut subscribe) => {
            subscribe.options = OPTIONS.map(|(number, value)| (number, Bytes::from_static(value))).into();
            WireFrame::Subscribe(subscribe)
        }
        WireFrame::Carrier(carrier) => WireFrame::Carrier(passed_on(carrier)),
        WireFrame::Answer(carrier) => WireFrame::Answer(passed_on(carrier)),
        WireFrame::Ack(mut ack) => {
            ack.verdicts.iter_mut().for_each(|(_, said)| *said = renumbered(*said));
            WireFrame::Ack(ack)
        }
        WireFrame::Fault { code, detail } => faulted(code, detail),
        other => other,
    };
    WireFrame::Successor(Box::new(frame))
}

fn greet(hello: &mut Hello) {
    hello.version_max = 2;
    hello.capabilities.push("of-version-2".to_owned());
}

/// It adds itself to the attestations of hops, which nothing of version 1 rests on.
fn passed_on(carrier: CarrierFrame) -> CarrierFrame {
    let envelope = attested(&carrier.envelope, carrier.path.hops());
    CarrierFrame { envelope, ..carrier }
}

fn renumbered(said: VerdictNumber) -> VerdictNumber {
    let number = match (said.is_deferred(), said.is_curable()) {
        (true, _) => DEFERRED,
        (_, true) => CURABLE,
        _ => REJECTED,
    };
    VerdictNumber::new(number).unwrap_or(said)
}

/// Returns a fault as version 2 says it. If it ends a feed only for a while, it has its own reason there.
fn faulted(code: FaultNumber, detail: String) -> WireFrame {
    let keeps = matches!(
        code.handled_as(),
        FaultCode::Protocol
            | FaultCode::Version
            | FaultCode::Federation
            | FaultCode::Name
            | FaultCode::Cloned
    );
    match FaultNumber::new(FAULT) {
        Some(later) if !keeps => {
            let mut detail = format!("of version 2, as {code} {detail}");
            detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
            WireFrame::Fault { code: later, detail }
        }
        _ => WireFrame::Fault { code, detail },
    }
}
