//! What a reader may rely on without looking: the arrows between crates, the absences in the core,
//! the size of a file, nothing left for later.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines a file may have before it holds more than one idea. We aim at 600.
const FILE_LINES_MAX: usize = 700;

/// Which of our own crates each crate may depend on, tests and benches aside.
const ARROWS: &[(&str, &[&str])] = &[
    ("trefoil-proto", &[]),
    ("trefoil-core", &["trefoil-proto"]),
    ("trefoil-store", &["trefoil-core"]),
    ("trefoil-tls", &[]),
    ("trefoil-transport", &["trefoil-core"]),
    (
        "trefoil-transport-quic",
        &["trefoil-core", "trefoil-tls", "trefoil-transport"],
    ),
    (
        "trefoil-transport-tonic",
        &["trefoil-core", "trefoil-proto", "trefoil-transport"],
    ),
    (
        "trefoil-runtime",
        &[
            "trefoil-core",
            "trefoil-proto",
            "trefoil-tls",
            "trefoil-transport-quic",
            "trefoil-transport-tonic",
        ],
    ),
    (
        "trefoil-runtime-tokio",
        &["trefoil-core", "trefoil-runtime", "trefoil-transport-tonic"],
    ),
    (
        "trefoil-runtime-async-std",
        &["trefoil-core", "trefoil-runtime", "trefoil-transport-tonic"],
    ),
    (
        "trefoil-node",
        &[
            "trefoil-core",
            "trefoil-proto",
            "trefoil-runtime",
            "trefoil-runtime-async-std",
            "trefoil-runtime-tokio",
            "trefoil-store",
            "trefoil-tls",
        ],
    ),
    ("trefoil-conformance", &["trefoil-core", "trefoil-proto"]),
    ("trefoil-sim", &["trefoil-core", "trefoil-proto"]),
    ("trefoil-benches", &["trefoil-core", "trefoil-proto"]),
    ("trefoil-proof", &["trefoil-core", "trefoil-proto"]),
    (
        "trefoil-interop-redhac",
        &[
            "trefoil-core",
            "trefoil-proto",
            "trefoil-runtime",
            "trefoil-runtime-tokio",
            "trefoil-store",
            "trefoil-tls",
            "trefoil-transport-tonic",
        ],
    ),
    ("xtask", &[]),
];

/// What the core and the schemas must not know of: the ambient world.
const BANNED_IN_CORE: &[&str] = &[
    "std::",
    "extern crate std",
    "async fn",
    "SystemTime",
    "Instant::now",
    "RandomState",
    "println!",
    "log::",
    "tracing::",
    "getrandom",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn files(below: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !matches!(name.as_str(), "target" | ".git" | "generated" | "owned") {
                files(&path, ending, found);
            }
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

fn all(below: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root().join(below), ending, &mut found);
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

/// The part of a source that is compiled into the crate: unit tests stand at the bottom.
fn shipped(source: &str) -> &str {
    source
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(source)
}

/// Whether `code` names `banned` from the root, not an item of its own that is called the same.
fn names(code: &str, banned: &str) -> bool {
    code.match_indices(banned).any(|(at, _)| {
        !code[..at]
            .ends_with(|before: char| before == '_' || before == ':' || before.is_alphanumeric())
    })
}

fn is_test(path: &Path) -> bool {
    let relative = path.strip_prefix(root()).unwrap();
    relative.components().any(|part| {
        matches!(
            part.as_os_str().to_str(),
            Some("tests" | "tests.rs" | "testing.rs")
        )
    })
}

/// The packages a manifest depends on, on any target and under any name.
fn dependencies(manifest: &toml::Table) -> Vec<String> {
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let targets = targets.into_iter().flat_map(toml::Table::values);
    let places = targets.filter_map(toml::Value::as_table).chain([manifest]);
    let sections = places.flat_map(|place| {
        ["dependencies", "build-dependencies"]
            .into_iter()
            .filter_map(|section| place.get(section)?.as_table())
    });
    let renamed = |value: &toml::Value| Some(value.get("package")?.as_str()?.to_owned());
    sections
        .flatten()
        .map(|(key, value)| renamed(value).unwrap_or_else(|| key.clone()))
        .collect()
}

#[test]
fn an_arrow_is_seen_under_another_name_and_on_another_target() {
    let manifest = r#"
        [dependencies]
        a = "1"
        [target.'cfg(unix)'.dependencies]
        b = { package = "trefoil-store", path = "x" }
    "#;
    let manifest: toml::Table = manifest.parse().unwrap();
    assert_eq!(dependencies(&manifest), ["trefoil-store", "a"]);
}

#[test]
fn crates_depend_in_the_allowed_directions_only() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for path in all("", "Cargo.toml") {
        let manifest: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        let Some(package) = manifest.get("package") else {
            continue;
        };
        let name = package["name"].as_str().unwrap();
        if name == "trefoil-fuzz" {
            continue;
        }
        let Some(allowed) = allowed.get(name) else {
            wrong.push(format!(
                "{name}: a crate without arrows of its own in this test"
            ));
            continue;
        };
        for dependency in dependencies(&manifest) {
            if dependency.starts_with("trefoil-") && !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("{name} -> {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "forbidden arrows:\n{}", wrong.join("\n"));
}

#[test]
fn the_core_is_pure() {
    let mut wrong = Vec::new();
    for path in all("core/src", ".rs")
        .into_iter()
        .chain(all("proto/src", ".rs"))
        .filter(|path| !is_test(path))
    {
        let source = fs::read_to_string(&path).unwrap();
        for (number, line) in shipped(&source).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for banned in BANNED_IN_CORE.iter().filter(|banned| names(code, banned)) {
                wrong.push(format!("{}:{}: {banned}", shown(&path), number + 1));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "the core must not know of:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn a_file_holds_one_idea() {
    let too_long: Vec<String> = all("", ".rs")
        .into_iter()
        .map(|path| (fs::read_to_string(&path).unwrap().lines().count(), path))
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .map(|(lines, path)| format!("{}: {lines} lines", shown(&path)))
        .collect();
    assert!(
        too_long.is_empty(),
        "longer than {FILE_LINES_MAX} lines:\n{}",
        too_long.join("\n")
    );
}

#[test]
fn nothing_is_left_for_later() {
    // Spelled in two pieces, so that this file does not find itself.
    let marks = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["XX", "X"],
        ["todo", "!("],
        ["unimplemented", "!("],
    ]
    .map(|mark| mark.concat());
    let mut left = Vec::new();
    for path in all("", ".rs")
        .into_iter()
        .chain(all("", ".toml"))
        .chain(all("", ".proto"))
    {
        let source = fs::read_to_string(&path).unwrap();
        for (number, line) in source.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                left.push(format!("{}:{}", shown(&path), number + 1));
            }
        }
    }
    assert!(left.is_empty(), "left for later:\n{}", left.join("\n"));
}
