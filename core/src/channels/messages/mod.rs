//! What producers and consumers and their nodes tell each other, whatever the dialect.
//!
//! Views borrow the frame they were decoded from; encoders are [`Encode`], so that a message is measured and
//! written into the frame that is lent. Neither allocates. The messages that both dialects spell alike are
//! those of [`trefoil_proto::streaming`].

mod consume;
pub mod ids;
mod produce;
pub mod properties;
#[cfg(test)]
mod tests;

pub use trefoil_proto::streaming::Message;
use trefoil_proto::{Encode, wire};

pub use self::consume::{ConsumeRequest, ConsumeResponse};
pub use self::produce::{ProduceRequest, ProduceResponse};
use super::dialect::Dialect;

/// Properties of a message that was received. They were looked through when it was decoded.
pub type Properties<'a> = wire::Map<'a, &'a str, &'a [u8]>;

/// Properties of a message that is sent: a map that was received, a slice of pairs, or an iterator in
/// [`Each`](wire::Each).
pub trait PropertiesOut: wire::Entries<wire::kind::Text, wire::kind::Blob> {}

impl<P: wire::Entries<wire::kind::Text, wire::kind::Blob>> PropertiesOut for P {}

/// A message as it is said in a dialect.
#[derive(Clone, Copy, Debug)]
pub struct In<'m, M> {
    dialect: Dialect,
    message: &'m M,
}

/// A message that each dialect has its own words for.
pub trait Spoken: Sized {
    /// Bytes in a dialect.
    fn len_in(&self, dialect: Dialect) -> usize;

    /// Writes the message in a dialect.
    ///
    /// # Errors
    /// [`wire::Full`] if the room is too small.
    fn write_in(&self, dialect: Dialect, w: &mut wire::Writer<'_>) -> Result<(), wire::Full>;

    /// The message in a dialect, to be encoded.
    fn said(&self, dialect: Dialect) -> In<'_, Self> {
        In {
            dialect,
            message: self,
        }
    }
}

impl<M: Spoken> Encode for In<'_, M> {
    fn encoded_len(&self) -> usize {
        self.message.len_in(self.dialect)
    }

    fn encode(&self, w: &mut wire::Writer<'_>) -> Result<(), wire::Full> {
        self.message.write_in(self.dialect, w)
    }
}
