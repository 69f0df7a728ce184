//! What every transport must do, as cases that each transport runs.
//!
//! A case is a plain function over a [`Subject`]: two transports and the world between them, which may
//! be a switch in memory, a runtime, or two of them. No case knows which. A subject says how its sides
//! are made and how its world moves on; [`suite!`] then makes one test of each case. What a subject
//! [lacks](Subject::LACKS) is skipped, and what is skipped must be named there: a test compares.
//!
//! | to | look at |
//! |---|---|
//! | put a transport to the test | `core/tests/conformance.rs`, the shortest; `transport-tonic/tests/conformance.rs`, over sockets |
//! | let one kind call another | [`Subject::Caller`] and [`Subject::Callee`] may be of two types |
//! | walk longer, or elsewhere | `TREFOIL_CONFORMANCE_STEPS`, `TREFOIL_CONFORMANCE_SEED` |
//! | add a case | a function in [`cases`], a line in `list.rs` |
//!
//! Beside what each case looks for, rules that hold everywhere are checked at every arrival: an end is
//! told once and last, of streams that were ended or hung up nothing is told, nothing comes before its
//! call is bound. Sides are driven as the core's driver drives them, so that a wake that is forgotten
//! makes a case wait in vain.
#![forbid(unsafe_code)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a case that is surprised should fail"
)]

mod bell;
pub mod cases;
mod expect;
mod ledger;
mod list;
mod subject;
mod world;

pub use bell::Bell;
pub use list::{Case, check_skips, run};
pub use subject::{Ask, At, Sizes, Subject, Turn};

use trefoil_core::id::MethodId;
use trefoil_core::method::{Method, MethodDescriptor, Methods};
use trefoil_core::stream::Class;

/// A method of one message and one answer.
pub const UNARY: MethodId = MethodId(64);
/// A method of many each way.
pub const BIDI: MethodId = MethodId(65);

/// The methods that both sides of a subject must know.
#[must_use]
pub fn methods() -> Methods {
    let mut methods = Methods::new();
    for (id, path, streaming) in [
        (UNARY, "/trefoil.conformance.Case/Unary", false),
        (BIDI, "/trefoil.conformance.Case/Bidi", true),
    ] {
        let descriptor = MethodDescriptor {
            path,
            client_streaming: streaming,
            server_streaming: streaming,
        };
        let class = Class::Bulk;
        methods.mount(id, Method { descriptor, class });
    }
    methods
}
