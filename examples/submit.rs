//! Submits JSON lines from standard input to a node: `submit NODE_DIR < events.jsonl`. Prints the id of each event;
//! what is refused goes to standard error. `submit.py` does the same with Python's standard library.

use std::error::Error;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).ok_or("usage: submit NODE_DIR < events.jsonl")?;
    let mut node = UnixStream::connect(format!("{directory}/run/in.sock"))?;
    let mut answers = BufReader::new(node.try_clone()?).lines();
    let mut refused = 0;
    for event in io::stdin().lines() {
        let event = event?;
        if event.trim().is_empty() {
            continue;
        }
        writeln!(node, "{event}")?;
        // One answer for each event, in order, once the event is durable.
        let answer: Value =
            serde_json::from_str(&answers.next().ok_or("the node is gone: send the rest again")??)?;
        match answer["id"].as_str() {
            Some(id) => println!("{id}"),
            None if answer["retry"] == true => {
                return Err(format!("not now, send the rest again: {answer}").into());
            }
            None => {
                refused += 1;
                eprintln!("{answer}");
            }
        }
    }
    if refused == 0 { Ok(()) } else { Err(format!("refused: {refused}").into()) }
}
