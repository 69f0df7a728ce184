//! The built-in actor: a cart of articles.

mod actor;
mod command;
#[expect(missing_docs, clippy::all, reason = "generated")]
pub mod wire;

pub use self::actor::{Carts, Item, add_item, clear, items, remove_item};
pub use self::command::{client, explain, run};
