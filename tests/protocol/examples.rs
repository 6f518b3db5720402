//! The examples that need no process, run as they are written.

#[expect(dead_code, reason = "its `main` is for the command line")]
#[path = "../../examples/second_node.rs"]
mod second_node;

#[test]
fn second_node_exchanges_events() {
    let (submitted, handed) = second_node::exchange().unwrap();
    assert_eq!(submitted.len(), 2);
    assert_eq!(handed, submitted);
}
