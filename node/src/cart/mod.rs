//! The built-in actor: a cart of articles.

mod actor;
mod command;
#[allow(dead_code, reason = "generated")]
mod wire;

pub use self::actor::{Carts, add_item, items};
pub use self::command::{client, explain, run};
