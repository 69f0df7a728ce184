//! The electorates of a world, one after another, and which a process is started with.

use trefoil_core::election::ballot;
use trefoil_core::election::electorate::{Electorate, RETIRED};
use trefoil_core::header::HeaderWriter;
use trefoil_core::identity::Identity;

use crate::dice::Dice;

/// Who votes at each epoch, a bit for each voter.
#[derive(Clone, Debug)]
pub(super) struct Electorates {
    members: Vec<u64>,
    /// The newest that the operator gives out.
    newest: usize,
    /// What the operator started a voter with by hand.
    by_hand: Vec<(usize, usize)>,
}

/// Changes of the voters in one world.
const CHANGES: usize = 5;

const fn all(voters: usize) -> u64 {
    (1 << voters) - 1
}

impl Electorates {
    /// The same voters for ever.
    pub(super) fn one(voters: usize) -> Self {
        Self::given(&[all(voters)])
    }

    /// These, all given out at once.
    pub(super) fn given(members: &[u64]) -> Self {
        Self {
            members: members.to_vec(),
            newest: members.len() - 1,
            by_hand: Vec::new(),
        }
    }

    /// One voter comes or goes in each epoch.
    pub(super) fn draw(voters: usize, dice: &mut Dice) -> Self {
        let few = 1 + dice.index(voters);
        let mut members = vec![all(few)];
        for _ in 0..CHANGES {
            let last = members.last().copied().unwrap_or_default();
            let changed = last ^ 1 << dice.index(voters);
            // The last voter stays.
            members.push(if changed == 0 { last } else { changed });
        }
        Self {
            newest: 0,
            ..Self::given(&members)
        }
    }

    /// The operator goes on to the next.
    pub(super) fn step(&mut self) {
        self.newest = (self.newest + 1).min(self.members.len() - 1);
    }

    /// A voter is started with this epoch from now on.
    #[cfg(test)]
    pub(super) fn give(&mut self, voter: usize, epoch: usize) {
        self.by_hand.retain(|(of, _)| *of != voter);
        self.by_hand.push((voter, epoch));
    }

    fn has(&self, epoch: usize, voter: usize) -> bool {
        self.members[epoch] >> voter & 1 == 1
    }

    /// What a process is told when it starts.
    pub(super) fn electorate(&self, epoch: usize) -> Electorate {
        let members = self.members[epoch];
        let name = |voter| match members >> voter & 1 {
            0 => RETIRED.to_owned(),
            _ => format!("v{voter}:1"),
        };
        let places = 64 - members.leading_zeros();
        Electorate {
            epoch: epoch as u64 + 1,
            places: (0..places).map(name).collect(),
        }
    }

    /// With which epoch a voter is started: mostly the one after what its disk says, sometimes the newest,
    /// sometimes the same as before. `None` if it is a voter of none that is given out.
    pub(super) fn choose(&self, voter: usize, disk: &[u8], dice: &mut Dice) -> Option<usize> {
        let by_hand = self.by_hand.iter().find(|(of, _)| *of == voter);
        if let Some((_, epoch)) = by_hand {
            return Some(*epoch);
        }
        let fresh = || {
            (0..=self.newest)
                .rev()
                .find(|epoch| self.has(*epoch, voter))
        };
        if self.members.len() == 1 {
            return fresh();
        }
        let kept = ballot::read(disk, &self.electorate(0)).and_then(|kept| kept.electorate);
        let Some((kept, _)) = kept else {
            return fresh();
        };
        let kept = kept.epoch as usize - 1;
        let wanted = match dice.index(8) {
            0 | 1 => kept,
            2 => self.newest,
            _ => (kept + 1).min(self.newest),
        };
        // One that was removed is ended last: until then it is what it was.
        let is_one = self.has(wanted, voter);
        Some(if is_one { wanted } else { kept })
    }
}

/// What a node says of itself when it opens or takes a stream: its electorate, and for the rest what must
/// be there.
pub(super) fn header(electorate: u64) -> Vec<u8> {
    let identity = Identity {
        node: "v",
        boot: 1,
        incarnation: 1,
        cluster: "",
        placement: 0,
        store: 0,
        electorate,
        features: 0,
    };
    let mut bytes = vec![0; 512];
    let mut writer = HeaderWriter::new(&mut bytes);
    let written = identity.write(&mut writer);
    debug_assert!(written.is_ok(), "room enough");
    let length = writer.finish().0.len();
    bytes.truncate(length);
    bytes
}
