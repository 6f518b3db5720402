//! A deterministic simulator of a federation (decisions/0002): the real core of each node over a journal of real
//! bytes on a simulated disk, replayed by the store's own code; network, workers, clocks and pipelines are
//! simulated, and everything that may be late, lost or torn is drawn from one seed. `oracle` checks the
//! invariants of the feed (PROTOCOL.md §5.6) after each step, `rest` those that hold once all is quiet.
//!
//! For tests alone (feature `sim`). It knows nothing of libp2p, sled or sockets, and proves nothing: a run that
//! finds nothing is one run.

mod event_look;
pub(crate) mod faults;
mod founding;
mod harm;
pub(crate) mod liar;
pub(crate) mod machine;
pub(crate) mod network;
pub(crate) mod oracle;
pub(crate) mod pipeline;
pub(crate) mod plan;
mod positions;
pub(crate) mod quiescence;
pub(crate) mod scheduler;
pub(crate) mod tally;
pub(crate) mod world;

pub use faults::{SeenPart, SimFault};
pub use liar::{Flood, Lie};
pub use plan::{Dates, SimPlan, Topology};
pub use world::{PromiseViolation, SimWorld};
