//! What processes have of the machine's memory.

/// Mebibytes of memory that a process has, by its number.
///
/// # Panics
/// If there is no such process, or no `/proc`.
#[must_use]
pub fn resident_mib(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"));
    let status = status.expect("a process, and a system with /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib = kib.and_then(|kib| kib.trim().parse::<f64>().ok());
    kib.expect("its memory") / 1024.0
}
