//! How large a message may be, as operators set it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test")]

mod processes;

use processes::Alone;

const MIB: usize = 1 << 20;

/// A node that takes messages of so many bytes, and a channel.
fn taking(bytes: usize) -> Alone {
    let node = Alone::start(|_| format!("[limits]\nmessage_bytes_max = {bytes}\n"));
    let create = ["channels", "create", "films", "--timeout", "60"];
    node.run(&create).unwrap();
    node
}

/// Produces one record.
fn produce(node: &Alone, record: &[u8], more: &[&str]) -> Result<Vec<u8>, String> {
    let file = node.dir.path().join("line");
    std::fs::write(&file, record).unwrap();
    let args = [
        "produce",
        "films",
        "--timeout",
        "60",
        "--file",
        file.to_str().unwrap(),
    ];
    node.run(&[&args[..], more].concat())
}

#[test]
fn line_18_messages_above_the_default_are_taken_and_given_where_the_configuration_says_so() {
    let node = taking(256 * MIB);
    let film = b"7".repeat(256 * MIB - 1_024);
    let why = produce(&node, &film, &[]).unwrap_err();
    assert!(
        why.contains("TF-N18") && why.contains("was not appended"),
        "above what is sent if nothing is said: {why}"
    );
    let said = produce(&node, &film, &["--message-bytes-max", "268435456"]);
    assert!(said.unwrap().starts_with(b"1 records appended"));
    let consume = ["consume", "films", "--from", "all", "--limit", "1"];
    let given = node.run(&[&consume[..], &["--idle-ms", "60000"]].concat());
    let mut given = given.unwrap();
    assert_eq!(given.pop(), Some(b'\n'));
    assert!(given == film, "{} bytes came back", given.len());
}

#[test]
fn messages_above_what_the_configuration_says_are_refused() {
    let node = taking(MIB);
    let said = produce(&node, &b"x".repeat(MIB - 1_024), &[]);
    assert!(said.unwrap().starts_with(b"1 records appended"));
    let why = produce(&node, &b"x".repeat(MIB - 100), &[]).unwrap_err();
    assert!(why.contains("TF-N18") && why.contains("TF-L14"), "{why}");
}
