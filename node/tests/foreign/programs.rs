//! Programs that are run beside the tests: the one under test, and the interpreters of those that share no code
//! with it.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest start of a program, on a busy machine.
pub(crate) const START: Duration = Duration::from_secs(60);

/// An interpreter that has what the scripts import.
pub(crate) struct Interpreter {
    program: String,
    arguments: &'static [&'static str],
    /// Where it finds what it imports, if it does not know by itself.
    modules: Option<PathBuf>,
}

impl Interpreter {
    /// A script of these tests.
    pub(crate) fn script(&self, name: &str) -> Command {
        let mut command = self.command();
        command
            .arg(here("tests/foreign").join(name))
            .env("FOREIGN_TREFOIL", env!("CARGO_BIN_EXE_trefoil"));
        command
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.arguments);
        if let Some(modules) = &self.modules {
            command.env("NODE_PATH", modules);
        }
        command
    }

    /// Itself if it can run a line, or nothing where the absence is a line in the output and not a failure.
    fn that_runs(self, line: &[&str], told: &Once) -> Option<Self> {
        let mut command = self.command();
        command.args(line);
        let why = match Running::start(command).map(|running| running.finish(START)) {
            Ok((Some(code), _)) if code.success() => return Some(self),
            Ok((_, said)) => said
                .lines()
                .rfind(|line| line.contains("Error"))
                .unwrap_or("it failed")
                .to_owned(),
            Err(error) => error.to_string(),
        };
        let program = &self.program;
        assert!(
            std::env::var_os("TREFOIL_DEMAND_FOREIGN").is_none(),
            "the foreign tests are demanded, but {program} cannot run them: {why}"
        );
        told.call_once(|| {
            // The macros would be captured, as this test passes; a line that nobody sees tells nothing.
            let _ = writeln!(
                std::io::stderr(),
                "foreign: skipped, {program} cannot run it: {why}"
            );
        });
        None
    }
}

/// Python with gRPC, if it is there.
pub(crate) fn python() -> Option<Interpreter> {
    static TOLD: Once = Once::new();
    let python = Interpreter {
        program: std::env::var("TREFOIL_PYTHON").unwrap_or_else(|_| "python3".to_owned()),
        // -B: nothing is written next to the sources. -u: what was said before a kill is seen.
        arguments: &["-B", "-u"],
        modules: None,
    };
    let modules = "import grpc, grpc_tools.protoc, grpc_health.v1, grpc_reflection.v1alpha";
    python.that_runs(&["-c", modules], &TOLD)
}

/// Node.js with gRPC, if it is there.
pub(crate) fn javascript() -> Option<Interpreter> {
    static TOLD: Once = Once::new();
    let node = Interpreter {
        program: std::env::var("TREFOIL_NODE").unwrap_or_else(|_| "node".to_owned()),
        arguments: &[],
        modules: std::env::var_os("TREFOIL_NODE_MODULES").map(PathBuf::from),
    };
    let modules = "require('@grpc/grpc-js'); require('@grpc/proto-loader')";
    node.that_runs(&["-e", modules], &TOLD)
}

/// A path of this package.
pub(crate) fn here(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The program under test, with nothing of the caller's environment but what is logged.
pub(crate) fn trefoil() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trefoil"));
    command
        .env_remove("TREFOIL_METRICS")
        .env_remove("TREFOIL_CERTS")
        .env_remove("TREFOIL_TRANSPORT")
        .env_remove("TREFOIL_RUNTIME")
        .env_remove("TREFOIL_TOKEN_FILE")
        .env_remove("TREFOIL_CLUSTER");
    command
}

/// The first of some ports in a row that are free. They lie below those the system hands out by itself, so that no
/// outgoing connection takes one meanwhile.
pub(crate) fn ports(count: u16) -> u16 {
    const FIRST: u16 = 20_000;
    const RANGE: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that test at the same time begin at different ports, tests of one process take different blocks.
    let base = u16::try_from(std::process::id() % u32::from(RANGE)).unwrap();
    for _ in 0..RANGE / count {
        let block = NEXT.fetch_add(count, Ordering::Relaxed);
        let first = FIRST + base.wrapping_add(block) % (RANGE - count);
        if (first..first + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return first;
        }
    }
    panic!("no {count} free ports in a row");
}

/// A process whose output is collected as it comes, killed when dropped.
pub(crate) struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> std::io::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let said = Arc::new(Mutex::new(String::new()));
        let readers = vec![
            read(child.stdout.take().unwrap(), &said),
            read(child.stderr.take().unwrap(), &said),
        ];
        Ok(Self {
            child,
            said,
            readers,
        })
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end. How it ended, if it did in time, and what it said.
    pub(crate) fn finish(mut self, within: Duration) -> (Option<ExitStatus>, String) {
        let end = Instant::now() + within;
        let mut code = self.ended();
        while code.is_none() && Instant::now() < end {
            nap();
            code = self.ended();
        }
        if code.is_some() {
            // It leaves no children behind, so its pipes end with it.
            for reader in self.readers.drain(..) {
                reader.join().unwrap();
            }
        }
        (code, self.output())
    }

    pub(crate) fn output(&self) -> String {
        self.said.lock().unwrap().clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing else to do about either failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(pipe: impl Read + Send + 'static, said: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            said.lock()
                .unwrap()
                .push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

#[allow(clippy::disallowed_methods, reason = "no node runs on this thread")]
pub(crate) fn nap() {
    std::thread::sleep(Duration::from_millis(50));
}
