//! Redis Streams: `XADD` to one stream, many under way on one connection.

use trefoil_benches::free_host;

use super::load::{Contender, Load, PATTERN};
use super::pipeline::{Next, Pipeline, line};
use super::server::{Server, directory, quiet};

/// What Redis promises of a record it has answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Persistence {
    /// It is in the file, which was synced.
    Always,
    /// It is in the file, which is synced once a second.
    EverySecond,
    /// Nothing.
    Off,
}

pub(crate) struct Redis {
    name: &'static str,
    server: Server,
    pipeline: Pipeline,
}

pub(crate) const PROGRAM: &str = "redis-server";

impl Redis {
    pub(crate) fn start(persistence: Persistence) -> Self {
        let (name, of_file) = match persistence {
            Persistence::Always => (
                "redis, appendfsync always",
                ["--appendonly", "yes", "--appendfsync", "always"],
            ),
            Persistence::EverySecond => (
                "redis, appendfsync everysec",
                ["--appendonly", "yes", "--appendfsync", "everysec"],
            ),
            Persistence::Off => (
                "redis, no persistence",
                ["--appendonly", "no", "--appendfsync", "no"],
            ),
        };
        let (host, directory) = (free_host(), directory("redis"));
        let (address, port) = host.split_once(':').expect("a port");
        let mut command = quiet(PROGRAM);
        command.args(["--bind", address, "--port", port, "--save", ""]);
        // Nothing but the work: no rewriting of the file in the middle of it.
        command.args(["--auto-aof-rewrite-percentage", "0"]);
        command.args(of_file).arg("--dir").arg(&directory);
        let server = Server::start(&mut command, directory);
        let mut pipeline = Pipeline::connect(&host);
        pipeline.ask(b"*1\r\n$4\r\nPING\r\n", |answer| answer == "+PONG\r\n");
        Self {
            name,
            server,
            pipeline,
        }
    }
}

impl Contender for Redis {
    fn name(&self) -> &str {
        self.name
    }

    fn run(&mut self, load: Load) -> Vec<u32> {
        let head = format!(
            "*5\r\n$4\r\nXADD\r\n$5\r\nbench\r\n$1\r\n*\r\n$1\r\np\r\n${}\r\n",
            load.bytes
        );
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(&PATTERN[..load.bytes]);
            out.extend_from_slice(b"\r\n");
        };
        self.pipeline.run(load, write, |input, _| read(input))
    }

    fn server_cpu(&self) -> f64 {
        self.server.cpu()
    }
}

/// The id of a record, as a bulk string.
fn read(input: &[u8]) -> Next {
    let Some((head, begin)) = line(input) else {
        return Next::Part;
    };
    let len = head.strip_prefix('$').and_then(|len| len.parse().ok());
    let len: usize = len.unwrap_or_else(|| panic!("redis said {head}"));
    let whole = begin + len + 2;
    if input.len() < whole {
        return Next::Part;
    }
    Next::Answer(whole)
}
