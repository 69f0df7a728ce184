//! What a voter keeps between two starts, byte by byte.

use alloc::string::String;
use alloc::vec::Vec;

use super::elector::Vote;
use super::electorate::Electorate;
use super::token::Token;

/// The name of the value in the node's own state.
pub const KEY: &[u8] = b"election/vote";

/// What the value begins with. A version that is not known is refused: a vote must not be guessed.
const VERSION: u8 = 2;
/// Knew no electorates: the greatest token (8), then, if there is a promise, its token (8) and the voter's
/// address.
const VERSION_BEFORE: u8 = 1;

/// What was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The vote. A promise to one that has no place any more is still one: it binds to nobody who could
    /// ask.
    pub vote: Vote,
    /// Under which electorate, and whether a leader of it was heard; absent in what is of the version
    /// before.
    pub electorate: Option<(Electorate, bool)>,
}

/// Writes a vote under its electorate, of whose leader this voter has heard if it is `settled`.
///
/// Layout, integers little endian: version, greatest token (8), whether it is settled (1), epoch (8),
/// number of places (1), each place as its length (2) and its address; then, if there is a promise, its
/// token (8) and the address of its owner.
pub fn write(vote: Vote, electorate: &Electorate, settled: bool, out: &mut Vec<u8>) {
    out.clear();
    out.push(VERSION);
    out.extend_from_slice(&vote.max.to_wire().to_le_bytes());
    out.push(u8::from(settled));
    out.extend_from_slice(&electorate.epoch.to_le_bytes());
    // The configuration was checked: 64 places at most, of names that fit.
    out.push(electorate.places.len() as u8);
    for place in &electorate.places {
        out.extend_from_slice(&(place.len() as u16).to_le_bytes());
        out.extend_from_slice(place.as_bytes());
    }
    if let Some((to, token)) = vote.promise {
        out.extend_from_slice(&token.to_wire().to_le_bytes());
        out.extend_from_slice(electorate.addr(to).as_bytes());
    }
}

/// Reads a vote, its seats those of `now`; `None` if the bytes are none.
#[must_use]
pub fn read(bytes: &[u8], now: &Electorate) -> Option<Kept> {
    let (version, rest) = bytes.split_first()?;
    let (max, rest) = token(rest)?;
    let (electorate, rest) = match *version {
        VERSION => {
            let (kept, rest) = electorate(rest)?;
            (Some(kept), rest)
        }
        VERSION_BEFORE => (None, rest),
        _ => return None,
    };
    let vote = if rest.is_empty() {
        Vote { max, promise: None }
    } else {
        let (promised, addr) = token(rest)?;
        Vote {
            max: max.max(promised),
            promise: Some((now.seat(addr), promised)),
        }
    };
    Some(Kept { vote, electorate })
}

fn electorate(bytes: &[u8]) -> Option<((Electorate, bool), &[u8])> {
    let (settled, rest) = bytes.split_first()?;
    let (epoch, rest) = rest.split_first_chunk()?;
    let (count, mut rest) = rest.split_first()?;
    let mut places = Vec::new();
    for _ in 0..*count {
        let (length, after) = rest.split_first_chunk()?;
        let length = usize::from(u16::from_le_bytes(*length));
        let (place, after) = after.split_at_checked(length)?;
        places.push(String::from(core::str::from_utf8(place).ok()?));
        rest = after;
    }
    let epoch = u64::from_le_bytes(*epoch);
    Some(((Electorate { epoch, places }, *settled == 1), rest))
}

fn token(bytes: &[u8]) -> Option<(Token, &[u8])> {
    let (token, rest) = bytes.split_first_chunk()?;
    Some((Token::from_wire(i64::from_le_bytes(*token)), rest))
}

#[cfg(test)]
mod tests {
    use super::super::Seat;
    use super::super::electorate::NOBODY;
    use super::*;

    fn voters(places: &[&str]) -> Electorate {
        Electorate {
            epoch: 3,
            places: places.iter().map(|place| String::from(*place)).collect(),
        }
    }

    fn three() -> Electorate {
        voters(&["http://a:1", "b:1", "c:1"])
    }

    fn vote() -> Vote {
        Vote {
            max: Token::from_wire(0x0102),
            promise: Some((Seat(1), Token::from_wire(0x0101))),
        }
    }

    #[test]
    fn a_vote_survives_and_the_bytes_are_fixed() {
        let mut bytes = Vec::new();
        write(vote(), &three(), true, &mut bytes);
        assert_eq!(
            bytes,
            b"\x02\x02\x01\0\0\0\0\0\0\x01\x03\0\0\0\0\0\0\0\x03\x0a\0http://a:1\x03\0b:1\x03\0c:1\
              \x01\x01\0\0\0\0\0\0b:1"
        );
        let kept = Kept {
            vote: vote(),
            electorate: Some((three(), true)),
        };
        assert_eq!(read(&bytes, &three()), Some(kept));
        let none = Vote {
            promise: None,
            ..vote()
        };
        write(none, &three(), false, &mut bytes);
        let kept = read(&bytes, &three()).unwrap();
        assert_eq!((kept.vote, kept.electorate.unwrap().1), (none, false));
    }

    #[test]
    fn a_vote_of_the_version_before_is_read() {
        let bytes = b"\x01\x02\x01\0\0\0\0\0\0\x01\x01\0\0\0\0\0\0b:1";
        let kept = Kept {
            vote: vote(),
            electorate: None,
        };
        assert_eq!(read(bytes, &three()), Some(kept));
    }

    #[test]
    fn a_promise_to_one_that_has_no_place_any_more_binds_to_nobody_again_and_again() {
        let mut bytes = Vec::new();
        write(vote(), &three(), true, &mut bytes);
        let without = voters(&["http://a:1", "-", "c:1"]);
        for _ in 0..2 {
            let kept = read(&bytes, &without).unwrap();
            let wanted = Some((NOBODY, Token::from_wire(0x0101)));
            assert_eq!(kept.vote.promise, wanted);
            write(kept.vote, &without, false, &mut bytes);
        }
        // Not even to whoever takes the place.
        let taken = voters(&["http://a:1", "d:1", "c:1"]);
        assert_eq!(
            read(&bytes, &taken).unwrap().vote.promise.unwrap().0,
            NOBODY
        );
    }

    #[test]
    fn what_is_no_vote_is_not_guessed() {
        let mut bytes = Vec::new();
        write(vote(), &three(), true, &mut bytes);
        for cut in [0, 1, 8, 9, 17, 18, 19, 30, 42] {
            assert_eq!(read(&bytes[..cut], &three()), None, "{cut}");
        }
        bytes[0] = 3;
        assert_eq!(read(&bytes, &three()), None);
    }
}
