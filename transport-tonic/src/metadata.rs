//! Metadata of HTTP/2 to the core's flat header and back, and `grpc-timeout`.

use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use trefoil_core::header::Header;

/// gRPC sends without padding and accepts both.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Names that belong to gRPC and HTTP and are no one's metadata.
fn reserved(name: &str) -> bool {
    name.starts_with("grpc-") || matches!(name, "content-type" | "te" | "user-agent")
}

/// The header that `map` carries. Pairs that have no place in one are left out: text that is not
/// ASCII, base64 that is none, lengths above 65,535.
pub(crate) fn header(map: &HeaderMap) -> Bytes {
    let mut flat = Vec::with_capacity(
        map.iter()
            .map(|(name, value)| 4 + name.as_str().len() + value.len())
            .sum(),
    );
    for (name, value) in map {
        let name = name.as_str();
        if reserved(name) {
            continue;
        }
        if name.ends_with("-bin") {
            // Several values may have been joined on the way.
            for piece in value.as_bytes().split(|byte| *byte == b',') {
                if let Ok(raw) = BASE64.decode(piece.trim_ascii()) {
                    push(&mut flat, name, &raw);
                }
            }
        } else if value.to_str().is_ok() {
            push(&mut flat, name, value.as_bytes());
        }
    }
    Bytes::from(flat)
}

fn push(flat: &mut Vec<u8>, name: &str, value: &[u8]) {
    let (Ok(name_len), Ok(value_len)) = (u16::try_from(name.len()), u16::try_from(value.len()))
    else {
        return;
    };
    flat.extend_from_slice(&name_len.to_le_bytes());
    flat.extend_from_slice(&value_len.to_le_bytes());
    flat.extend_from_slice(name.as_bytes());
    flat.extend_from_slice(value);
}

/// The map that carries `header`. Pairs that HTTP cannot carry are left out.
pub(crate) fn map(header: Header<'_>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (key, value) in &header {
        let Ok(name) = HeaderName::from_bytes(key.as_bytes()) else {
            continue;
        };
        if reserved(name.as_str()) {
            continue;
        }
        let value = if key.ends_with("-bin") {
            HeaderValue::try_from(BASE64.encode(value))
        } else {
            HeaderValue::from_bytes(value)
        };
        if let Ok(mut value) = value {
            // HPACK then keeps it out of its tables.
            value.set_sensitive(name == http::header::AUTHORIZATION);
            map.append(name, value);
        }
    }
    map
}

/// Adds how long the caller waits.
pub(crate) fn set_timeout(map: &mut HeaderMap, timeout: Duration) {
    if let Ok(value) = HeaderValue::try_from(timeout_text(timeout)) {
        map.insert(TIMEOUT, value);
    }
}

/// At most eight digits and the finest unit they suffice for; never zero, which gRPC does not allow.
fn timeout_text(timeout: Duration) -> String {
    const DIGITS_MAX: u128 = 99_999_999;
    let nanos = timeout.as_nanos().max(1);
    for (unit, size) in [
        ("n", 1),
        ("u", 1_000),
        ("m", 1_000_000),
        ("S", 1_000_000_000),
    ] {
        if nanos / size <= DIGITS_MAX {
            return format!("{}{unit}", nanos / size);
        }
    }
    // Three years in seconds: longer is said as that.
    format!("{DIGITS_MAX}S")
}

/// How long the caller waits. What cannot be read is ignored, as tonic does: a deadline is a favour to
/// the callee, not a condition of the call.
pub(crate) fn timeout(map: &HeaderMap) -> Option<Duration> {
    let text = map.get(TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use trefoil_core::header::HeaderWriter;

    use super::*;

    #[test]
    fn pairs_survive_both_ways_and_reserved_names_do_not() {
        let mut buf = [0; 256];
        let mut writer = HeaderWriter::new(&mut buf);
        writer.push("trefoil-node", b"a:1").unwrap();
        writer.push("raw-bin", &[0, 255, 7]).unwrap();
        writer.push("twice", b"1").unwrap();
        writer.push("twice", b"2").unwrap();
        let sent = writer.header().0.to_vec();
        writer.push("grpc-status", b"0").unwrap();
        writer.push("te", b"x").unwrap();
        writer.push("not a name", b"x").unwrap();
        writer.push("control", b"\n").unwrap();
        let map = map(writer.finish());
        assert_eq!(map.len(), 4);
        assert_eq!(map["raw-bin"], "AP8H");
        let back = header(&map);
        let back = Header(&back);
        assert_eq!(back.iter().count(), 4);
        for (key, value) in &Header(&sent) {
            assert!(back.iter().any(|pair| pair == (key, value)), "{key}");
        }
    }

    #[test]
    fn what_a_foreign_peer_sends_is_read_leniently() {
        let mut map = HeaderMap::new();
        map.insert("content-type", HeaderValue::from_static("application/grpc"));
        map.insert("user-agent", HeaderValue::from_static("grpc-go"));
        map.insert("grpc-accept-encoding", HeaderValue::from_static("gzip"));
        map.insert("padded-bin", HeaderValue::from_static("AQ==, AP8H"));
        map.insert("broken-bin", HeaderValue::from_static("!"));
        map.insert("latin", HeaderValue::from_bytes(&[0xe4]).unwrap());
        let flat = header(&map);
        let pairs: Vec<_> = Header(&flat).iter().collect();
        assert_eq!(
            pairs,
            [("padded-bin", &[1][..]), ("padded-bin", &[0, 255, 7][..])]
        );
    }

    #[test]
    fn timeouts_use_eight_digits_and_come_back_no_longer_than_they_were() {
        for (timeout, text) in [
            (Duration::ZERO, "1n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_millis(100), "100000u"),
            (Duration::from_secs(5), "5000000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(200_000), "200000S"),
            (Duration::MAX, "99999999S"),
        ] {
            assert_eq!(timeout_text(timeout), text);
            let mut map = HeaderMap::new();
            set_timeout(&mut map, timeout);
            let back = super::timeout(&map).unwrap();
            assert!(back <= timeout.max(Duration::from_nanos(1)));
        }
    }

    #[test]
    fn timeouts_that_cannot_be_read_are_none() {
        for text in ["", "5", "S", "-1S", "+1S", "123456789S", "1x", "1 S"] {
            let mut map = HeaderMap::new();
            map.insert(TIMEOUT, HeaderValue::from_static(text));
            assert_eq!(timeout(&map), None, "{text}");
        }
        let mut map = HeaderMap::new();
        map.insert(TIMEOUT, HeaderValue::from_static("2H"));
        assert_eq!(timeout(&map), Some(Duration::from_secs(7_200)));
    }
}
