//! Channels as they are shown.

use trefoil_runtime::channels::{ChannelInfo, Listed, Planned};

use crate::say;

fn age(channel: &ChannelInfo) -> String {
    let seconds = channel.age.as_secs();
    match seconds {
        0 => format!("{} ms", channel.age.as_millis()),
        1..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

/// Why a channel is not assigned.
fn reason(channel: &ChannelInfo) -> String {
    let mut why = String::new();
    if !channel.waits.is_empty() {
        why = format!("waits {}", channel.waits);
    }
    if !channel.reason.is_empty() {
        let failures = channel.failures;
        why = format!("{why}; failed {failures} times, last: {}", channel.reason);
    }
    why
}

/// All channels by node, for people.
pub fn text(listed: &Listed) -> String {
    let mut lines = vec![format!(
        "{:<24} {:>8} {:>7}  state",
        "node", "channels", "weight"
    )];
    for node in &listed.nodes {
        let state = match (node.is_alive, node.is_draining) {
            (false, _) => "gone",
            (true, true) => "draining",
            (true, false) => "alive",
        };
        lines.push(format!(
            "{:<24} {:>8} {:>7}  {state}",
            node.host, node.channels, node.weight
        ));
    }
    lines.push(format!(
        "{:<32} {:<24} {:>6} {:<13} {:>7}  why",
        "channel", "node", "term", "state", "since"
    ));
    for channel in &listed.channels {
        let line = format!(
            "{:<32} {:<24} {:>6} {:<13} {:>7}  {}",
            channel.name,
            channel.host.as_deref().unwrap_or("-"),
            channel.term,
            channel.state,
            age(channel),
            reason(channel)
        );
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n")
}

/// The same for programs.
pub fn json(listed: &Listed) -> serde_json::Value {
    let channels: Vec<_> = listed
        .channels
        .iter()
        .map(|channel| {
            serde_json::json!({
                "name": channel.name,
                "term": channel.term,
                "state": channel.state,
                "host": channel.host,
                "waits": channel.waits,
                "reason": channel.reason,
                "age_ms": channel.age.as_millis() as u64,
                "failures": channel.failures,
            })
        })
        .collect();
    let nodes: Vec<_> = listed
        .nodes
        .iter()
        .map(|node| {
            serde_json::json!({
                "host": node.host,
                "server_id": node.server_id.to_string(),
                "weight": node.weight,
                "draining": node.is_draining,
                "alive": node.is_alive,
                "channels": node.channels,
            })
        })
        .collect();
    serde_json::json!({
        "token": listed.token.to_string(),
        "channels": channels,
        "nodes": nodes,
    })
}

/// What would be moved.
pub fn plan(steps: &[Planned], more: bool) {
    if steps.is_empty() {
        return say("nothing would be moved");
    }
    for step in steps {
        say(&format!(
            "{:<32} {:<24} -> {:<24} {}",
            step.channel,
            step.from.as_deref().unwrap_or("-"),
            step.to,
            step.reason
        ));
    }
    if more {
        say("and more than fits in one answer");
    }
}
