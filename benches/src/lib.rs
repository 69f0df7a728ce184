//! What the benches share: an allocator that counts, addresses, the memory of processes, and a comparison of two implementations within
//! one run, since absolute times of different runs and machines cannot be compared.

mod alloc;
mod host;
mod memory;
mod report;

pub use alloc::{CountingAllocator, allocations, count};
pub use host::free_host;
pub use memory::resident_mib;
pub use report::{Cost, compare, is_test, report, report_alone, report_mean, time};
