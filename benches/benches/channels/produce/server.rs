//! A server as a process of its own, with a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub(crate) struct Server {
    pub(crate) child: Child,
    directory: PathBuf,
}

impl Server {
    /// Starts a program that keeps its files in `directory`.
    pub(crate) fn start(command: &mut Command, directory: PathBuf) -> Self {
        let child = command.spawn().expect("a program that was found before");
        Self { child, directory }
    }

    /// Seconds its threads have had of the processors.
    pub(crate) fn cpu(&self) -> f64 {
        let tasks = format!("/proc/{}/task", self.child.id());
        let tasks = std::fs::read_dir(tasks).expect("a process of ours");
        let of = |task: PathBuf| -> Option<f64> {
            let line = std::fs::read_to_string(task.join("schedstat")).ok()?;
            line.split_whitespace().next()?.parse().ok()
        };
        let each = tasks.flatten().filter_map(|task| of(task.path()));
        each.sum::<f64>() / 1e9
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// An empty directory on the disk where programs are built.
pub(crate) fn directory(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = root.join(format!("channels-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a directory");
    path
}

/// The first line a program says of its version, if there is the program.
pub(crate) fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().map(str::to_owned)
}

/// A program that says nothing.
pub(crate) fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}
