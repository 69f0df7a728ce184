//! The examples, run as tests: what they show is true.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../examples/custom_executor.rs"]
pub mod custom_executor;
#[path = "../examples/custom_transport.rs"]
#[expect(clippy::duplicate_mod, reason = "another example uses its transport")]
pub mod custom_transport;
#[path = "../examples/three_nodes.rs"]
pub mod three_nodes;

#[test]
fn three_nodes() {
    three_nodes::main().unwrap();
}

#[test]
fn custom_transport() {
    custom_transport::main().unwrap();
}

#[test]
fn custom_executor() {
    custom_executor::main().unwrap();
}
