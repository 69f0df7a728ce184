//! What a ring counts, by name.

use super::actors::ActorsCounters;
use super::directory::DirectoryCounters;

/// Name and value of each.
pub(super) fn of(
    actors: &ActorsCounters,
    directory: &DirectoryCounters,
) -> [(&'static str, u64); 23] {
    [
        ("applied", actors.applied),
        ("got", actors.got),
        ("not_found", actors.not_found),
        ("forwarded", actors.forwarded),
        ("retried", actors.retried),
        ("activations", actors.activations),
        ("fenced", actors.fenced),
        ("evicted", actors.evicted),
        ("expired", actors.expired),
        ("failed", actors.failed),
        ("proofs", actors.proofs),
        ("snapshots", actors.snapshots),
        ("duplicates", actors.duplicates),
        ("joined", actors.joined),
        ("append_unknown", actors.unknown),
        ("store_failures", actors.store_failures),
        ("refused", actors.refused),
        ("malformed", actors.malformed),
        ("announcements", directory.announcements),
        ("announcements_refused", directory.refused),
        ("fetches", directory.fetches),
        ("contests_won", directory.contests_won),
        ("contests_lost", directory.contests_lost),
    ]
}
