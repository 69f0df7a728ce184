//! Writes the tables of methods and the descriptors for reflection.

use std::fmt::Write as _;

use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

use super::model::Schema;
use super::names::{doc, shout, snake};
use super::targets::{Module, Target};
use crate::Failure;

/// The module `service`, if the package has services.
pub(crate) fn tables(
    out: &mut String,
    schema: &Schema,
    target: &Target,
    module: &Module,
) -> Result<(), Failure> {
    let services: Vec<_> = schema
        .services
        .iter()
        .filter(|s| s.package == module.package)
        .collect();
    if services.is_empty() {
        return Ok(());
    }
    if target.descriptors.is_some() {
        writeln!(
            out,
            "/// The package's `FileDescriptorSet` with all it imports, for gRPC reflection.\n\
             #[cfg(feature = \"descriptors\")]\n\
             pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(\"descriptors/{}.bin\");\n",
            module.name
        )?;
    }
    let root = target.wire_crate;
    writeln!(
        out,
        "/// The services of the package, each with its methods in the order of the definition.\npub mod service {{"
    )?;
    let mut all = String::new();
    for service in services {
        let full = format!("{}.{}", service.package, service.name);
        writeln!(
            out,
            "{}pub mod {} {{",
            doc(&service.doc, &format!("`{full}`.")),
            snake(&service.name)
        )?;
        writeln!(
            out,
            "use {root}::MethodDescriptor;\n\n/// The full name.\npub const NAME: &str = \"{full}\";\n"
        )?;
        let mut names = Vec::new();
        for method in &service.methods {
            let name = shout(&method.name);
            writeln!(
                out,
                "{}pub const {name}: MethodDescriptor = MethodDescriptor {{\n\
                 path: \"/{full}/{}\",\nclient_streaming: {},\nserver_streaming: {},\n}};\n",
                doc(&method.doc, &format!("`{}`.", method.name)),
                method.name,
                method.client_streaming,
                method.server_streaming
            )?;
            writeln!(all, "{}::{name},", snake(&service.name))?;
            names.push(name);
        }
        writeln!(
            out,
            "/// All methods.\npub static METHODS: &[MethodDescriptor] = &[{}];\n}}\n",
            names.join(", ")
        )?;
    }
    writeln!(
        out,
        "/// All methods of all services of the package.\n\
         pub static METHODS: &[{root}::MethodDescriptor] = &[\n{all}];\n}}"
    )?;
    Ok(())
}

/// The descriptors of a package with services and of all it imports, imports first, without
/// comments.
pub(crate) fn descriptor_set(files: &FileDescriptorSet, module: &Module) -> Option<Vec<u8>> {
    let main = files.file.iter().find(|f| f.name() == module.file)?;
    if main.service.is_empty() {
        return None;
    }
    let mut chosen = Vec::new();
    choose(files, main, &mut chosen);
    Some(FileDescriptorSet { file: chosen }.encode_to_vec())
}

fn choose(
    files: &FileDescriptorSet,
    file: &FileDescriptorProto,
    chosen: &mut Vec<FileDescriptorProto>,
) {
    if chosen.iter().any(|f| f.name() == file.name()) {
        return;
    }
    for import in &file.dependency {
        if let Some(import) = files.file.iter().find(|f| f.name() == import) {
            choose(files, import, chosen);
        }
    }
    let mut file = file.clone();
    file.source_code_info = None;
    chosen.push(file);
}
