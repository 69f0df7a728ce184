//! One stream, so many messages under way: what they cost, and what the bare loops' cost.

use trefoil_benches::is_test;
use trefoil_runtime_async_std::AsyncStd;
use trefoil_runtime_tokio::Tokio;

use crate::argument;
use crate::measure::{Contender, Load, Middle, Summary, contest, say, verdict};
use crate::ours::{GrpcOn, QuicOn, driven, polled};
use crate::{bare_grpc, bare_quic, bare_tcp};

/// The processor's time may be so many times that of the bare loop.
const CPU_MAX: f64 = 1.25;
/// Allocations of a message may be so many more.
const ALLOCATIONS_MAX: f64 = 0.02;
/// The rate on async-io must be so much of that on tokio.
const RATE_MIN: f64 = 0.8;

fn rounds() -> u32 {
    if is_test() { 1 } else { 11 }
}

fn loads() -> Vec<(&'static str, Load)> {
    let (alone, many) = if is_test() {
        (50, 500)
    } else {
        (12_000, 200_000)
    };
    let load = |in_flight, bytes, acks| Load {
        in_flight,
        bytes,
        acks,
        operations: if in_flight == 1 { alone } else { many },
    };
    let loads = [
        ("1 x 100 B", load(1, 100, false)),
        ("1 x 1 KiB", load(1, 1_024, false)),
        ("64 x 100 B", load(64, 100, false)),
        ("64 x 1 KiB", load(64, 1_024, false)),
        ("64 x 1 KiB, acknowledged", load(64, 1_024, true)),
    ];
    let wanted = argument("--load");
    let all = loads.into_iter();
    all.filter(|(name, _)| wanted.as_deref().is_none_or(|wanted| wanted == *name))
        .collect()
}

fn row(what: &str, contender: &Contender, summary: &Summary) {
    let trips = if summary.p50 > 0.0 {
        format!(", p50 {:.1} us, p99 {:.1} us", summary.p50, summary.p99)
    } else {
        String::new()
    };
    let least = summary.cpu.iter().copied().fold(f64::INFINITY, f64::min);
    let most = summary.rate.iter().copied().fold(0.0, f64::max);
    say(&format!(
        "{what}: {}: {least:.2} us of CPU (median {:.2}), {:.0} k/s (median {:.0}){trips}, \
         allocations {:.4}",
        contender.name,
        Middle::of(summary.cpu.clone()).median,
        most / 1e3,
        Middle::of(summary.rate.clone()).median / 1e3,
        summary.allocations,
    ));
}

/// Ours, and what they are compared with: the first after them.
fn compared(what: &str, ours: &[Contender], bare: &[Contender]) {
    let all: Vec<&Contender> = ours.iter().chain(bare).collect();
    for (load_name, load) in loads() {
        let what = format!("{what}, {load_name}");
        let summaries = contest(&all, load, rounds());
        for (contender, summary) in all.iter().zip(&summaries) {
            row(&what, contender, summary);
        }
        let (mine, theirs) = summaries.split_at(ours.len());
        let bare = &theirs[0];
        for (contender, mine) in ours.iter().zip(mine) {
            let cpu = Middle::of_ratios(&mine.cpu, &bare.cpu);
            let more = mine.allocations - bare.allocations;
            say(&format!(
                "{what}: {} against the bare loop: CPU {cpu}, at most {CPU_MAX}: {}; \
                 allocations {more:+.4}, at most {ALLOCATIONS_MAX}: {}; rate {}",
                contender.name,
                verdict(cpu.median <= CPU_MAX),
                verdict(more <= ALLOCATIONS_MAX),
                Middle::of_ratios(&mine.rate, &bare.rate),
            ));
        }
    }
}

pub(crate) fn grpc() {
    let ours = [
        driven::<GrpcOn<Tokio>>("driver"),
        polled::<GrpcOn<Tokio>>("transport alone"),
    ];
    let bare = [
        bare_grpc::mux("bare tonic"),
        bare_grpc::fused("bare tonic, fused"),
        bare_tcp::mux("bare TCP"),
    ];
    compared("grpc", &ours, &bare);
}

pub(crate) fn quic() {
    let ours = [
        driven::<QuicOn<Tokio>>("driver"),
        polled::<QuicOn<Tokio>>("transport alone"),
    ];
    compared("quic", &ours, &[bare_quic::mux("bare quinn")]);
}

pub(crate) fn runtimes() {
    for (what, contenders) in [
        (
            "grpc",
            [
                driven::<GrpcOn<AsyncStd>>("async-io"),
                driven::<GrpcOn<Tokio>>("tokio"),
            ],
        ),
        (
            "quic",
            [
                driven::<QuicOn<AsyncStd>>("async-io"),
                driven::<QuicOn<Tokio>>("tokio"),
            ],
        ),
    ] {
        let all: Vec<&Contender> = contenders.iter().collect();
        for (load_name, load) in loads() {
            let what = format!("runtimes, {what}, {load_name}");
            let summaries = contest(&all, load, rounds());
            for (contender, summary) in all.iter().zip(&summaries) {
                row(&what, contender, summary);
            }
            let [async_io, tokio] = &summaries[..] else {
                return;
            };
            let rate = Middle::of_ratios(&async_io.rate, &tokio.rate);
            let judged = if load.in_flight > 1 {
                let met = verdict(rate.median >= RATE_MIN);
                format!(", at least {RATE_MIN}: {met}")
            } else {
                String::new()
            };
            say(&format!(
                "{what}: async-io against tokio: rate {rate}{judged}; CPU {}",
                Middle::of_ratios(&async_io.cpu, &tokio.cpu),
            ));
        }
    }
}
