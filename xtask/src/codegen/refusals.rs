//! What the generator must refuse, and that what is checked in is what it writes.

use std::path::Path;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FieldOptions, FileDescriptorProto, FileDescriptorSet,
};

use super::model::Schema;

fn field(name: &str, number: i32, ty: Type, label: Label, type_name: &str) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(ty.into()),
        type_name: Some(type_name.into()),
        ..FieldDescriptorProto::default()
    }
}

fn message(name: &str, field: FieldDescriptorProto) -> DescriptorProto {
    DescriptorProto {
        name: Some(name.into()),
        field: vec![field],
        ..DescriptorProto::default()
    }
}

fn refusal(syntax: &str, messages: Vec<DescriptorProto>) -> String {
    let file = FileDescriptorProto {
        name: Some("t.proto".into()),
        package: Some("t".into()),
        syntax: Some(syntax.into()),
        message_type: messages,
        ..FileDescriptorProto::default()
    };
    match Schema::new(&FileDescriptorSet { file: vec![file] }) {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn recursion() {
    let inner = |name, of: &str| message(name, field("f", 1, Type::Message, Label::Optional, of));
    let direct = refusal("proto3", vec![inner("A", ".t.A")]);
    assert!(direct.contains("recursion is refused"), "{direct}");
    let around = refusal("proto3", vec![inner("A", ".t.B"), inner("B", ".t.A")]);
    assert!(around.contains("recursion is refused"), "{around}");
    let list = message("A", field("f", 1, Type::Message, Label::Repeated, ".t.A"));
    assert!(refusal("proto3", vec![list]).contains("recursion is refused"));
}

#[test]
fn proto2_groups_and_required() {
    assert_eq!(refusal("proto2", vec![]), "t.proto is not proto3");
    let group = message("A", field("g", 1, Type::Group, Label::Optional, ".t.A"));
    assert_eq!(refusal("proto3", vec![group]), "t.A.g: groups are proto2");
    let required = message("A", field("r", 1, Type::Int32, Label::Required, ""));
    assert_eq!(
        refusal("proto3", vec![required]),
        "t.A.r: `required` is proto2"
    );
}

#[test]
fn lists_the_views_cannot_hold() {
    let doubles = message("A", field("d", 1, Type::Double, Label::Repeated, ""));
    assert!(refusal("proto3", vec![doubles]).starts_with("t.A.d: lists of this type"));
    let mut unpacked = field("u", 1, Type::Uint64, Label::Repeated, "");
    unpacked.options = Some(FieldOptions {
        packed: Some(false),
        ..FieldOptions::default()
    });
    assert!(refusal("proto3", vec![message("A", unpacked)]).starts_with("t.A.u: unpacked"));
}

#[test]
fn two_types_of_one_name() {
    let plain = |name: &str| message(name, field("f", 1, Type::Int32, Label::Optional, ""));
    let mut outer = plain("A");
    outer.nested_type.push(plain("B"));
    assert!(refusal("proto3", vec![outer, plain("AB")]).contains("would be called AB"));
}

#[test]
fn what_is_checked_in_is_what_is_generated() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace");
    if let Err(error) = super::run(root, true) {
        panic!("{error}");
    }
}
