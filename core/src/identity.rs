//! Who our own nodes say they are, in the metadata of every stream. Old peers ignore it.

use alloc::string::String;
use core::net::IpAddr;

use subtle::ConstantTimeEq;

use crate::codes;
use crate::header::{Header, HeaderWriter};
use crate::id::MethodId;
use crate::machine::Full;
use crate::method::is_about_ids;

/// Metadata key: the node's name, which is its host string on the wire.
pub const NODE: &str = "trefoil-node";
/// Metadata key: drawn anew at every start, 16 hexadecimal digits.
pub const BOOT: &str = "trefoil-boot";
/// Metadata key: counts the starts of the node, decimal.
pub const INCARNATION: &str = "trefoil-incarnation";
/// Metadata key: name of the cluster. Clusters of different names never merge.
pub const CLUSTER: &str = "trefoil-cluster";
/// Metadata key: fingerprint of the placement settings, 16 hexadecimal digits.
pub const PLACEMENT: &str = "trefoil-placement";
/// Metadata key: the store that holds the node's journals, 16 hexadecimal digits; zero: it does not say.
pub const STORE: &str = "trefoil-store";
/// Metadata key: hash of the electorate, 16 hexadecimal digits; zero where none is configured.
pub const ELECTORATE: &str = "trefoil-electorate";
/// Metadata key: what the node can do beyond the wire, 16 hexadecimal digits of bits.
pub const FEATURES: &str = "trefoil-features";
/// Metadata key on Negotiate: ping the hosts of this short list before answering.
pub const PROBE: &str = "trefoil-probe";
/// Metadata key on Closing: the host is leaving now (`drain`), so it may still answer for a while.
pub const DRAIN: &str = "trefoil-drain";
/// Metadata key on Apply and Get: the call has been forwarded once.
pub const HOP: &str = "trefoil-hop";
/// Metadata key on Apply: 32 hexadecimal digits that make the request exactly once per owner.
pub const REQUEST: &str = "trefoil-request";
/// Metadata key of answers: the owner the answering node would have called.
pub const OWNER: &str = "trefoil-owner";

/// Metadata key: the token of the cluster, raw, where one is configured. redhac's own key.
pub const AUTHORIZATION: &str = "authorization";

/// A token: what a caller shows. It is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes the text of a token.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever must send it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl core::fmt::Debug for Token {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Longest token.
const TOKEN_BYTES_MAX: usize = 512;

/// Whether `token` can be one: 1 to 512 bytes of visible ASCII.
#[must_use]
pub fn is_token(token: &str) -> bool {
    (1..=TOKEN_BYTES_MAX).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a header shows the token that is asked for, if one is. Takes the same time wherever a wrong
/// token of the right length differs.
#[must_use]
pub fn shows_token(header: Header<'_>, asked: Option<&str>) -> bool {
    let Some(asked) = asked else { return true };
    header
        .value(AUTHORIZATION)
        .is_some_and(|shown| asked.as_bytes().ct_eq(shown).into())
}

/// Whether one of the `names` of a certificate, separated by line ends, is that of the host of `node`,
/// which is `host:port`. Addresses are compared as such, however they are spelled; a name `*.zone`
/// stands for one label before the zone.
#[must_use]
pub fn names_host(names: &[u8], node: &str) -> bool {
    let host = host_of(node);
    let address = address(host);
    names.split(|byte| *byte == b'\n').any(|name| {
        let Ok(name) = core::str::from_utf8(name) else {
            return false;
        };
        match address {
            Some(address) => name.parse() == Ok(address),
            None => is_name_of(name, host),
        }
    })
}

/// The host of `host:port`, of `[v6]:port`, or of either without its port.
fn host_of(node: &str) -> &str {
    let bracketed = node.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    match bracketed {
        Some((host, _)) => host,
        None if node.parse::<IpAddr>().is_ok() => node,
        None => node.rsplit_once(':').map_or(node, |(host, _)| host),
    }
}

/// An address as such. The zone of an IPv6 address says by which interface, not who.
fn address(host: &str) -> Option<IpAddr> {
    host.split_once('%')
        .map_or(host, |(host, _)| host)
        .parse()
        .ok()
}

fn is_name_of(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(zone) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(zone)),
        None => !name.is_empty() && name.eq_ignore_ascii_case(host),
    }
}

/// The identity of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Its host string, by which peers dial it.
    pub node: &'a str,
    /// Drawn anew at every start.
    pub boot: u64,
    /// Counts its starts; a higher one replaces a lower one.
    pub incarnation: u64,
    /// The cluster it belongs to.
    pub cluster: &'a str,
    /// Fingerprint of its placement settings.
    pub placement: u64,
    /// The store that holds its journals, or zero: nodes with journals of their own each must never
    /// own the same ids.
    pub store: u64,
    /// Hash of its electorate, or zero.
    pub electorate: u64,
    /// What it can do beyond the wire.
    pub features: u64,
}

/// Why a caller is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It belongs to another cluster.
    Cluster,
    /// It places ids by other settings.
    Placement,
    /// It keeps its journals elsewhere.
    Store,
}

impl Mismatch {
    /// The message a refused caller gets.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Cluster => codes::OTHER_CLUSTER,
            Self::Placement => codes::OTHER_PLACEMENT,
            Self::Store => codes::OTHER_STORE,
        }
    }
}

/// 16 hexadecimal digits, most significant first.
#[must_use]
pub fn hex(value: u64) -> [u8; 16] {
    core::array::from_fn(|i| b"0123456789abcdef"[(value >> (60 - 4 * i) & 15) as usize])
}

/// What each byte is worth as a hexadecimal digit; 255 if it is none.
const HEX_VALUES: [u8; 256] = {
    let mut values = [255; 256];
    let mut digit = 0;
    while digit < 16 {
        values[b"0123456789abcdef"[digit] as usize] = digit as u8;
        values[b"0123456789ABCDEF"[digit] as usize] = digit as u8;
        digit += 1;
    }
    values
};

fn unhex(text: &[u8]) -> Option<u64> {
    let digits: &[u8; 16] = text.try_into().ok()?;
    let (mut value, mut worst) = (0, 0);
    for digit in digits {
        let worth = HEX_VALUES[usize::from(*digit)];
        worst |= worth;
        value = value << 4 | u64::from(worth & 15);
    }
    (worst < 16).then_some(value)
}

fn text(value: &[u8]) -> Option<&str> {
    core::str::from_utf8(value).ok()
}

impl<'a> Identity<'a> {
    /// The identity a header carries, or `None` if the caller is no node of ours.
    #[must_use]
    pub fn from_header(header: Header<'a>) -> Option<Self> {
        let [mut node, mut boot, mut incarnation, mut cluster] = [None; 4];
        let [mut placement, mut store, mut electorate, mut features] = [None; 4];
        for (key, value) in header.raw() {
            let field = match key {
                key if key == NODE.as_bytes() => &mut node,
                key if key == BOOT.as_bytes() => &mut boot,
                key if key == INCARNATION.as_bytes() => &mut incarnation,
                key if key == CLUSTER.as_bytes() => &mut cluster,
                key if key == PLACEMENT.as_bytes() => &mut placement,
                key if key == STORE.as_bytes() => &mut store,
                key if key == ELECTORATE.as_bytes() => &mut electorate,
                key if key == FEATURES.as_bytes() => &mut features,
                _ => continue,
            };
            // The first of a key wins, as everywhere.
            *field = field.or(Some(value));
        }
        Some(Self {
            node: text(node?).filter(|name| !name.is_empty())?,
            boot: unhex(boot?)?,
            incarnation: text(incarnation?)?.parse().ok()?,
            cluster: text(cluster?)?,
            placement: unhex(placement?)?,
            store: store.and_then(unhex).unwrap_or(0),
            electorate: electorate.and_then(unhex).unwrap_or(0),
            features: features.and_then(unhex).unwrap_or(0),
        })
    }

    /// Adds the identity to a header.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub fn write(&self, header: &mut HeaderWriter<'_>) -> Result<(), Full> {
        let mut digits = [0; 20];
        header.push(NODE, self.node.as_bytes())?;
        header.push(BOOT, &hex(self.boot))?;
        header.push(INCARNATION, decimal(self.incarnation, &mut digits))?;
        header.push(CLUSTER, self.cluster.as_bytes())?;
        header.push(PLACEMENT, &hex(self.placement))?;
        header.push(STORE, &hex(self.store))?;
        header.push(ELECTORATE, &hex(self.electorate))?;
        header.push(FEATURES, &hex(self.features))
    }

    /// Whether `other` may be in one cluster with this node, and one of both may call `method` of the
    /// other.
    ///
    /// # Errors
    /// What differs.
    pub fn accepts(&self, other: &Identity<'_>, method: MethodId) -> Result<(), Mismatch> {
        if self.cluster != other.cluster {
            return Err(Mismatch::Cluster);
        }
        if !is_about_ids(method) {
            return Ok(());
        }
        if self.placement != other.placement {
            return Err(Mismatch::Placement);
        }
        if self.store != other.store && self.store != 0 && other.store != 0 {
            return Err(Mismatch::Store);
        }
        Ok(())
    }
}

/// `value` in decimal digits.
pub fn decimal(value: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::{cache, control_plane};

    const NODE_A: Identity<'_> = Identity {
        node: "127.0.0.1:7001",
        boot: 0xdead_beef,
        incarnation: 42,
        cluster: "carts",
        placement: u64::MAX,
        store: 5,
        electorate: 0,
        features: 3,
    };

    #[test]
    fn an_identity_survives_the_header() {
        let mut buf = [0; 512];
        let mut w = HeaderWriter::new(&mut buf);
        NODE_A.write(&mut w).unwrap();
        assert_eq!(Identity::from_header(w.finish()), Some(NODE_A));
    }

    #[test]
    fn numbers_are_sixteen_digits_and_nothing_else() {
        assert_eq!(unhex(&hex(u64::MAX - 7)), Some(u64::MAX - 7));
        assert_eq!(unhex(b"00000000DEADbeef"), Some(0xdead_beef));
        for wrong in [
            &b"0000000000000000f"[..],
            b"+000000000000001",
            b"000000000000000g",
            b"",
        ] {
            assert_eq!(unhex(wrong), None);
        }
    }

    #[test]
    fn half_an_identity_is_none() {
        let mut buf = [0; 64];
        let mut w = HeaderWriter::new(&mut buf);
        w.push(NODE, b"a").unwrap();
        w.push(CLUSTER, b"c").unwrap();
        assert_eq!(Identity::from_header(w.finish()), None);
        assert_eq!(Identity::from_header(Header::EMPTY), None);
    }

    #[test]
    fn clusters_and_placements_that_differ_never_merge() {
        let accepts = |other: Identity<'_>| NODE_A.accepts(&other, control_plane::PING);
        assert_eq!(
            accepts(Identity {
                cluster: "other",
                ..NODE_A
            }),
            Err(Mismatch::Cluster)
        );
        assert_eq!(
            accepts(Identity {
                placement: 1,
                ..NODE_A
            }),
            Err(Mismatch::Placement)
        );
        assert_eq!(
            accepts(Identity { store: 6, ..NODE_A }),
            Err(Mismatch::Store)
        );
        assert_eq!(accepts(Identity { store: 0, ..NODE_A }), Ok(()));
        assert_eq!(
            accepts(Identity {
                incarnation: 7,
                ..NODE_A
            }),
            Ok(())
        );
    }

    #[test]
    fn voters_need_not_share_a_store_nor_place_ids_alike() {
        let other = Identity {
            placement: 1,
            store: 6,
            ..NODE_A
        };
        assert_eq!(NODE_A.accepts(&other, cache::STREAM_VALUES), Ok(()));
        let cluster = "other";
        let other = Identity { cluster, ..NODE_A };
        assert_eq!(
            NODE_A.accepts(&other, cache::STREAM_VALUES),
            Err(Mismatch::Cluster)
        );
    }

    #[test]
    fn a_certificate_names_a_host_at_any_port() {
        let names = b"db1.example.org\n*.ring.example.org\n10.0.0.7\n::1";
        for node in [
            "db1.example.org:7001",
            "DB1.example.org:1",
            "a.ring.example.org:7",
            "10.0.0.7:7001",
            "[::1]:7001",
            "[0:0:0:0:0:0:0:1]:7001",
            "[::0001]:7001",
            "[::1%lo]:7001",
            "::1",
        ] {
            assert!(names_host(names, node), "{node}");
        }
        for node in [
            "db2.example.org:7001",
            "ring.example.org:7",
            ".ring.example.org:7",
            "a.b.ring.example.org:7",
            "10.0.0.70:7001",
            "[::2]:7001",
            "[::]:1",
            ":7001",
            "",
        ] {
            assert!(!names_host(names, node), "{node}");
        }
        assert!(!names_host(b"", "a:1") && !names_host(b"", ":1"));
        // The names' own spelling does not matter either, and a zone is one of names only.
        assert!(names_host(b"0:0::00A1", "[::a1]:1") && names_host(b"fe80::1", "[FE80::1%2]:1"));
        assert!(!names_host(b"*.0.0.7", "10.0.0.7:7001"));
    }

    #[test]
    fn a_token_is_shown_or_not() {
        assert_eq!(alloc::format!("{:?}", Token::new("secret")), "Token(..)");
        let mut buf = [0; 64];
        let mut w = HeaderWriter::new(&mut buf);
        w.push(AUTHORIZATION, b"secret").unwrap();
        let header = w.finish();
        assert!(shows_token(header, None) && shows_token(header, Some("secret")));
        assert!(!shows_token(header, Some("Secret")) && !shows_token(header, Some("secrets")));
        assert!(!shows_token(Header::EMPTY, Some("secret")));
        assert!(is_token("secret") && !is_token("") && !is_token("a b") && !is_token("\u{e4}"));
    }

    #[test]
    fn decimal_covers_the_range() {
        let mut digits = [0; 20];
        assert_eq!(decimal(0, &mut digits), b"0");
        assert_eq!(decimal(u64::MAX, &mut digits), b"18446744073709551615");
    }
}
