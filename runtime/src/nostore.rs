//! The store of a program that keeps nothing.

use std::task::{Context, Poll};

use trefoil_core::id::Tag;
use trefoil_core::machine::Full;
use trefoil_core::storage::{Completion, Op, Storage};

/// Takes no operation. A client needs none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoStore;

impl Storage for NoStore {
    type Buf = Vec<u8>;

    fn submit(&mut self, _: Op<'_>, _: Tag) -> Result<(), Full> {
        Err(Full)
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<(Tag, Completion<Vec<u8>>)> {
        Poll::Pending
    }
}
