//! The protocol without a node's process: vectors, the model of policy, the transport, and the simulator.

mod examples;
mod frame_vectors;
mod policy_model;
mod simulation;
mod transport;
mod vectors;
