//! What std would have brought: memory, a way to say something, an end.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[link(name = "c")]
unsafe extern "C" {
    fn write(fd: i32, bytes: *const u8, len: usize) -> isize;
    fn exit(code: i32) -> !;
}

/// Ends the process.
pub fn leave(code: i32) -> ! {
    // SAFETY: `exit` takes any code and does not return.
    unsafe { exit(code) }
}

/// Standard output, unbuffered.
pub struct Out;

impl Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: the pointer and the length are those of a live `str`.
        let written = unsafe { write(1, text.as_ptr(), text.len()) };
        if written < 0 { Err(fmt::Error) } else { Ok(()) }
    }
}

const ARENA_BYTES: usize = 512 << 20;

/// A bump allocator over one static arena: memory is handed out once and never taken back. After it
/// has been shut, any request ends the process with code 3.
pub struct Arena {
    bytes: UnsafeCell<[u8; ARENA_BYTES]>,
    used: AtomicUsize,
    shut: AtomicBool,
}

// SAFETY: every byte of the arena is handed out at most once, by an atomic addition.
unsafe impl Sync for Arena {}

impl Arena {
    /// An empty arena; the pages cost nothing until they are touched.
    pub const fn new() -> Self {
        Self {
            bytes: UnsafeCell::new([0; ARENA_BYTES]),
            used: AtomicUsize::new(0),
            shut: AtomicBool::new(false),
        }
    }

    /// From now on, any request for memory ends the process.
    pub fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
    }

    /// From now on, memory is handed out again.
    pub fn open(&self) {
        self.shut.store(false, Ordering::SeqCst);
    }

    /// Bytes handed out.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }
}

// SAFETY: `alloc` returns memory that is aligned, large enough and handed out once, or null.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.shut.load(Ordering::SeqCst) {
            self.open();
            let _ = writeln!(
                Out,
                "FAILED: a request for {} bytes after construction",
                layout.size()
            );
            leave(3);
        }
        let base = self.bytes.get().cast::<u8>();
        let mut used = self.used.load(Ordering::SeqCst);
        loop {
            let at = (base as usize + used).next_multiple_of(layout.align()) - base as usize;
            let Some(end) = at
                .checked_add(layout.size())
                .filter(|end| *end <= ARENA_BYTES)
            else {
                return core::ptr::null_mut();
            };
            match self
                .used
                .compare_exchange(used, end, Ordering::SeqCst, Ordering::SeqCst)
            {
                // SAFETY: `at` lies within the arena.
                Ok(_) => return unsafe { base.add(at) },
                Err(now) => used = now,
            }
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Out, "FAILED: {info}");
    leave(2)
}
