//! Channels: plans beside the rules of two others, the coordinator that carries them out, appending beside two other
//! servers, reading, and fail-over.
//!
//! `-- --only plan|coordinator|produce|consume|failover` does one part, with `--load 64x16x100` one load of `produce`, with
//! `--channels 10000` one size of `failover`; `-- --test` does all of it once and small.

#![allow(missing_docs)]
#![expect(clippy::print_stdout, reason = "a bench reports")]

mod consume;
mod coordinator;
mod failover;
mod node;
mod peers;
mod produce;

use std::hint::black_box;

use criterion::Criterion;
use trefoil_benches::{CountingAllocator, is_test, report_alone, time};
use trefoil_core::channels::balance::{Balancer, Channel, Move, Node, Pace};

use crate::peers::{Places, count_fair, sticky};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const EAGER: Pace = Pace {
    moves_max: u32::MAX,
    worth_percent: 25,
};

fn nodes(count: u32) -> Vec<Node> {
    let node = Node {
        weight: 1,
        drains: false,
    };
    vec![node; count as usize]
}

fn channels(places: &Places) -> Vec<Channel> {
    let channel = |node: &Option<u32>| Channel {
        node: *node,
        load: 1,
        rests: false,
    };
    places.iter().map(channel).collect()
}

fn ours(places: &mut Places, count: u32) {
    let mut moves = Vec::new();
    Balancer::default().plan(&nodes(count), &channels(places), EAGER, &mut moves);
    for Move { channel, to, .. } in moves {
        places[channel as usize] = Some(to);
    }
}

type Rule = fn(&mut Places, u32);
const RULES: [(&str, Rule); 3] = [
    ("trefoil", ours),
    ("count-fair (Milvus)", count_fair),
    ("sticky (Kafka)", sticky),
];

/// What one round of a rule does.
fn judge(name: &str, before: &Places, count: u32, rule: Rule) {
    let mut after = before.clone();
    rule(&mut after, count);
    let unplaced = after.iter().filter(|node| node.is_none()).count();
    let moved = before.iter().zip(&after);
    let moved =
        moved.filter(|(before, after)| before.is_some() && before != after && after.is_some());
    let mut held = vec![0_i64; count as usize];
    for node in after.iter().flatten() {
        held[*node as usize] += 1;
    }
    let spread = held.iter().max().unwrap_or(&0) - held.iter().min().unwrap_or(&0);
    println!(
        "  {name:20} moved {:6}, not placed {unplaced:4}, spread {spread:3}",
        moved.count()
    );
}

fn rules() {
    for (count, all) in [(3, 16), (4, 16), (8, 256), (16, 1024), (1000, 100_000)] {
        let mut level: Places = vec![None; all];
        println!("{all} channels, first placement on {count} nodes");
        for (name, rule) in RULES {
            judge(name, &level, count, rule);
        }
        ours(&mut level, count);
        println!("{all} channels, one of {count} nodes lost");
        let lost: Places = level
            .iter()
            .map(|node| node.filter(|node| *node + 1 < count))
            .collect();
        for (name, rule) in RULES {
            judge(name, &lost, count - 1, rule);
        }
        println!("{all} channels, one node more than {count}");
        for (name, rule) in RULES {
            judge(name, &level, count + 1, rule);
        }
        // Four in five on the first half.
        let skewed: Places = (0..all as u32)
            .map(|at| {
                Some(if at % 5 > 0 {
                    at % (count / 2).max(1)
                } else {
                    at % count
                })
            })
            .collect();
        println!("{all} channels, four of five on half of {count} nodes");
        for (name, rule) in RULES {
            judge(name, &skewed, count, rule);
        }
    }
}

fn times() {
    let (count, all) = if is_test() {
        (100, 10_000)
    } else {
        (1_000, 100_000)
    };
    let mut level: Places = vec![None; all];
    let orphans = channels(&level);
    ours(&mut level, count);
    let lost: Places = level
        .iter()
        .map(|node| node.filter(|node| *node + 1 < count))
        .collect();
    let mixed: Vec<Node> = (0..count)
        .map(|at| Node {
            weight: 1 + at % 4,
            drains: false,
        })
        .collect();
    let loads: Vec<Channel> = (0_u32..)
        .zip(&orphans)
        .map(|(at, channel)| Channel {
            load: 1 + at.wrapping_mul(2_654_435_761) % 100,
            ..*channel
        })
        .collect();
    let cases = [
        ("first placement", nodes(count), orphans.clone()),
        ("one node lost", nodes(count - 1), channels(&lost)),
        ("one node more", nodes(count + 1), channels(&level)),
        ("nothing to do", nodes(count), channels(&level)),
        (
            "first placement, four weights, loads of 1 to 100",
            mixed,
            loads,
        ),
    ];
    let mut balancer = Balancer::default();
    let mut moves = Vec::new();
    for (name, nodes, channels) in cases {
        let cost = time(10, 1, || {
            moves.clear();
            balancer.plan(&nodes, &channels, EAGER, &mut moves);
            black_box(&moves);
        });
        report_alone(
            &format!("plan of {all} channels on {count} nodes, {name}"),
            cost,
        );
    }
    for (name, rule) in &RULES[1..] {
        let cost = time(5, 1, || rule(black_box(&mut vec![None; all]), count));
        report_alone(&format!("{name}, first placement"), cost);
        let cost = time(5, 1, || rule(black_box(&mut lost.clone()), count - 1));
        report_alone(&format!("{name}, one node lost"), cost);
    }
}

/// Plans: how many move, how even it gets and how long it takes.
fn plan() {
    rules();
    times();
}

/// What follows `name` on the command line.
fn argument(name: &str) -> Option<String> {
    let mut arguments = std::env::args();
    arguments.find(|argument| argument == name)?;
    arguments.next()
}

fn main() {
    if produce::is_child() {
        return;
    }
    let only = argument("--only");
    let parts: [(&str, fn()); 5] = [
        ("plan", plan),
        ("coordinator", coordinator::run),
        ("produce", produce::all),
        ("consume", consume::all),
        ("failover", failover::all),
    ];
    for (name, part) in parts {
        if only.as_deref().is_none_or(|only| only == name) {
            part();
        }
    }
    if only.is_none() {
        criterion();
    }
}

fn criterion() {
    let mut criterion = Criterion::default().configure_from_args();
    let (nodes, channels) = (nodes(64), channels(&vec![None; 1024]));
    let (mut balancer, mut moves) = (Balancer::default(), Vec::new());
    criterion.bench_function("plan of 1,024 channels on 64 nodes", |b| {
        b.iter(|| {
            moves.clear();
            balancer.plan(&nodes, &channels, EAGER, &mut moves);
        });
    });
    criterion.final_summary();
}
