//! Writes how views are encoded: backward, the last field first.

use std::fmt::Write as _;

use super::model::{Field, Kind, Member, Message, Presence, Scalar};
use super::names::{camel, ident};
use super::views::{Param, Writer};
use crate::Failure;

/// The `Encode` and `Named` of one message.
pub(crate) fn message(
    w: &mut Writer<'_>,
    message: &Message,
    borrows: bool,
    params: &[Param],
) -> Result<(), Failure> {
    let mut lens = String::new();
    let mut writes = Vec::new();
    for member in &message.members {
        let (len, write) = match member {
            Member::Field(field) => field_code(field),
            Member::Oneof(oneof) => {
                let mut len = format!("match &self.{} {{\nNone => {{}}\n", ident(&oneof.name));
                let mut write = len.clone();
                for field in &oneof.fields {
                    let variant = format!("Some({}::{}(v))", oneof.rust, camel(&field.name));
                    let used = if constant_len(&field.kind) {
                        variant.replace("(v)", "(_)")
                    } else {
                        variant.clone()
                    };
                    let value = member_value(&field.kind);
                    writeln!(len, "{used} => {},", add(&value_len(field, value)))?;
                    writeln!(write, "{variant} => {},", value_write(field, value))?;
                }
                len += "}\n";
                write += "}\n";
                (len, write)
            }
        };
        lens += &len;
        writes.push(write);
    }
    writes.reverse();
    let generics = Writer::applied(borrows, params);
    let used = match (borrows, params) {
        (true, []) => "<'_>".to_owned(),
        _ => generics.clone(),
    };
    let head = if params.is_empty() {
        String::new()
    } else if borrows {
        // The lifetime is not named by the bounds, and so need not be.
        Writer::applied(false, params)
    } else {
        generics.clone()
    };
    let used = if borrows && !params.is_empty() {
        used.replacen("'a", "'_", 1)
    } else {
        used
    };
    let bounds: Vec<_> = params
        .iter()
        .map(|p| format!("{}: {},\n", p.name, p.bound))
        .collect();
    let bounds = if bounds.is_empty() {
        String::new()
    } else {
        format!("where\n{}", bounds.concat())
    };
    let (len_body, writer, write_body) = if message.members.is_empty() {
        ("0\n".to_owned(), "_", String::new())
    } else {
        (
            format!("let mut len = 0usize;\n{lens}len\n"),
            "w",
            writes.concat(),
        )
    };
    let rust = &message.rust;
    write!(
        w.out,
        "impl{head} wire::Encode for {rust}{used} {bounds}{{\n\
         fn encoded_len(&self) -> usize {{\n{len_body}}}\n\n\
         fn encode(&self, {writer}: &mut wire::Writer<'_>) -> Result<(), wire::Full> {{\n{write_body}Ok(())\n}}\n}}\n\n"
    )?;
    let view = match w.view(message, "'static")? {
        plain if plain == message.rust => "Self".to_owned(),
        view => view,
    };
    write!(
        w.out,
        "impl{head} wire::Named for {rust}{used} {{\n\
         const NAME: &'static str = \"{}\";\ntype View = {view};\n}}\n\n",
        message.full
    )?;
    Ok(())
}

/// How a member of a oneof, bound by reference, is used as a value.
fn member_value(kind: &Kind) -> &'static str {
    match kind {
        Kind::Scalar(_) | Kind::Enum(_) => "*v",
        Kind::Text | Kind::Blob | Kind::Message(_) | Kind::Map(_) => "v",
    }
}

/// Measuring and writing of one field.
fn field_code(field: &Field) -> (String, String) {
    let name = format!("self.{}", ident(&field.name));
    let tag = field.tag();
    if field.is_lazy() {
        let (len, write) = match field.kind {
            Kind::Map(_) => ("entries_len", "write_entries"),
            Kind::Scalar(_) | Kind::Enum(_) => ("packed_len", "write_packed"),
            Kind::Text | Kind::Blob | Kind::Message(_) => ("list_len", "write_list"),
        };
        return (
            add(&format!("{name}.{len}({tag})")) + ";\n",
            format!("{name}.{write}({tag}, w)?;\n"),
        );
    }
    let by_reference = matches!(field.kind, Kind::Message(_));
    let condition = match (field.presence, &field.kind) {
        (Presence::Explicit, _) if by_reference => format!("if let Some(v) = &{name}"),
        (Presence::Explicit, _) => format!("if let Some(v) = {name}"),
        (_, kind) => format!("if {}", is_set(kind, &name)),
    };
    let value = if field.presence == Presence::Explicit {
        "v"
    } else {
        &name
    };
    let len_condition = if constant_len(&field.kind) && field.presence == Presence::Explicit {
        format!("if {name}.is_some()")
    } else {
        condition.clone()
    };
    (
        format!(
            "{len_condition} {{\n{};\n}}\n",
            add(&value_len(field, value))
        ),
        format!("{condition} {{\n{};\n}}\n", value_write(field, value)),
    )
}

/// Saturating, so that no list of many references to one string can wrap a 32-bit length.
fn add(len: &str) -> String {
    format!("len = len.saturating_add({len})")
}

/// Whether a value's length does not depend on the value.
fn constant_len(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Scalar(Scalar { wire: 1 | 5, .. } | Scalar { name: "bool", .. })
    )
}

fn is_set(kind: &Kind, name: &str) -> String {
    match kind {
        Kind::Text | Kind::Blob => format!("!{name}.is_empty()"),
        Kind::Enum(_) => format!("{name}.0 != 0"),
        Kind::Scalar(scalar) => match scalar.rust {
            "bool" => name.to_owned(),
            "f32" | "f64" => format!("{name}.to_bits() != 0"),
            _ => format!("{name} != 0"),
        },
        Kind::Message(_) | Kind::Map(_) => format!("{name}.is_some()"),
    }
}

/// The length of a value with its tag.
fn value_len(field: &Field, value: &str) -> String {
    let tag = tag_len(field.tag());
    let body = match &field.kind {
        Kind::Text | Kind::Blob => format!("wire::prefixed_len({value}.len())"),
        Kind::Message(_) | Kind::Map(_) => format!("wire::prefixed_len({value}.encoded_len())"),
        Kind::Enum(_) => {
            let value = value.trim_start_matches('*');
            format!("wire::varint_len(i64::from({value}.0) as u64)")
        }
        Kind::Scalar(scalar) => match scalar.name {
            "bool" => return (tag + 1).to_string(),
            "fixed32" | "sfixed32" | "float" => return (tag + 4).to_string(),
            "fixed64" | "sfixed64" | "double" => return (tag + 8).to_string(),
            "uint64" => format!("wire::varint_len({value})"),
            "int64" => format!("wire::varint_len({value} as u64)"),
            "uint32" => format!("wire::varint_len(u64::from({value}))"),
            "int32" => format!("wire::varint_len(i64::from({value}) as u64)"),
            name => format!("wire::{name}_len({value})"),
        },
    };
    // A varint is at most ten bytes: only prefixed lengths can come near the top.
    match field.kind {
        Kind::Scalar(_) | Kind::Enum(_) => format!("{tag} + {body}"),
        Kind::Text | Kind::Blob | Kind::Message(_) | Kind::Map(_) => {
            format!("{body}.saturating_add({tag})")
        }
    }
}

fn value_write(field: &Field, value: &str) -> String {
    let tag = field.tag();
    match &field.kind {
        Kind::Text => format!("w.string({tag}, {value})?"),
        Kind::Blob => format!("w.bytes({tag}, {value})?"),
        Kind::Message(_) | Kind::Map(_) => format!("w.message({tag}, {value})?"),
        Kind::Enum(_) => format!("w.int32({tag}, {}.0)?", value.trim_start_matches('*')),
        Kind::Scalar(scalar) => format!("w.{}({tag}, {value})?", scalar.name),
    }
}

const fn tag_len(tag: u32) -> u32 {
    let bits = 32 - (tag | 1).leading_zeros();
    bits.div_ceil(7)
}
