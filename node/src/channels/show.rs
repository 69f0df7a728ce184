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
    let mut channels: Vec<_> = listed.channels.iter().collect();
    // Those without a node last; of each node by their names, as they came.
    channels.sort_by_key(|channel| (channel.host.is_none(), channel.host.as_deref()));
    for channel in channels {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn channel(name: &str, host: Option<&str>) -> ChannelInfo {
        ChannelInfo {
            name: name.into(),
            term: 2,
            state: "assigned".into(),
            host: host.map(Into::into),
            waits: String::new(),
            reason: String::new(),
            age: Duration::from_secs(5),
            failures: 0,
        }
    }

    #[test]
    fn channels_are_shown_by_node_and_those_that_are_nowhere_last_with_why() {
        let pending = ChannelInfo {
            term: 7,
            state: "unavailable".into(),
            waits: "for the next attempt".into(),
            reason: "TF-C07: no route".into(),
            age: Duration::from_secs(130),
            failures: 3,
            ..channel("a", None)
        };
        let listed = Listed {
            channels: vec![
                pending,
                channel("b", Some("n2:1")),
                channel("c", Some("n1:1")),
                channel("d", Some("n2:1")),
            ],
            ..Listed::default()
        };
        let shown = text(&listed);
        let rows: Vec<Vec<&str>> = shown
            .lines()
            .map(|row| row.split_whitespace().collect())
            .collect();
        assert_eq!(rows[2], ["c", "n1:1", "2", "assigned", "5", "s"]);
        assert_eq!(rows[3], ["b", "n2:1", "2", "assigned", "5", "s"]);
        assert_eq!(rows[4][0], "d");
        let why = "a - 7 unavailable 2 min waits for the next attempt; failed 3 times, last: TF-C07: no route";
        assert_eq!(rows[5].join(" "), why);
    }
}
