//! Elections among nodes of Trefoil and unmodified nodes of redhac 0.10.5, each its own process.
//!
//! | part | what it is |
//! |---|---|
//! | [`cluster`] | the processes: started, killed, stopped for a while |
//! | [`certificates`] | of a cluster whose streams are encrypted |
//! | [`node`] | the process of a node of ours: the shipping election, driver and transport, on tokio |
//! | [`probe`] | asks every node several times a second what it is, over the wire |
//! | [`proxy`] | forwards bytes between two nodes, or does not |
//! | [`told`] | what a process says of its own leadership, and when |
//! | [`figures`] | times as they are printed |
//! | [`leaderships`] | of ours, and what must not be among them |
//! | [`driving`] | what a driver asks of its surroundings |

pub mod certificates;
pub mod cluster;
pub mod driving;
pub mod figures;
pub mod leaderships;
pub mod node;
pub mod probe;
pub mod proxy;
pub mod told;

/// The name that is dialled: an entry of the list without its scheme.
#[must_use]
pub fn dialled(host: &str) -> &str {
    host.split_once("://").map_or(host, |(_, name)| name)
}

/// What every node shows and asks for.
pub const TOKEN: &str = "interop-secret";
