//! A deterministic simulator of the shipping machines: the same engines, the same machines and the
//! same encoded frames as in a process, in virtual time, under every fault one seed can draw.
//!
//! [`World`](world::World) is generic in the machine; [`ring`] puts rings into it. One seed is one
//! run: two runs of a seed have the same [`Trace`](trace::Trace) bit for bit.
#![forbid(unsafe_code)]

pub mod channels;
pub mod dice;
pub mod disk;
pub mod election;
pub mod moment;
pub mod net;
pub mod queue;
pub mod ring;
pub mod trace;
pub mod watch;
pub mod world;
