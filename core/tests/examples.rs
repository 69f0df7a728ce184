//! The examples, run as tests: what they show is true.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../examples/custom_executor.rs"]
pub mod custom_executor;
#[path = "../examples/custom_transport/main.rs"]
#[expect(clippy::duplicate_mod, reason = "another example uses its transport")]
pub mod custom_transport;
#[path = "../examples/leader.rs"]
pub mod leader;
#[path = "../examples/three_nodes.rs"]
pub mod three_nodes;

#[test]
fn three_nodes() {
    three_nodes::main().unwrap();
}

#[test]
fn leader() {
    leader::main().unwrap();
}

#[test]
fn custom_transport() {
    custom_transport::main().unwrap();
}

#[test]
fn custom_executor() {
    custom_executor::main().unwrap();
}

/// "A transport of your own in less than a hundred lines", everything in the file counted.
#[test]
fn a_transport_is_less_than_a_hundred_lines() {
    let source = include_str!("../examples/custom_transport/transport.rs");
    assert!(source.lines().count() < 100);
}
