//! No term is burnt by waiting: where nothing goes wrong, a channel has a new term only because another node has it,
//! however long the store takes to open a log (Milvus #45602, #49139).
//!
//! Planted against it: `timeout-burns-term`, `caller-cancels`.

use trefoil_core::channels::coordinator::meta::Meta;

use super::{Court, Invariant};

/// A value is written to the catalog behind another, where nothing goes wrong.
pub fn judge(channel: usize, last: &Meta, meta: &Meta, court: &mut Court<'_>) {
    let stays = last.node.is_some() && last.node == meta.node;
    if stays && meta.term > last.term {
        let (term, node) = (meta.term, &meta.node);
        let text = format!("c{channel}: term {term} goes to {node:?}, which had the one before");
        court.broken(Invariant::Burnt, text);
    }
}
