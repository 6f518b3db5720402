//! The two halves of a pipeline that tests exchange events with: one that reads files and sends what is in them,
//! and one that receives and writes a file. Each half keeps to IntelMQ's own bots and their documented parameters.

use serde_json::json;

use super::IntelMq;

/// Where the sending half ends.
pub enum Sending {
    /// In a TCP output that connects to this port.
    Tcp(u16),
    /// In this Redis queue.
    Queue(&'static str),
}

/// Where the receiving half begins.
pub enum Receiving {
    /// In a TCP collector that listens on this port.
    Tcp(u16),
    /// In the queue of the file output, `file-output-queue`.
    Queue,
}

/// How often a TCP output tries again before it takes the event out of the pipeline; IntelMQ's default is 3.
const PATIENT: u32 = 1_000_000;

/// file collector -> JSON parser -> what `to` says, and beside it a file output, `witness`, that writes the same
/// events. Gives the bots in the order of the flow, without the witness.
pub fn file_to_output(instance: &mut IntelMq, to: &Sending) -> Vec<&'static str> {
    let inbox = instance.inbox();
    instance.add(
        "file-collector",
        "intelmq.bots.collectors.file.collector_file",
        json!({
            "path": inbox, "postfix": ".jsonl", "delete_file": true, "rate_limit": 1,
            "destination_queues": { "_default": ["json-parser-queue"] },
        }),
    );
    let (queue, bots) = match to {
        Sending::Tcp(_) => ("tcp-output-queue", vec!["file-collector", "json-parser", "tcp-output"]),
        Sending::Queue(queue) => (*queue, vec!["file-collector", "json-parser"]),
    };
    instance.add(
        "json-parser",
        "intelmq.bots.parsers.json.parser",
        json!({ "splitlines": true, "destination_queues": { "_default": [queue, "witness-queue"] } }),
    );
    if let Sending::Tcp(port) = to {
        add_tcp_output(instance, "tcp-output", *port);
    }
    add_file_output(instance, "witness");
    bots
}

/// What `from` says -> JSON parser -> file output. Gives the bots in the order of the flow.
pub fn collector_to_file(instance: &mut IntelMq, from: &Receiving) -> Vec<&'static str> {
    add_file_output(instance, "file-output");
    let Receiving::Tcp(port) = from else { return vec!["file-output"] };
    add_tcp_collector(instance, "tcp-collector", *port, "json-parser-queue");
    instance.add(
        "json-parser",
        "intelmq.bots.parsers.json.parser",
        json!({ "destination_queues": { "_default": ["file-output-queue"] } }),
    );
    vec!["tcp-collector", "json-parser", "file-output"]
}

/// A TCP output that never gives an event up.
pub fn add_tcp_output(instance: &mut IntelMq, bot: &str, port: u16) {
    instance.add(
        bot,
        "intelmq.bots.outputs.tcp.output",
        json!({ "ip": "127.0.0.1", "port": port, "counterpart_is_intelmq": true, "error_max_retries": PATIENT }),
    );
}

pub fn add_tcp_collector(instance: &mut IntelMq, bot: &str, port: u16, to: &str) {
    instance.add(
        bot,
        "intelmq.bots.collectors.tcp.collector",
        json!({ "ip": "127.0.0.1", "port": port, "destination_queues": { "_default": [to] } }),
    );
}

/// A file output that keeps every field.
pub fn add_file_output(instance: &mut IntelMq, bot: &str) {
    let file = instance.output_file(bot);
    instance.add(bot, "intelmq.bots.outputs.file.output", json!({ "file": file, "keep_raw_field": true }));
}
