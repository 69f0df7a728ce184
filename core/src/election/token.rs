//! Fencing tokens: which of two leaderships is the later one.

use core::fmt;

use super::Seat;

/// The token of one leadership. Of two leaderships the later one has the greater token, so whoever
/// remembers the greatest it has seen can refuse what an earlier leader still sends.
///
/// On the wire it is the `election_ts` of the schema: nanoseconds since 1970, to about a microsecond.
/// The low ten bits are not time: six name the voter that made it, four count its hand-overs. A token is
/// above 2^53, so it must not pass through a floating point number.
///
/// The term of a log is another thing and another type: a log's terms are counted per log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(i64);

/// Bits below the time: the voter, and the hand-overs.
const LOW: u32 = SEAT_BITS + CHAIN_BITS;
const SEAT_BITS: u32 = 6;
const CHAIN_BITS: u32 = 4;

/// Voters an electorate may have: a token has room for no more.
pub const VOTERS_MAX: usize = 1 << SEAT_BITS;

impl Token {
    /// Below every token of a leadership.
    pub const NONE: Self = Self(0);

    /// The token that an `election_ts` is. What is not positive is none.
    #[must_use]
    pub const fn from_wire(election_ts: i64) -> Self {
        if election_ts > 0 {
            Self(election_ts)
        } else {
            Self::NONE
        }
    }

    /// The token as it travels.
    #[must_use]
    pub const fn to_wire(self) -> i64 {
        self.0
    }

    /// The token as a fence of the catalog: the same order, never negative.
    #[must_use]
    pub const fn fence(self) -> u64 {
        self.0.unsigned_abs()
    }

    /// A new token of `seat` above `floor`, close to `unix_nanos`: a hybrid logical clock (Kulkarni and
    /// others, 2014). `None` at the end of time, in the year 2262.
    #[must_use]
    pub fn mint(unix_nanos: i64, floor: Self, seat: Seat) -> Option<Self> {
        let time = (unix_nanos >> LOW).max((floor.0 >> LOW) + 1);
        if time > i64::MAX >> LOW {
            return None;
        }
        Some(Self(
            time << LOW | i64::from(seat.0 & (VOTERS_MAX as u8 - 1)) << CHAIN_BITS,
        ))
    }

    /// The token under which its owner hands leadership over, and nobody else can make; `None` after
    /// fifteen hand-overs in a row.
    #[must_use]
    pub const fn successor(self) -> Option<Self> {
        if self.0 & ((1 << CHAIN_BITS) - 1) == (1 << CHAIN_BITS) - 1 {
            None
        } else {
            Some(Self(self.0 + 1))
        }
    }

    /// The token whose owner hands this one over; `None` if it was not handed over.
    #[must_use]
    pub const fn predecessor(self) -> Option<Self> {
        if self.0 & ((1 << CHAIN_BITS) - 1) == 0 {
            None
        } else {
            Some(Self(self.0 - 1))
        }
    }

    /// Whether `self` is what the owner of `other` hands over.
    #[must_use]
    pub fn succeeds(self, other: Self) -> bool {
        other.successor() == Some(self)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_770_000_000_000_000_000;

    #[test]
    fn a_token_is_near_the_time_and_names_its_voter() {
        let token = Token::mint(NOON, Token::NONE, Seat(5)).unwrap();
        assert!((token.to_wire() - NOON).abs() < 1_100, "{token}");
        assert_eq!(token.to_wire() >> 4 & 63, 5);
        assert!(token.to_wire() > 1 << 53);
        assert_eq!(Token::from_wire(token.to_wire()), token);
    }

    #[test]
    fn a_token_is_above_all_it_has_heard_of_however_late_its_clock() {
        let floor = Token::from_wire(NOON + 12_345);
        for wall in [0, -5, NOON - 1, NOON, NOON + 12_345, NOON + 1_000_000] {
            assert!(Token::mint(wall, floor, Seat(0)).unwrap() > floor);
        }
        // What a redhac node sent is any number of nanoseconds.
        assert!(Token::mint(0, Token::from_wire(7), Seat(0)).unwrap() > Token::from_wire(7));
        assert_eq!(Token::mint(0, Token::from_wire(i64::MAX), Seat(0)), None);
    }

    #[test]
    fn two_voters_never_make_the_same_token() {
        let (a, b) = (Seat(3), Seat(4));
        assert_ne!(
            Token::mint(NOON, Token::NONE, a),
            Token::mint(NOON, Token::NONE, b)
        );
        let handed = Token::mint(NOON, Token::NONE, a).unwrap().successor();
        assert_ne!(handed, Token::mint(NOON, Token::NONE, a));
        assert_ne!(handed, Token::mint(NOON, Token::NONE, b));
    }

    #[test]
    fn fifteen_hand_overs_end_a_chain() {
        let first = Token::mint(NOON, Token::NONE, Seat(63)).unwrap();
        let mut last = first;
        for _ in 0..15 {
            let next = last.successor().unwrap();
            assert!(next > last && next.succeeds(last) && !last.succeeds(next));
            last = next;
        }
        assert_eq!(last.successor(), None);
        assert!(Token::mint(0, last, Seat(0)).unwrap() > last);
    }

    #[test]
    fn what_is_no_time_is_no_token() {
        assert_eq!(Token::from_wire(-1), Token::NONE);
        assert_eq!(Token::from_wire(i64::MIN), Token::NONE);
    }
}
