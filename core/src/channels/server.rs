//! The number of one start of a node, as the protocol of the channels wants it.

use crate::xxh3::xxh3_64;

/// Bits of the count of starts.
const START_BITS: u32 = 20;

/// The `server_id` of the `incarnation`th start of the node `host`: above zero, greater at a later start of the same
/// node (for a million starts), and another one for every node: 33 bits of a hash of its host string. It is below
/// 2^53, so that it passes through floating point numbers. Whoever knows a member knows it.
#[must_use]
pub fn server_id(host: &str, incarnation: u64) -> i64 {
    let start = incarnation.clamp(1, (1 << START_BITS) - 1);
    let name = xxh3_64(host.as_bytes()) >> (64 - 33);
    i64::try_from((name << START_BITS) | start).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn later_starts_are_greater_and_nodes_differ() {
        let mut seen = BTreeSet::new();
        for node in 0..1_000 {
            let host = std::format!("10.0.0.{}:{}", node % 256, 7_000 + node);
            let ids = [0, 1, 2, 3, 1 << 19].map(|start| server_id(&host, start));
            assert!(ids[0] == ids[1] && ids[1..].is_sorted_by(|a, b| a < b));
            assert!(ids.iter().all(|id| (1..1 << 53).contains(id)));
            assert!(ids[1..].iter().all(|id| seen.insert(*id)), "{host}");
        }
        assert_eq!(server_id("a:1", u64::MAX), server_id("a:1", (1 << 20) - 1));
        assert_eq!(server_id("127.0.0.1:7001", 1), 5_032_539_593_900_033);
    }
}
