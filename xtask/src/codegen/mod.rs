//! The code generator: .proto files to borrowed views, encoders, owned types and descriptors.
//!
//! protox reads the files, [`model`] turns the descriptors into what Rust needs to know and
//! refuses what the views cannot do, [`views`] and [`encoders`] write Rust, [`services`] writes
//! the tables of methods, and [`owned`] has prost-build write the owned types.

mod encoders;
mod model;
mod names;
mod owned;
#[cfg(test)]
mod refusals;
mod services;
mod targets;
mod views;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use prost_types::FileDescriptorSet;

use crate::Failure;
use model::Schema;
use targets::{TARGETS, Target};

/// What is to be on disk, by path below the workspace root.
type Outputs = BTreeMap<PathBuf, Vec<u8>>;

/// Generates every target whose .proto files exist.
pub(crate) fn run(root: &Path, check: bool) -> Result<(), Failure> {
    let mut outputs = Outputs::new();
    for target in TARGETS {
        let missing = target.modules.iter().find(|m| {
            !m.file.starts_with("google/protobuf/")
                && !root.join(target.protos).join(m.file).exists()
        });
        if let Some(module) = missing {
            eprintln!(
                "skipped {}: there is no {}/{}",
                target.name, target.protos, module.file
            );
            continue;
        }
        generate(root, target, &mut outputs).map_err(|e| format!("{}: {e}", target.name))?;
    }
    if check {
        compare(root, &outputs)
    } else {
        write(root, &outputs)
    }
}

fn generate(root: &Path, target: &Target, outputs: &mut Outputs) -> Result<(), Failure> {
    let mut files = protox::Compiler::new([root.join(target.protos), root.join(targets::SHARED)])?
        .include_source_info(true)
        .include_imports(true)
        .open_files(target.modules.iter().map(|m| m.file))?
        .file_descriptor_set();
    if let Some(folder) = target.descriptors {
        for module in target.modules {
            if let Some(bytes) = services::descriptor_set(&files, module) {
                outputs.insert(format!("{folder}/{}.bin", module.name).into(), bytes);
            }
        }
    }
    exempt_from_utf8(&mut files)?;
    let schema = Schema::new(&files)?;
    for module in target.modules {
        let text = views::module(&schema, target, module)?;
        let path = format!("{}/{}.rs", target.views, module.name);
        outputs.insert(path.into(), rustfmt(&text)?);
    }
    if let Some(folder) = target.owned {
        for module in target.modules {
            let text = owned::module(&files, module)?;
            outputs.insert(
                format!("{folder}/{}.rs", module.name).into(),
                rustfmt(&text)?,
            );
        }
    }
    Ok(())
}

/// Makes `bytes` of the `string`s that are exempt from the UTF-8 check, in the generated types
/// only: the descriptors that are published stay as they are.
fn exempt_from_utf8(files: &mut FileDescriptorSet) -> Result<(), Failure> {
    for (package, outer, nested, field) in targets::UTF8_EXEMPT {
        let Some(file) = files.file.iter_mut().find(|f| f.package() == *package) else {
            continue;
        };
        let field = file
            .message_type
            .iter_mut()
            .find(|m| m.name() == *outer)
            .and_then(|m| m.nested_type.iter_mut().find(|m| m.name() == *nested))
            .and_then(|m| m.field.iter_mut().find(|f| f.name() == *field))
            .ok_or_else(|| format!("no {package}.{outer}.{nested}.{field} to exempt from UTF-8"))?;
        field.set_type(prost_types::field_descriptor_proto::Type::Bytes);
    }
    Ok(())
}

fn rustfmt(text: &str) -> Result<Vec<u8>, Failure> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot run rustfmt: {e}"))?;
    let mut input = child.stdin.take().ok_or("rustfmt has no input")?;
    // A thread of its own: rustfmt may fill its output before it has read all of its input.
    let text_owned = text.to_owned();
    let feeder = std::thread::spawn(move || input.write_all(text_owned.as_bytes()));
    let output = child.wait_with_output()?;
    feeder
        .join()
        .map_err(|_| "the thread that feeds rustfmt panicked")??;
    if !output.status.success() {
        return Err(format!("rustfmt refused what was generated:\n{text}").into());
    }
    Ok(output.stdout)
}

fn write(root: &Path, outputs: &Outputs) -> Result<(), Failure> {
    for (path, bytes) in outputs {
        let path = root.join(path);
        if fs::read(&path).is_ok_and(|old| old == *bytes) {
            continue;
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, bytes)?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}

fn compare(root: &Path, outputs: &Outputs) -> Result<(), Failure> {
    let stale: Vec<String> = outputs
        .iter()
        .filter(|(path, bytes)| fs::read(root.join(path)).ok().as_ref() != Some(bytes))
        .map(|(path, _)| path.display().to_string())
        .collect();
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!(
        "not what the .proto files generate: {}; run `cargo xtask codegen` and check the result in",
        stale.join(", ")
    )
    .into())
}
