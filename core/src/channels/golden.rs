//! Recorded bytes of Milvus, for tests.

use alloc::string::String;
use alloc::vec::Vec;

use trefoil_proto::Encode;

use super::dialect::Dialect;

const SEED: &str = include_str!("../../../proto/tests/golden/channels_seed.txt");
const V2024_08: &str = include_str!("../../../proto/tests/golden/channels_v2024_08.txt");

/// Both dialects.
pub(super) const DIALECTS: [Dialect; 2] = [Dialect::Seed, Dialect::V2024_08];

/// The bytes recorded under a name.
pub(super) fn recorded(dialect: Dialect, name: &str) -> Vec<u8> {
    let (prefix, text) = match dialect {
        Dialect::Seed => ("seed ", SEED),
        Dialect::V2024_08 => ("aug05 ", V2024_08),
    };
    let mut named = text.lines().filter_map(|line| {
        let (found, bytes) = line.strip_prefix(prefix)?.trim().rsplit_once(' ')?;
        (found.trim() == name).then_some(bytes)
    });
    let digits = named.next().unwrap();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

/// The recorded value of a key of metadata.
pub(super) fn recorded_header(key: &str) -> &'static str {
    let mut lines = SEED.lines();
    lines
        .find_map(|line| {
            line.trim()
                .strip_prefix("header ")?
                .strip_prefix(key)?
                .strip_prefix(": ")
        })
        .unwrap()
}

/// A message, encoded.
pub(super) fn encoded(message: &impl Encode) -> Vec<u8> {
    let mut bytes = alloc::vec![0; message.encoded_len()];
    assert_eq!(message.encode_to_slice(&mut bytes), Ok(bytes.len()));
    bytes
}

/// A text of `len` times the same character.
pub(super) fn long(len: usize) -> String {
    core::iter::repeat_n('x', len).collect()
}
