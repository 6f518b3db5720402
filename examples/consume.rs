//! Takes events from a node: `consume NODE_DIR NAME COUNT`. Prints id and payload of each event, then acknowledges it.
//! The node keeps the position of NAME, so a consumer may see one event twice and never misses one. `consume.py` does
//! the same with Python's standard library.

use std::error::Error;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, name, count] = &arguments[..] else {
        return Err("usage: consume NODE_DIR NAME COUNT".into());
    };
    let mut node = UnixStream::connect(format!("{directory}/run/out.sock"))?;
    // `from` counts only for a name that is new: `earliest` begins with the oldest event that is held.
    writeln!(node, "{}", json!({ "consumer": name, "from": "earliest" }))?;
    let mut lines = BufReader::new(node.try_clone()?);
    let mut left: usize = count.parse()?;
    while left > 0 {
        let mut line = String::new();
        lines.read_line(&mut line)?;
        let event: Value = serde_json::from_str(&line).map_err(|_| "the node is gone")?;
        if event.get("notice").is_some() {
            eprintln!("{event}");
            continue;
        }
        let (Some(seq), Some(id)) = (event["seq"].as_u64(), event["meta"]["uuid"]["current"].as_str()) else {
            return Err(line.into());
        };
        // Whatever is to be done with the event is done before it is acknowledged.
        println!("{id} {}", event["payload"]);
        writeln!(node, "{}", json!({ "ack": seq }))?;
        left -= 1;
    }
    // At the end of our side the node syncs all acknowledgements, then closes.
    node.shutdown(Shutdown::Write)?;
    lines.read_to_end(&mut Vec::new())?;
    Ok(())
}
