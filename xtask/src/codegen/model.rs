//! What the generator knows of the messages: descriptors, resolved, ordered, and refused where a
//! view could not be made of them.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::field_descriptor_proto::{Label, Type as WireType};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet,
};

use super::names;
use crate::Failure;

/// All messages, enums and services by full name.
#[derive(Default)]
pub(crate) struct Schema {
    pub(crate) messages: BTreeMap<String, Message>,
    pub(crate) enums: BTreeMap<String, Enum>,
    pub(crate) services: Vec<Service>,
}

pub(crate) struct Message {
    pub(crate) package: String,
    /// The full name.
    pub(crate) full: String,
    pub(crate) rust: String,
    pub(crate) doc: String,
    /// In the order they are encoded.
    pub(crate) members: Vec<Member>,
}

pub(crate) enum Member {
    Field(Field),
    Oneof(Oneof),
}

pub(crate) struct Oneof {
    pub(crate) name: String,
    pub(crate) rust: String,
    pub(crate) doc: String,
    pub(crate) fields: Vec<Field>,
}

pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    pub(crate) presence: Presence,
    pub(crate) doc: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Left out when it is the default.
    Implicit,
    /// `optional`, messages, and members of a oneof.
    Explicit,
    Repeated,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Scalar(&'static Scalar),
    Text,
    Blob,
    Message(String),
    Enum(String),
    Map(Box<(Self, Self)>),
}

/// A number or bool.
#[derive(PartialEq, Eq)]
pub(crate) struct Scalar {
    /// The name in protobuf, and of the methods of reader and writer.
    pub(crate) name: &'static str,
    pub(crate) rust: &'static str,
    pub(crate) wire: u32,
    /// Whether it is the plain varint of its Rust type, as lists and maps demand.
    pub(crate) plain: bool,
}

const fn scalar(name: &'static str, rust: &'static str, wire: u32, plain: bool) -> Scalar {
    Scalar {
        name,
        rust,
        wire,
        plain,
    }
}

static SCALARS: &[(WireType, Scalar)] = &[
    (WireType::Double, scalar("double", "f64", 1, false)),
    (WireType::Float, scalar("float", "f32", 5, false)),
    (WireType::Int64, scalar("int64", "i64", 0, true)),
    (WireType::Uint64, scalar("uint64", "u64", 0, true)),
    (WireType::Int32, scalar("int32", "i32", 0, true)),
    (WireType::Fixed64, scalar("fixed64", "u64", 1, false)),
    (WireType::Fixed32, scalar("fixed32", "u32", 5, false)),
    (WireType::Bool, scalar("bool", "bool", 0, true)),
    (WireType::Uint32, scalar("uint32", "u32", 0, true)),
    (WireType::Sfixed32, scalar("sfixed32", "i32", 5, false)),
    (WireType::Sfixed64, scalar("sfixed64", "i64", 1, false)),
    (WireType::Sint32, scalar("sint32", "i32", 0, false)),
    (WireType::Sint64, scalar("sint64", "i64", 0, false)),
];

pub(crate) struct Enum {
    pub(crate) package: String,
    pub(crate) rust: String,
    pub(crate) doc: String,
    /// Name in protobuf, number, comment.
    pub(crate) values: Vec<(String, i32, String)>,
}

pub(crate) struct Service {
    pub(crate) package: String,
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) methods: Vec<Method>,
}

pub(crate) struct Method {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) client_streaming: bool,
    pub(crate) server_streaming: bool,
}

impl Kind {
    /// The wire type of one value.
    pub(crate) fn wire(&self) -> u32 {
        match self {
            Self::Scalar(scalar) => scalar.wire,
            Self::Enum(_) => 0,
            Self::Text | Self::Blob | Self::Message(_) | Self::Map(_) => 2,
        }
    }
}

impl Field {
    /// Whether it stays encoded until it is iterated.
    pub(crate) fn is_lazy(&self) -> bool {
        self.presence == Presence::Repeated
    }

    /// Whether a list of it is one packed run.
    pub(crate) fn is_packed(&self) -> bool {
        self.is_lazy() && matches!(self.kind, Kind::Scalar(_) | Kind::Enum(_))
    }

    /// The tag of a value, or of the list.
    pub(crate) fn tag(&self) -> u32 {
        let wire = if self.is_packed() {
            2
        } else {
            self.kind.wire()
        };
        self.number << 3 | wire
    }
}

impl Message {
    /// All fields, those in oneofs too.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &Field> {
        self.members.iter().flat_map(|member| match member {
            Member::Field(field) => std::slice::from_ref(field),
            Member::Oneof(oneof) => &oneof.fields,
        })
    }
}

impl Schema {
    /// Reads the descriptors; refuses proto2, groups, recursion and what the lists cannot hold.
    pub(crate) fn new(files: &FileDescriptorSet) -> Result<Self, Failure> {
        let mut schema = Self::default();
        for file in &files.file {
            if file.syntax() != "proto3" {
                return Err(format!("{} is not proto3", file.name()).into());
            }
            let reader = FileReader::new(file);
            reader.messages(&mut schema, &file.message_type, &[4], "", file.package())?;
            reader.enums(&mut schema, &file.enum_type, &[5], "", file.package());
            reader.services(&mut schema);
        }
        schema.refuse_equal_names()?;
        for name in schema.messages.keys() {
            schema.refuse_recursion(name, &mut Vec::new())?;
        }
        Ok(schema)
    }

    pub(crate) fn message(&self, full: &str) -> Result<&Message, Failure> {
        self.messages
            .get(full)
            .ok_or_else(|| format!("there is no message {full}").into())
    }

    pub(crate) fn enumeration(&self, full: &str) -> Result<&Enum, Failure> {
        self.enums
            .get(full)
            .ok_or_else(|| format!("there is no enum {full}").into())
    }

    fn refuse_recursion(&self, name: &str, above: &mut Vec<String>) -> Result<(), Failure> {
        above.push(name.to_owned());
        for field in self.message(name)?.fields() {
            let inner = match &field.kind {
                Kind::Message(inner) => inner,
                Kind::Map(entry) => match &entry.1 {
                    Kind::Message(inner) => inner,
                    Kind::Scalar(_) | Kind::Text | Kind::Blob | Kind::Enum(_) | Kind::Map(_) => {
                        continue;
                    }
                },
                Kind::Scalar(_) | Kind::Text | Kind::Blob | Kind::Enum(_) => continue,
            };
            if above.contains(inner) {
                return Err(format!(
                    "{name}.{} makes {inner} contain itself; views are sized and bound the depth \
                     of decoding by the schema, so recursion is refused",
                    field.name
                )
                .into());
            }
            self.refuse_recursion(inner, above)?;
        }
        above.pop();
        Ok(())
    }

    fn refuse_equal_names(&self) -> Result<(), Failure> {
        let mut seen = BTreeSet::new();
        let messages = self.messages.values().map(|m| (&m.package, &m.rust));
        let enums = self.enums.values().map(|e| (&e.package, &e.rust));
        let oneofs = self.messages.values().flat_map(|m| {
            m.members.iter().filter_map(|member| match member {
                Member::Oneof(oneof) => Some((&m.package, &oneof.rust)),
                Member::Field(_) => None,
            })
        });
        for name in messages.chain(enums).chain(oneofs) {
            if !seen.insert(name) {
                return Err(format!("two types of {} would be called {}", name.0, name.1).into());
            }
        }
        Ok(())
    }
}

/// One file and its comments by path.
struct FileReader<'f> {
    file: &'f FileDescriptorProto,
    comments: BTreeMap<&'f [i32], &'f str>,
}

impl<'f> FileReader<'f> {
    fn new(file: &'f FileDescriptorProto) -> Self {
        // The comments of the well-known types hold examples in other languages.
        let info = if file.package() == "google.protobuf" {
            None
        } else {
            file.source_code_info.as_ref()
        };
        let comments = info
            .iter()
            .flat_map(|info| &info.location)
            .filter_map(|at| {
                at.leading_comments
                    .as_deref()
                    .map(|text| (at.path.as_slice(), text))
            })
            .collect();
        Self { file, comments }
    }

    fn comment(&self, path: &[i32], rest: &[i32]) -> String {
        let path = [path, rest].concat();
        self.comments
            .get(path.as_slice())
            .copied()
            .unwrap_or_default()
            .to_owned()
    }

    fn messages(
        &self,
        schema: &mut Schema,
        messages: &[DescriptorProto],
        path: &[i32],
        outer: &str,
        scope: &str,
    ) -> Result<(), Failure> {
        for (i, message) in (0..).zip(messages) {
            if message.options.as_ref().is_some_and(|o| o.map_entry()) {
                continue;
            }
            let path = [path, &[i]].concat();
            let full = format!("{scope}.{}", message.name());
            let rust = format!("{outer}{}", message.name());
            let members = self.members(message, &path, &full, &rust)?;
            self.messages(
                schema,
                &message.nested_type,
                &[&path[..], &[3]].concat(),
                &rust,
                &full,
            )?;
            self.enums(
                schema,
                &message.enum_type,
                &[&path[..], &[4]].concat(),
                &rust,
                &full,
            );
            let (package, doc) = (self.file.package().to_owned(), self.comment(&path, &[]));
            schema.messages.insert(
                full.clone(),
                Message {
                    package,
                    full,
                    rust,
                    doc,
                    members,
                },
            );
        }
        Ok(())
    }

    fn members(
        &self,
        message: &DescriptorProto,
        path: &[i32],
        full: &str,
        rust: &str,
    ) -> Result<Vec<Member>, Failure> {
        let mut oneofs: BTreeMap<i32, Oneof> = BTreeMap::new();
        let mut members = Vec::new();
        for (i, proto) in (0..).zip(&message.field) {
            let doc = self.comment(path, &[2, i]);
            let field =
                field(proto, message, doc).map_err(|e| format!("{full}.{}: {e}", proto.name()))?;
            match proto.oneof_index {
                Some(at) if !proto.proto3_optional() => {
                    let name = message.oneof_decl[at as usize].name();
                    let oneof = oneofs.entry(at).or_insert_with(|| Oneof {
                        name: name.to_owned(),
                        rust: format!("{rust}{}", names::camel(name)),
                        doc: self.comment(path, &[8, at]),
                        fields: Vec::new(),
                    });
                    oneof.fields.push(field);
                }
                _ => members.push(Member::Field(field)),
            }
        }
        members.extend(oneofs.into_values().map(Member::Oneof));
        members.sort_by_key(|member| match member {
            Member::Field(field) => Some(field.number),
            Member::Oneof(oneof) => oneof.fields.iter().map(|f| f.number).min(),
        });
        Ok(members)
    }

    fn enums(
        &self,
        schema: &mut Schema,
        enums: &[EnumDescriptorProto],
        path: &[i32],
        outer: &str,
        scope: &str,
    ) {
        for (i, proto) in (0..).zip(enums) {
            let path = [path, &[i]].concat();
            let values = (0..).zip(&proto.value);
            let values = values
                .map(|(j, v)| {
                    (
                        v.name().to_owned(),
                        v.number(),
                        self.comment(&path, &[2, j]),
                    )
                })
                .collect();
            let found = Enum {
                package: self.file.package().to_owned(),
                rust: format!("{outer}{}", proto.name()),
                doc: self.comment(&path, &[]),
                values,
            };
            schema
                .enums
                .insert(format!("{scope}.{}", proto.name()), found);
        }
    }

    fn services(&self, schema: &mut Schema) {
        for (i, service) in (0..).zip(&self.file.service) {
            let methods = (0..).zip(&service.method).map(|(j, method)| Method {
                name: method.name().to_owned(),
                doc: self.comment(&[6, i, 2, j], &[]),
                client_streaming: method.client_streaming(),
                server_streaming: method.server_streaming(),
            });
            schema.services.push(Service {
                package: self.file.package().to_owned(),
                name: service.name().to_owned(),
                doc: self.comment(&[6, i], &[]),
                methods: methods.collect(),
            });
        }
    }
}

fn field(
    proto: &FieldDescriptorProto,
    message: &DescriptorProto,
    doc: String,
) -> Result<Field, Failure> {
    let mut kind = kind(proto)?;
    if let (Kind::Message(full), Label::Repeated) = (&kind, proto.label()) {
        let entry = message.nested_type.iter().find(|nested| {
            nested.options.as_ref().is_some_and(|o| o.map_entry())
                && full.ends_with(&format!(".{}.{}", message.name(), nested.name()))
        });
        if let Some(entry) = entry {
            kind = map_kind(entry)?;
        }
    }
    let presence = match proto.label() {
        Label::Repeated => Presence::Repeated,
        Label::Required => return Err("`required` is proto2".into()),
        Label::Optional if proto.oneof_index.is_some() => Presence::Explicit,
        Label::Optional if matches!(kind, Kind::Message(_)) => Presence::Explicit,
        Label::Optional => Presence::Implicit,
    };
    if presence == Presence::Repeated {
        if matches!(kind, Kind::Scalar(scalar) if !scalar.plain) {
            return Err("lists of this type are not supported by the views".into());
        }
        if proto
            .options
            .as_ref()
            .is_some_and(|o| o.packed == Some(false))
        {
            return Err("unpacked lists are read but never written; drop `packed = false`".into());
        }
    }
    let number = u32::try_from(proto.number())?;
    Ok(Field {
        name: proto.name().to_owned(),
        number,
        kind,
        presence,
        doc,
    })
}

fn kind(proto: &FieldDescriptorProto) -> Result<Kind, Failure> {
    let wire = proto.r#type();
    if let Some((_, scalar)) = SCALARS.iter().find(|(of, _)| *of == wire) {
        return Ok(Kind::Scalar(scalar));
    }
    let full = proto.type_name().trim_start_matches('.').to_owned();
    let kinds = [
        (WireType::String, Kind::Text),
        (WireType::Bytes, Kind::Blob),
        (WireType::Message, Kind::Message(full.clone())),
        (WireType::Enum, Kind::Enum(full)),
    ];
    let found = kinds.into_iter().find(|(of, _)| *of == wire);
    found
        .map(|(_, kind)| kind)
        .ok_or_else(|| "groups are proto2".into())
}

fn map_kind(entry: &DescriptorProto) -> Result<Kind, Failure> {
    let [key, value] = entry.field.as_slice() else {
        return Err("a map entry without key and value".into());
    };
    let (key, value) = (kind(key)?, kind(value)?);
    for part in [&key, &value] {
        if matches!(part, Kind::Scalar(scalar) if !scalar.plain) || matches!(part, Kind::Enum(_)) {
            return Err("maps with this type are not supported by the views".into());
        }
    }
    Ok(Kind::Map(Box::new((key, value))))
}
