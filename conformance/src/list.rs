//! The list of all cases, and how a test runs one.

use std::process::Command;

use crate::subject::{Ask, Subject};

/// A case by name.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its theme and its function.
    pub name: &'static str,
    /// What it asks of a subject.
    pub asks: &'static [Ask],
}

/// Makes one test of each case for a subject. The cases that are skipped, for what the subject lacks,
/// are named; a test fails if the names are not exactly those.
#[macro_export]
macro_rules! suite {
    ($subject:ty) => {
        $crate::suite!($subject, skips: []);
    };
    ($subject:ty, skips: [$($skip:literal),* $(,)?]) => {
        $crate::each_case!(tests $subject);

        #[test]
        fn the_skipped_cases_are_these() {
            $crate::check_skips::<$subject>(&[$($skip),*]);
        }
    };
}

/// Gives the list to [`with_cases`].
#[doc(hidden)]
#[macro_export]
macro_rules! each_case {
    ($($to:tt)*) => {
        $crate::with_cases! { $($to)*;
            order {
                messages_keep_their_order_both_ways [],
                an_empty_message_is_a_message [],
                a_message_of_mebibytes_passes [],
                streams_wait_for_their_link [],
                a_stream_may_be_abandoned_before_its_link_stands [],
                nothing_of_a_call_comes_before_it_is_bound [],
            }
            half {
                a_caller_that_half_closed_still_hears [],
                a_callee_that_half_closed_still_hears [],
                a_request_without_messages [],
                nothing_is_sent_after_a_half_close [],
            }
            ending {
                an_answer_without_messages [],
                every_code_arrives [],
                a_status_arrives_byte_for_byte [],
                an_end_comes_after_all_messages [],
                a_call_is_decided_once [],
                a_caller_that_goes_away_is_heard_of [],
                a_caller_that_does_not_wait_for_a_decision [],
                a_callee_may_end_while_the_caller_sends [],
                nothing_is_heard_after_an_end_from_here [],
                an_end_from_here_overtakes_one_from_there [],
            }
            metadata {
                metadata_arrives_both_ways [],
                the_method_arrives [],
                a_timeout_is_passed_on_and_never_grows [],
            }
            size {
                a_request_that_is_too_large_ends_its_stream [FrameLimit],
                an_answer_that_is_too_large_ends_its_stream [FrameLimit],
                the_largest_message_passes [FrameLimit],
            }
            flow {
                a_callee_without_credit_stops_its_caller [Bounds],
                a_caller_without_credit_stops_its_callee [Bounds],
                a_callee_that_sleeps_stops_its_caller [Bounds],
                a_caller_that_sleeps_stops_its_callee [Bounds],
                credit_lets_as_much_through [Bounds],
                a_message_above_the_budget_passes_alone [Bounds],
                a_caller_that_does_not_read_is_not_read [Bounds],
                a_stuffed_stream_can_be_abandoned [Bounds],
                a_stuffed_stream_can_be_abandoned_to_a_sleeper [Bounds],
                a_stuffed_stream_is_abandoned_at_once [Bounds, Overtaking],
                streams_that_are_not_read_hold_up_no_other [Bounds],
            }
            links {
                nobody_listens [],
                an_end_that_is_still_to_be_told_takes_frames [],
                a_cut_ends_the_streams_of_both_sides [Loss],
                a_cut_takes_nothing_back [Loss],
                a_stream_on_a_lost_link_is_lost [Loss],
                a_lost_link_is_dialled_again [Loss],
                a_callee_that_leaves_is_lost [Loss],
                a_caller_that_leaves_is_lost [Loss],
                hanging_up_is_silent [],
                a_link_that_was_hung_up_is_dialled_again [],
                a_dial_that_was_hung_up_is_silent [],
                news_of_a_dial_that_was_hung_up_is_not_told [],
                two_links_to_one_address_are_independent [],
            }
            slots {
                effects_on_a_stream_that_is_over_do_nothing [],
                a_slot_that_is_used_again_is_another_stream [],
            }
            crowd {
                a_thousand_streams_at_once [],
                ten_thousand_streams_leave_nothing_behind [Alone],
            }
            walk {
                a_random_walk_agrees_with_a_model [],
            }
        }
    };
}

/// What is made of the list.
#[doc(hidden)]
#[macro_export]
macro_rules! with_cases {
    (tests $subject:ty; $($theme:ident { $($case:ident [$($ask:ident),*],)* })*) => {
        $(mod $theme {
            use super::*;

            $(#[test]
            fn $case() {
                $crate::run::<$subject>(
                    concat!(module_path!(), "::", stringify!($case)),
                    &[$($crate::Ask::$ask),*],
                    $crate::cases::$theme::$case::<$subject>,
                );
            })*
        })*
    };
    (names; $($theme:ident { $($case:ident [$($ask:ident),*],)* })*) => {
        &[$($($crate::Case {
            name: concat!(stringify!($theme), "::", stringify!($case)),
            asks: &[$($crate::Ask::$ask),*],
        }),*),*]
    };
}

/// Every case, in the order of the list.
const CASES: &[Case] = each_case!(names);

/// Set where a case runs alone.
const ALONE: &str = "TREFOIL_CONFORMANCE_ALONE";

fn lacks<S: Subject>(asks: &[Ask]) -> Option<Ask> {
    asks.iter().copied().find(|ask| S::LACKS.contains(ask))
}

/// Runs one case, if the subject has what it asks for. `test` is the full name of the test.
pub fn run<S: Subject>(test: &str, asks: &[Ask], case: fn()) {
    if let Some(ask) = lacks::<S>(asks) {
        eprintln!("skipped: the subject lacks {ask:?}");
    } else if asks.contains(&Ask::Alone) && std::env::var_os(ALONE).is_none() {
        run_alone(test);
    } else {
        case();
    }
}

/// Runs a test of this program in a process of its own, so that what it measures is its own doing.
fn run_alone(test: &str) {
    let (_, name) = test.split_once("::").unwrap_or(("", test));
    let program = std::env::current_exe().expect("the name of this program");
    let output = Command::new(program)
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .expect("this program, again");
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{out}{err}");
    assert!(out.contains("1 passed"), "{name} is not its name: {out}");
}

/// Fails unless exactly these cases are skipped for what the subject lacks.
pub fn check_skips<S: Subject>(named: &[&str]) {
    let skipped: Vec<_> = CASES
        .iter()
        .filter(|case| lacks::<S>(case.asks).is_some())
        .map(|case| case.name)
        .collect();
    assert_eq!(skipped, named, "cases that are skipped, and those named");
}
