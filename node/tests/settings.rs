//! What flags, environment and file amount to together.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::process::Command;

/// What `check-config` says of a file, under an environment and flags: whether it is right, and why.
fn checked(dir: &Path, file: &str, environment: &[(&str, &str)], flags: &[&str]) -> (bool, String) {
    let path = dir.join("node.toml");
    std::fs::write(&path, format!("host = '127.0.0.1:7001'\n{file}")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_trefoil"))
        .args(flags)
        .arg("check-config")
        .arg(&path)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let said = if output.status.success() {
        output.stdout
    } else {
        output.stderr
    };
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn what_is_on_or_off_is_read_as_people_write_it() {
    let dir = tempfile::tempdir().unwrap();
    for (value, way) in [
        ("1", "to any machine"),
        ("yes", "to any machine"),
        ("true", "to any machine"),
        ("0", "on this machine only"),
        ("no", "on this machine only"),
        ("false", "on this machine only"),
    ] {
        let (right, said) = checked(dir.path(), "", &[("TREFOIL_PLAINTEXT", value)], &[]);
        assert!(right && said.contains(way), "{value}: {said}");
    }
    let (right, said) = checked(dir.path(), "", &[("TREFOIL_PLAINTEXT", "perhaps")], &[]);
    assert!(!right && said.contains("perhaps"), "{said}");
}

#[test]
fn certificates_and_plaintext_are_not_asked_for_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().join("certs");
    let made = Command::new(env!("CARGO_BIN_EXE_trefoil"))
        .args(["certs", certs.to_str().unwrap(), "127.0.0.1"])
        .output();
    assert!(made.unwrap().status.success());
    let own = certs.join("127.0.0.1").to_str().unwrap().to_owned();
    let in_file = format!("certs = '{own}'\n");
    let off = [("TREFOIL_PLAINTEXT", "0")];
    let on = [("TREFOIL_PLAINTEXT", "1")];
    let flags = ["--certs", &own];
    for (file, environment, flags, way) in [
        ("", &off, &flags[..], "with certificates"),
        (in_file.as_str(), &off, &[], "with certificates"),
        // What stands above decides.
        ("plaintext = true\n", &off, &flags, "with certificates"),
        (&in_file, &on, &[], "to any machine"),
    ] {
        let (right, said) = checked(dir.path(), file, environment, flags);
        assert!(
            right && said.contains(way),
            "{file} {environment:?}: {said}"
        );
    }
    let both = format!("{in_file}plaintext = true\n");
    for (file, environment, flags) in [
        ("", &on, &flags[..]),
        (both.as_str(), &off, &[]),
        (&both, &off, &flags),
    ] {
        let (right, said) = checked(dir.path(), file, environment, flags);
        assert!(!right && said.starts_with("error: TF-N13: "), "{said}");
    }
}

#[cfg(unix)]
#[test]
fn a_request_to_read_again_ends_no_node_that_has_nothing_to_read() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;

    let data = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let mut up = Command::new(env!("CARGO_BIN_EXE_trefoil"));
    up.args(["--log", "info", "up", "--nodes", "1"])
        .args(["--port", &port.to_string()])
        .arg("--data")
        .arg(data.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut program = up.spawn().unwrap();
    let mut said = BufReader::new(program.stdout.take().unwrap()).lines();
    assert!(said.next().unwrap().unwrap().contains("nodes are up"));
    let process = program.id().to_string();
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, process.as_str()]).status();
        assert!(sent.unwrap().success());
    };
    signal("-HUP");
    let log = BufReader::new(program.stderr.take().unwrap());
    // The log ends if the program does.
    let mut lines = log.lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("asked to read again")));
    signal("-TERM");
    assert!(program.wait().unwrap().success());
}

#[test]
fn errors_of_certificates_begin_with_their_code() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    let flags = ["--certs", nowhere.to_str().unwrap()];
    let (right, said) = checked(dir.path(), "", &[], &flags);
    assert!(!right && said.starts_with("error: TF-X01: "), "{said}");
    let (right, said) = checked(dir.path(), "transport = 'quic'", &[], &[]);
    assert!(!right && said.starts_with("error: TF-U07: "), "{said}");
}
