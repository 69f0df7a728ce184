//! NATS JetStream: published to one stream, many under way on one connection, each acknowledged by the stream.

use std::path::Path;
use std::process::Command;

use trefoil_benches::free_host;

use super::load::{Contender, Load, PATTERN};
use super::pipeline::{Next, Pipeline, line};
use super::server::{Server, directory, quiet};

/// What JetStream promises of a record it has acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Storage {
    /// It is in the file, which was synced.
    Synced,
    /// It is in the file, which is synced every two minutes: the default.
    File,
    /// Nothing.
    Memory,
}

pub(crate) struct Nats {
    name: &'static str,
    server: Server,
    pipeline: Pipeline,
}

pub(crate) const PROGRAM: &str = "nats-server";

const CREATE: &str = "$JS.API.STREAM.CREATE.bench";

fn configure(directory: &Path, host: &str, synced: bool) -> std::path::PathBuf {
    let sync = if synced { "sync_interval: always" } else { "" };
    let config = format!(
        "listen: \"{host}\"\njetstream {{\n store_dir: \"{}\"\n max_mem: 8GB\n max_file: 8GB\n {sync}\n}}\n",
        directory.display()
    );
    let file = directory.join("nats.conf");
    std::fs::write(&file, config).expect("a directory of ours");
    file
}

/// Whether this server can sync what it acknowledges, which those before 2.10 cannot.
pub(crate) fn can_sync() -> bool {
    let directory = directory("nats-try");
    let file = configure(&directory, "127.0.0.1:4222", true);
    let mut command: Command = quiet(PROGRAM);
    let status = command.arg("-c").arg(file).arg("-t").status();
    let _ = std::fs::remove_dir_all(directory);
    status.is_ok_and(|status| status.success())
}

impl Nats {
    pub(crate) fn start(storage: Storage) -> Self {
        let (name, kind) = match storage {
            Storage::Synced => ("jetstream, file, sync_interval always", "file"),
            Storage::File => ("jetstream, file, synced every 2 min", "file"),
            Storage::Memory => ("jetstream, memory", "memory"),
        };
        let (host, directory) = (free_host(), directory("nats"));
        let config = configure(&directory, &host, matches!(storage, Storage::Synced));
        let mut command = quiet(PROGRAM);
        let server = Server::start(command.arg("-c").arg(config), directory);
        let mut pipeline = Pipeline::connect(&host);
        pipeline.ask(
            b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n",
            |answer| answer.ends_with("PONG\r\n"),
        );
        let stream = format!(
            "{{\"name\":\"bench\",\"subjects\":[\"bench\"],\"storage\":\"{kind}\",\"retention\":\"limits\",\"num_replicas\":1}}"
        );
        let create = format!(
            "SUB made 1\r\nPUB {CREATE} made {}\r\n{stream}\r\n",
            stream.len()
        );
        pipeline.ask(create.as_bytes(), |answer| {
            assert!(!answer.contains("\"error\""), "{answer}");
            answer.contains("stream_create_response") && answer.ends_with("}\r\n")
        });
        pipeline.ask(b"SUB ack 2\r\nPING\r\n", |answer| {
            answer.ends_with("PONG\r\n")
        });
        Self {
            name,
            server,
            pipeline,
        }
    }
}

impl Contender for Nats {
    fn name(&self) -> &str {
        self.name
    }

    fn run(&mut self, load: Load) -> Vec<u32> {
        let head = format!("PUB bench ack {}\r\n", load.bytes);
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(&PATTERN[..load.bytes]);
            out.extend_from_slice(b"\r\n");
        };
        self.pipeline.run(load, write, read)
    }

    fn server_cpu(&self) -> f64 {
        self.server.cpu()
    }
}

/// An acknowledgement. A stream numbers what one connection publishes in the order it was published, so one subject
/// is enough for all.
fn read(input: &[u8], out: &mut Vec<u8>) -> Next {
    let Some((head, begin)) = line(input) else {
        return Next::Part;
    };
    match head {
        "PING" => {
            out.extend_from_slice(b"PONG\r\n");
            return Next::Other(begin);
        }
        "PONG" | "+OK" => return Next::Other(begin),
        _ if head.starts_with("INFO ") => return Next::Other(begin),
        _ => {}
    }
    assert!(head.starts_with("MSG ack 2 "), "nats said {head}");
    let len = head.rsplit(' ').next().and_then(|len| len.parse().ok());
    let len: usize = len.expect("a length");
    let Some(body) = input.get(begin..begin + len + 2) else {
        return Next::Part;
    };
    let sequence = b"\"seq\":";
    let is_kept = body.windows(sequence.len()).any(|part| part == sequence);
    assert!(is_kept, "nats said {}", String::from_utf8_lossy(body));
    Next::Answer(begin + len + 2)
}
