//! Every combination of features that a user may ask for is built without a warning, and those that
//! cannot be are refused with an explanation.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::Failure;

/// A crate and its features. Those of `full` are combined in every way; the others are added one at a
/// time, and all together.
struct Subject {
    package: &'static str,
    full: &'static [&'static str],
    single: &'static [&'static str],
    /// What must be said of a combination that makes no sense.
    refused: fn(&[&str]) -> Option<&'static str>,
}

const SUBJECTS: &[Subject] = &[
    Subject {
        package: "trefoil-proto",
        full: &["prost", "descriptors"],
        single: &[],
        refused: |_| None,
    },
    Subject {
        package: "trefoil-core",
        full: &["ring", "election", "channels"],
        single: &[],
        refused: |_| None,
    },
    Subject {
        package: "trefoil-tls",
        full: &["ring", "aws-lc-rs", "generate"],
        single: &[],
        refused: |with| {
            let missing = without_cryptography(with)?;
            // What makes certificates is built first, and explains it in its own words.
            Some(if has(with, "generate") {
                "must be activated"
            } else {
                missing
            })
        },
    },
    Subject {
        package: "trefoil-transport-tonic",
        full: &["reflection"],
        single: &[],
        refused: |_| None,
    },
    Subject {
        package: "trefoil-transport-quic",
        full: &["ring", "aws-lc-rs"],
        single: &[],
        refused: without_cryptography,
    },
    Subject {
        package: "trefoil-runtime",
        full: &["tonic", "quic", "ring"],
        single: &["tls", "reflection", "aws-lc-rs"],
        refused: |with| {
            let tls = has(with, "tls") || has(with, "quic");
            without_cryptography(with).filter(|_| tls)
        },
    },
    Subject {
        package: "trefoil-runtime-tokio",
        full: &["tonic", "quic", "tls", "ring"],
        single: &["aws-lc-rs", "reflection"],
        refused: of_a_runtime,
    },
    Subject {
        package: "trefoil-runtime-async-std",
        full: &["tonic", "quic", "tls", "ring"],
        single: &["aws-lc-rs", "async-std", "smol"],
        refused: of_a_runtime,
    },
];

fn has(with: &[&str], feature: &str) -> bool {
    with.contains(&feature)
}

fn without_cryptography(with: &[&str]) -> Option<&'static str> {
    (!has(with, "ring") && !has(with, "aws-lc-rs")).then_some("enable the feature `ring`")
}

fn of_a_runtime(with: &[&str]) -> Option<&'static str> {
    let tls = has(with, "tls") || has(with, "quic");
    let transport = has(with, "tonic") || has(with, "quic") || has(with, "reflection");
    // What is missing below is found before what is missing here.
    without_cryptography(with)
        .filter(|_| tls)
        .or((!transport).then_some("a node needs a transport"))
}

impl Subject {
    fn combinations(&self) -> Vec<Vec<&'static str>> {
        let mut all: Vec<Vec<&str>> = (0..1_u32 << self.full.len())
            .map(|bits| {
                let chosen = self.full.iter().enumerate();
                chosen
                    .filter(|(at, _)| bits & (1 << at) != 0)
                    .map(|(_, feature)| *feature)
                    .collect()
            })
            .collect();
        let whole = self.full.to_vec();
        for feature in self.single {
            all.push(vec![feature]);
            all.push([&whole[..], &[feature]].concat());
        }
        all.push([&whole[..], self.single].concat());
        all
    }

    fn check(&self, root: &Path, with: &[&str]) -> Result<(), Failure> {
        let features = with.join(",");
        let output = Command::new(env!("CARGO"))
            .current_dir(root)
            .args(["clippy", "--quiet", "--locked", "-p", self.package])
            .args(["--no-default-features", "--features", &features])
            .args(["--", "-D", "warnings"])
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let holds = match (self.refused)(with) {
            None => output.status.success(),
            Some(why) => !output.status.success() && said.contains(why),
        };
        if holds {
            return Ok(());
        }
        Err(format!("{} with [{features}]:\n{said}", self.package).into())
    }
}

/// Checks every combination of every crate.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    for subject in SUBJECTS {
        let combinations = subject.combinations();
        for with in &combinations {
            subject.check(root, with)?;
        }
        let count = combinations.len();
        writeln!(
            std::io::stdout(),
            "{}: {count} combinations",
            subject.package
        )?;
    }
    Ok(())
}
