//! What the tests in `tests/` and the benches reach beyond the front door of the library. Public with the feature
//! `sim` alone, and no promise to anybody: a user of the library needs none of it.

pub use crate::cbor::CborError;
pub use crate::envelope::Extensions;
pub use crate::event::json::JsonKind;
pub use crate::link::VOCABULARY;
pub use crate::protocol::rules::ProtocolRule;
pub use crate::record::FeedState;
pub use crate::sim::{Dates, Flood, Lie, PromiseViolation, SeenPart, SimFault, SimPlan, SimWorld, Topology};
pub use crate::store::journal::{FreshJournal, Journal, JournalConfig};
pub use crate::store::links::LinkIndex;
pub use crate::store::seen::{CoveredPlace, SeenDb, SeenId};
pub use crate::store::segment::piece;
pub use crate::wire::{AckFrame, FaultNumber, Have, Hello, Skip, Subscribe, VerdictNumber, Window};

#[cfg(feature = "node")]
pub use self::node::*;

pub mod bytes {
    pub use crate::record::bytes::{decode_entry, encode_entry, encode_note};
}

pub mod cbor {
    pub use crate::cbor::{MajorType, put_array, put_bytes, put_head, put_map, put_text, put_unsigned};
}

pub mod fixture {
    pub use crate::fixture::{core, key};
}

pub mod frame {
    pub use crate::wire::frame::{encode, encoded_len, fuzz};
}

pub mod limits {
    pub use crate::limits::*;
}

pub mod policy {
    pub use crate::policy::{receive, share};
}

#[cfg(feature = "node")]
mod node {
    pub use crate::config::PeerFile;
    pub use crate::control::parse_request;
    pub use crate::format::foreign::carried_events;
    pub use crate::format::foreign::convert::LineConversion;
    pub use crate::format::intelmq::{
        Harmonization, IntelmqHandOff, RelationFields, SenderFeed, WrittenEvent,
    };
    pub use crate::format::{
        Carried, CoreDraft, DeliveryForm, DoorDefaults, HandOff, IdInputs, MultipleValues, ParsedSubmission,
        SubmitCode, intake,
    };
    pub use crate::invitation::{INVITATION_VALID_MS, Invitation};
    pub use crate::status::HealthCode;
    pub use crate::store::file_disk::FileDisk;
    pub use crate::store::links::day_links::DayLinks;
    pub use crate::store::seen::day_db::DayDb;
    pub use crate::transport::{
        CheckReport, DialOutcome, PeerAddresses, Stranger, Transport, TransportConfig, TransportError,
    };

    pub mod http {
        pub use crate::web::fuzz::read_request;
    }

    pub mod audit {
        pub use crate::audit::who;
    }

    pub mod clock {
        pub use crate::clock::now;
    }

    pub mod transport {
        pub use crate::transport::check;
    }
}
