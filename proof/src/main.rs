#![no_std]
#![no_main]
extern crate alloc;
mod bare;
use core::fmt::Write;
#[global_allocator]
static ARENA: bare::Arena = bare::Arena::new();
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    let v: alloc::vec::Vec<u64> = (0..100).collect();
    let s: u64 = v.iter().sum();
    let _ = writeln!(bare::Out, "{s} {}", ARENA.used());
    ARENA.shut();
    let w = alloc::vec![1u8; s as usize];
    w.len() as i32
}
