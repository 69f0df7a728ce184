//! Alarms ring alike on every runtime.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::harness::soon;
use crate::runtime::{Alarm, Here, Platform, run, sleep};

type Bell = <Here as Platform>::Alarm;

async fn has_rung(bell: &mut Bell) -> bool {
    poll_fn(|cx| Poll::Ready(bell.poll(cx).is_ready())).await
}

async fn rings(bell: &mut Bell) {
    soon(poll_fn(|cx| bell.poll(cx))).await;
}

#[test]
fn an_alarm_that_rang_has_rung_until_it_is_set_again() {
    run(async {
        let mut bell = Bell::default();
        assert!(!has_rung(&mut bell).await, "it was never set");
        for _ in 0..2 {
            bell.set(Duration::from_millis(5));
            rings(&mut bell).await;
            assert!(has_rung(&mut bell).await && has_rung(&mut bell).await);
        }
        bell.set(Duration::from_secs(3_600));
        assert!(!has_rung(&mut bell).await);
    });
}

#[test]
fn a_time_that_no_clock_shows_never_comes() {
    run(async {
        let mut bell = Bell::default();
        for _ in 0..2 {
            bell.set(Duration::MAX);
            assert!(!has_rung(&mut bell).await);
            sleep(Duration::from_millis(5)).await;
            assert!(!has_rung(&mut bell).await);
            // One that was set, and rang, takes it as well.
            bell.set(Duration::ZERO);
            rings(&mut bell).await;
        }
    });
}
