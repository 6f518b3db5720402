//! The witness of consumers: nothing is handed off twice, and if a position passes an entry, that was handed off or is
//! counted as missing. Changes nothing but its own records.

use std::sync::Arc;

use crate::identity::EventKey;
use crate::record::{Entry, Position};
use crate::sim::oracle::SimOracle;
use crate::sim::pipeline::SimPipeline;

impl SimOracle {
    /// (2) Nothing is handed off again after its durable ack, and nothing of our own as foreign.
    pub fn handed(&self, node: usize, pipeline: &SimPipeline, entries: &[Arc<Entry>]) -> Result<(), String> {
        for entry in entries {
            let id = entry.envelope.id();
            if entry.envelope.publisher() == &self.names[node] {
                return Err(format!("(2) {} was handed its own {id} as foreign", self.names[node]));
            }
            let key = entry.envelope.key();
            if pipeline.done.contains(&key) {
                return Err(format!("(2) {id} was handed off at {} again after its ack", self.names[node]));
            }
        }
        Ok(())
    }

    /// (2) The position of a consumer on disk never goes back, nor does its count of missing entries. It passes an
    /// entry only if that was acknowledged or is counted. An entry is counted only if the consumer cannot get it any
    /// more: up to `floor`, or rotten. A node does not know whether a rotten entry was its own, so it counts.
    pub fn position(
        &mut self,
        node: usize,
        position: &Position,
        floor: u64,
        pipeline: &SimPipeline,
    ) -> Result<(), String> {
        let Some(before) = self.nodes[node].position.replace(position.clone()) else { return Ok(()) };
        if before == *position {
            return Ok(());
        }
        let name = &self.names[node];
        let moved = format!("from {} to {}", before.seq, position.seq);
        if position.seq < before.seq {
            return Err(format!("(2) the consumer of {name} went back {moved}"));
        }
        let Some(counted) = position.missing.checked_sub(before.missing) else {
            return Err(format!(
                "(2) of what the consumer of {name} misses {} were counted, and now {}",
                before.missing, position.missing
            ));
        };
        let record = &self.nodes[node];
        let own = |key: &EventKey| self.publishers.get(key) == Some(&node);
        let passed = before.seq + 1..=position.seq;
        let foreign = || record.log.range(passed.clone()).filter(|(_, key)| !own(key));
        // If an entry is taken again, because the disk lost it, it is not for a consumer that had it.
        let had = |(seq, key): &(&u64, &EventKey)| pipeline.has_acked(**seq) || pipeline.has(key);
        let never = foreign().filter(|entry| !had(entry)).count() as u64;
        let out_of_reach = |(seq, key): &(&u64, &EventKey)| **seq <= floor || record.rotten.contains(key);
        // Of a seq that is not known (it was in a backup) anything may be.
        let unknown = passed.clone().filter(|seq| !record.log.contains_key(seq)).count() as u64;
        let rotten = |(_, key): &(&u64, &EventKey)| own(key) && record.rotten.contains(key);
        let rotten = record.log.range(passed.clone()).filter(rotten).count() as u64;
        let lost = foreign().filter(out_of_reach).count() as u64 + unknown + rotten;
        if counted < never || counted > lost {
            return Err(format!(
                "(2) the consumer of {name} went on {moved}: {never} were never acknowledged, {lost} are out of \
                 reach, and {counted} are counted as missing"
            ));
        }
        Ok(())
    }
}
