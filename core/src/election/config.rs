//! What an operator may set about an election.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use super::Seat;
use super::elector::Rules;
use super::electorate::{Electorate, RETIRED};
use super::token::VOTERS_MAX;
use crate::time::Duration;

/// Where votes are between two starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// In the node's own state. `first` says that this voter has never voted: without it a voter that finds
    /// nothing has lost its memory, and is silent for one promise.
    Kept {
        /// Whether an empty state is no loss.
        first: bool,
    },
    /// Nowhere: every start is followed by silence for one promise. Tokens grow only if what wall clocks are
    /// apart and the age of a request together stay within a promise: a voter that forgot a token may
    /// promise a lesser one.
    Lost,
}

/// When a voter whose leader is gone need not wait for the end of its promise. A dial over QUIC is never
/// refused: there only the end of the promise counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Evidence {
    /// Never: the lease must run out.
    #[default]
    None,
    /// When the stream to the leader has ended and a new dial to it is refused: there the process is gone.
    /// For voters on one machine, by addresses of the loopback.
    Refused,
    /// The same on any network, where a firewall or an address that moved refuses, too, while the leader
    /// leads on: two may lead then.
    RefusedAnywhere,
}

/// What the votes of redhac's nodes are worth, where some of the voters are such nodes. A voter is taken
/// for one unless it said on the very stream that carries its votes that it is a node of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RedhacVotes {
    /// Nothing: they follow. All that is promised of leaderships holds, for them too. A leader needs the
    /// votes of a majority of all voters, and only nodes of ours can give them: of three voters with one of
    /// redhac's, both of ours must be up.
    #[default]
    Ignored,
    /// As much as others, by redhac's own rules. A leader is found also where ours are a minority; **but two
    /// nodes may lead at once, and tokens may go back**, for a redhac node acknowledges anybody, at any time.
    /// Whoever writes under such a leadership must bear that.
    CountedTwoMayLead,
}

/// Settings of one voter.
#[derive(Clone, Debug)]
pub struct ElectionConfig {
    /// All voters, in order of priority, as they are dialled: `host:port`, or `http://host:port` as redhac
    /// writes it. The same on every node, byte by byte. In the place of one that is a voter no more stands
    /// [`RETIRED`], so that nobody else moves.
    pub voters: Vec<String>,
    /// Counts the changes of `voters`: raised by one for each voter that comes or goes, as
    /// [`electorate`](super::electorate) explains. A new cluster begins with 1.
    pub epoch: u64,
    /// Takes the configured electorate in place of the one that was kept, however much they differ. Two
    /// leaders follow if any voter of either takes part meanwhile: all must have been stopped first.
    pub replace_electorate: bool,
    /// This voter's place in the list.
    pub me: Seat,
    /// How long a vote binds. A leader that falls silent is replaced after this time and the delay of the
    /// election; shorter than a few round trips and a stall, and leaders change without need.
    pub promise: Duration,
    /// How far the rate of two clocks may be apart from true time, in millionths. What clocks drift in
    /// excess of it can make two leaders.
    pub drift_ppm: u32,
    /// Taken off the lease besides, for the grain of clocks and timers.
    pub grain: Duration,
    /// Unix time at the origin of the clock, in nanoseconds: tokens are close to the time of day.
    pub unix_origin: i64,
    /// How far ahead of this node's time of day a token may be. A greater one is not believed: it would
    /// push all tokens that follow.
    pub ahead_max: Duration,
    /// Where votes are kept.
    pub memory: Memory,
    /// Whether a campaign begins only when a quorum says that it has no leader. Without it a node that was
    /// cut off disturbs when it returns.
    pub pre_vote: bool,
    /// Whether a refused dial proves anything.
    pub evidence: Evidence,
    /// What votes of redhac's nodes are worth; the same on every node.
    pub redhac_votes: RedhacVotes,
    /// Streams of nodes that are no voters, and of clients: followers. Each takes some 24 bytes here besides
    /// what the engine takes for a stream; one more is refused as busy.
    pub followers_max: u32,
    /// Seeds the delays.
    pub seed: u64,
}

/// A rule of [`ElectionConfig`] that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElectionConfigError {
    /// No voters, or more than 64.
    Voters(usize),
    /// A voter is listed twice, has no name or one of more than 1,024 bytes.
    Voter(String),
    /// This node is not in the list.
    NotAVoter,
    /// The promise is shorter than 50 ms, or than ten grains.
    Promise,
    /// Clocks may drift by a tenth or more.
    Drift,
    /// A refused dial proves nothing about this voter, which may be on another machine.
    Evidence(String),
}

impl fmt::Display for ElectionConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Voters(count) => {
                write!(f, "an electorate has 1 to {VOTERS_MAX} voters, not {count}")
            }
            Self::Voter(name) => write!(
                f,
                "voter {name:?} is listed twice, has no name or one that is too long"
            ),
            Self::NotAVoter => f.write_str("this node is not in the list of voters"),
            Self::Promise => f.write_str("a promise lasts 50 ms at least, and ten grains"),
            Self::Drift => f.write_str("clocks must not drift by a tenth"),
            Self::Evidence(voter) => write!(
                f,
                "a refused dial proves that a process is gone on one machine only, and {voter} may be on another"
            ),
        }
    }
}

impl core::error::Error for ElectionConfigError {}

impl ElectionConfig {
    /// For voters on one network: a promise of one second.
    #[must_use]
    pub fn lan<S: AsRef<str>>(me: usize, voters: &[S]) -> Self {
        Self {
            voters: voters
                .iter()
                .map(|voter| String::from(voter.as_ref()))
                .collect(),
            epoch: 1,
            replace_electorate: false,
            me: Seat(u8::try_from(me).unwrap_or(u8::MAX)),
            promise: Duration::from_secs(1),
            drift_ppm: 10_000,
            grain: Duration::from_millis(1),
            unix_origin: 0,
            ahead_max: Duration::from_secs(24 * 3600),
            memory: Memory::Kept { first: false },
            pre_vote: true,
            evidence: Evidence::None,
            redhac_votes: RedhacVotes::Ignored,
            followers_max: 1_024,
            seed: 0,
        }
    }

    /// For voters far from each other: a promise of three seconds.
    #[must_use]
    pub fn wan<S: AsRef<str>>(me: usize, voters: &[S]) -> Self {
        Self {
            promise: Duration::from_secs(3),
            ..Self::lan(me, voters)
        }
    }

    /// How long a granted request counts: the promise by the slowest clock of a voter must outlast it by
    /// the fastest of a leader.
    #[must_use]
    pub fn lease(&self) -> Duration {
        let (one, drift) = (1_000_000_u128, u128::from(self.drift_ppm));
        let nanos = self.promise.as_nanos() * (one - drift) / (one + drift);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).saturating_sub(self.grain)
    }

    /// Time between two requests of a leader.
    #[must_use]
    pub fn heartbeat(&self) -> Duration {
        self.promise / 5
    }

    /// Checks every rule.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self) -> Result<(), ElectionConfigError> {
        let count = self.voters.len();
        if count == 0 || count > VOTERS_MAX {
            return Err(ElectionConfigError::Voters(count));
        }
        for (at, voter) in self.voters.iter().enumerate() {
            let is_twice = || {
                let before = self.voters[..at].iter();
                before
                    .filter(|v| *v != RETIRED)
                    .any(|v| dialled(v) == dialled(voter))
            };
            if voter == RETIRED {
                continue;
            }
            if dialled(voter).is_empty() || voter.len() > VOTER_BYTES_MAX || is_twice() {
                return Err(ElectionConfigError::Voter(voter.clone()));
            }
        }
        let me = self.voters.get(usize::from(self.me.0));
        if me.is_none_or(|me| me == RETIRED) {
            return Err(ElectionConfigError::NotAVoter);
        }
        if self.promise < Duration::from_millis(50) || self.promise < self.grain * 10 {
            return Err(ElectionConfigError::Promise);
        }
        if self.drift_ppm >= 100_000 {
            return Err(ElectionConfigError::Drift);
        }
        let elsewhere = self
            .voters
            .iter()
            .find(|voter| !is_loopback(dialled(voter)));
        if let (Evidence::Refused, Some(voter)) = (self.evidence, elsewhere) {
            return Err(ElectionConfigError::Evidence(voter.clone()));
        }
        Ok(())
    }

    /// The voters at this epoch.
    #[must_use]
    pub fn electorate(&self) -> Electorate {
        Electorate {
            epoch: self.epoch,
            places: self.voters.clone(),
        }
    }

    /// What a node says of its electorate in the metadata of its streams: to be put into
    /// [`EngineConfig::electorate`](crate::engine::EngineConfig::electorate).
    #[must_use]
    pub fn electorate_hash(&self) -> u64 {
        self.electorate().hash()
    }

    pub(super) fn rules(&self) -> Rules {
        let retired = (0..)
            .zip(&self.voters)
            .filter(|(_, voter)| *voter == RETIRED);
        Rules {
            me: self.me,
            voters: self.voters.len() as u8,
            retired: retired.fold(0, |mask, (at, _): (u32, _)| mask | 1 << at),
            promise: self.promise,
            lease: self.lease(),
            unix_origin: self.unix_origin,
            votes_are_kept: self.memory != Memory::Lost,
        }
    }
}

/// Longest address of a voter.
const VOTER_BYTES_MAX: usize = 1_024;

/// The name a voter is dialled by: its address without a scheme.
#[must_use]
pub fn dialled(voter: &str) -> &str {
    let rest = voter.split_once("://").map_or(voter, |(_, rest)| rest);
    rest.trim_end_matches('/')
}

/// Whether a host is on this machine for certain.
fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOTERS: [&str; 3] = ["a:7001", "http://b:7001", "c:7001"];

    #[test]
    fn presets_hold_and_each_rule_can_fail() {
        assert_eq!(ElectionConfig::lan(0, &VOTERS).check(), Ok(()));
        assert_eq!(ElectionConfig::wan(2, &VOTERS).check(), Ok(()));
        let broken = |change: fn(&mut ElectionConfig)| {
            let mut config = ElectionConfig::lan(0, &VOTERS);
            change(&mut config);
            config.check().unwrap_err()
        };
        assert_eq!(broken(|c| c.voters.clear()), ElectionConfigError::Voters(0));
        assert_eq!(
            broken(|c| c.voters = (0..65).map(|n| alloc::format!("h{n}:1")).collect()),
            ElectionConfigError::Voters(65)
        );
        assert_eq!(
            broken(|c| c.voters[2] = "http://a:7001".into()),
            ElectionConfigError::Voter("http://a:7001".into())
        );
        let long = "h".repeat(1_025);
        let mut config = ElectionConfig::lan(0, &VOTERS);
        config.voters[2].clone_from(&long);
        assert_eq!(config.check(), Err(ElectionConfigError::Voter(long)));
        assert_eq!(broken(|c| c.me = Seat(3)), ElectionConfigError::NotAVoter);
        assert_eq!(
            broken(|c| c.promise = Duration::from_millis(49)),
            ElectionConfigError::Promise
        );
        assert_eq!(
            broken(|c| c.drift_ppm = 100_000),
            ElectionConfigError::Drift
        );
    }

    #[test]
    fn a_refused_dial_is_proof_on_one_machine_or_where_that_is_said() {
        let check = |voters: &[&str], evidence| {
            let config = ElectionConfig {
                evidence,
                ..ElectionConfig::lan(0, voters)
            };
            config.check()
        };
        let here = ["127.0.0.1:1", "http://[::1]:2", "localhost:3"];
        assert_eq!(check(&here, Evidence::Refused), Ok(()));
        let away = ["127.0.0.1:1", "10.0.0.2:1", "c:3"];
        assert_eq!(
            check(&away, Evidence::Refused),
            Err(ElectionConfigError::Evidence("10.0.0.2:1".into()))
        );
        assert_eq!(check(&away, Evidence::RefusedAnywhere), Ok(()));
        assert_eq!(check(&away, Evidence::None), Ok(()));
    }

    #[test]
    fn a_place_may_be_empty_and_is_no_voter() {
        let mut config = ElectionConfig::lan(4, &["a:1", RETIRED, "c:1", RETIRED, "a2:1"]);
        assert_eq!(config.check(), Ok(()));
        let rules = config.rules();
        assert_eq!(rules.quorum(), 2);
        assert!(rules.others().eq([Seat(0), Seat(2)]));
        assert!(rules.is_voter(Seat(4)) && !rules.is_voter(Seat(3)) && !rules.is_voter(Seat(5)));
        config.me = Seat(1);
        assert_eq!(config.check(), Err(ElectionConfigError::NotAVoter));
    }

    #[test]
    fn a_lease_is_shorter_than_a_promise_by_the_drift_of_both() {
        let config = ElectionConfig::lan(0, &VOTERS);
        let (promise, lease) = (config.promise.as_secs_f64(), config.lease().as_secs_f64());
        // The voter's clock runs fast, the leader's slow: true time is still on the voter's side.
        assert!(lease / 0.99 < promise / 1.01);
        assert!(lease > 0.97 * promise);
    }

    #[test]
    fn a_scheme_is_no_part_of_the_name_that_is_dialled() {
        assert_eq!(dialled("http://127.0.0.1:7001"), "127.0.0.1:7001");
        assert_eq!(dialled("127.0.0.1:7001"), "127.0.0.1:7001");
    }
}
