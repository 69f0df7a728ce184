//! What the transports of Trefoil share, and nothing that one of them alone needs: how the tasks that
//! read and write meet the driver that polls ([`Inbox`]), which stream has its turn ([`Rounds`]), where
//! streams are kept ([`Table`]), which calls wait for a decision ([`Calls`]), and how a task is ended
//! from outside ([`Stop`]).
#![forbid(unsafe_code)]

mod calls;
mod inbox;
mod rounds;
mod stop;
mod table;

pub use calls::Calls;
pub use inbox::Inbox;
pub use rounds::{Next, Rounds};
pub use stop::{Level, Stop, lock};
pub use table::{Side, Slot, Stream, Table};
