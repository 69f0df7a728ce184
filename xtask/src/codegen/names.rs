//! From the names of protobuf to those of Rust.

/// `known_hosts` and `nodeID` to `known_hosts` and `node_id`, as prost does.
pub(crate) fn snake(name: &str) -> String {
    let mut out = String::new();
    let chars: Vec<char> = name.chars().collect();
    for (i, &c) in chars.iter().enumerate() {
        if c.is_ascii_uppercase() {
            let after_lower = i > 0 && !chars[i - 1].is_ascii_uppercase() && chars[i - 1] != '_';
            let before_lower = i > 0
                && chars[i - 1].is_ascii_uppercase()
                && chars.get(i + 1).is_some_and(char::is_ascii_lowercase);
            if after_lower || before_lower {
                out.push('_');
            }
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// `known_hosts` to `KnownHosts`.
pub(crate) fn camel(name: &str) -> String {
    snake(name)
        .split('_')
        .map(|word| {
            let mut chars = word.chars();
            chars.next().map_or_else(String::new, |c| {
                c.to_ascii_uppercase().to_string() + chars.as_str()
            })
        })
        .collect()
}

/// `GetLocalActorIds` to `GET_LOCAL_ACTOR_IDS`.
pub(crate) fn shout(name: &str) -> String {
    snake(name).to_ascii_uppercase()
}

/// A name of a field or module, escaped if it is a keyword.
pub(crate) fn ident(name: &str) -> String {
    const KEYWORDS: &[&str] = &[
        "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do",
        "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in",
        "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
        "return", "static", "struct", "trait", "true", "try", "type", "typeof", "unsafe",
        "unsized", "use", "virtual", "where", "while", "yield",
    ];
    let name = snake(name);
    if KEYWORDS.contains(&name.as_str()) {
        format!("r#{name}")
    } else {
        name
    }
}

/// The constant of an enum's value: without the enum's own name in front, however that name's
/// words are divided (`PCHANNEL_META_STATE_` is in front of the values of `PChannelMetaState`).
pub(crate) fn enum_value(enum_name: &str, value: &str) -> String {
    let shouted = shout(value);
    let prefix = enum_name.to_ascii_uppercase();
    let stripped = shouted
        .match_indices('_')
        .find(|(at, _)| shouted[..*at].replace('_', "") == prefix)
        .map(|(at, _)| &shouted[at + 1..]);
    match stripped {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_alphabetic()) => rest.to_owned(),
        _ => shouted,
    }
}

/// A comment as lines of documentation, or `otherwise` if there is none.
pub(crate) fn doc(comment: &str, otherwise: &str) -> String {
    let text = if comment.trim().is_empty() {
        otherwise
    } else {
        comment.trim()
    };
    text.lines()
        .map(|line| format!("/// {}\n", line.trim()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_rust_wants_them() {
        assert_eq!(snake("nodeID"), "node_id");
        assert_eq!(snake("GetLocalActorIds"), "get_local_actor_ids");
        assert_eq!(snake("MessageID"), "message_id");
        assert_eq!(camel("known_hosts"), "KnownHosts");
        assert_eq!(ident("type"), "r#type");
        assert_eq!(enum_value("StreamingCode", "STREAMING_CODE_EOF"), "EOF");
        assert_eq!(
            enum_value("PChannelMetaState", "PCHANNEL_META_STATE_ASSIGNED"),
            "ASSIGNED"
        );
        assert_eq!(enum_value("StateCode", "StandBy"), "STAND_BY");
    }
}
