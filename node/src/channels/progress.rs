//! How far `trefoil produce` is, as people see it at a terminal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// A bar over the bytes of an input whose length is known; of any other, how much there was.
pub struct Progress {
    bar: ProgressBar,
    records: Arc<AtomicU64>,
    has_length: bool,
}

impl Progress {
    /// Of an input of so many bytes, if that is known.
    ///
    /// # Errors
    /// The terminal cannot be written to as it is meant to be.
    pub fn new(bytes: Option<u64>) -> Result<Self> {
        let records = Arc::<AtomicU64>::default();
        let (bar, template) = match bytes {
            Some(bytes) => (
                ProgressBar::new(bytes),
                "{bar:40} {bytes}/{total_bytes}, {records} records, {rate}, {eta} left",
            ),
            None => (
                ProgressBar::new_spinner(),
                "{spinner} {records} records, {rate}",
            ),
        };
        let (count, rated) = (Arc::clone(&records), Arc::clone(&records));
        let style = ProgressStyle::with_template(template)?
            .with_key(
                "records",
                move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
                    // What cannot be shown is not shown.
                    let _ = write!(out, "{}", count.load(Ordering::Relaxed));
                },
            )
            .with_key(
                "rate",
                move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                    let seconds = state.elapsed().as_secs_f64().max(1e-9);
                    let rate = rated.load(Ordering::Relaxed) as f64 / seconds;
                    let _ = write!(out, "{rate:.0} a second");
                },
            );
        Ok(Self {
            bar: bar.with_style(style),
            records,
            has_length: bytes.is_some(),
        })
    }

    /// One more record is in the log: the one whose line ends behind so many bytes of the input.
    pub fn appended(&self, end: u64) {
        let count = self.records.fetch_add(1, Ordering::Relaxed) + 1;
        self.bar
            .set_position(if self.has_length { end } else { count });
    }

    /// Leaves the terminal as it was.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use indicatif::{ProgressDrawTarget, TermLike};

    use super::*;

    /// What is written to a terminal.
    #[derive(Clone, Debug, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            120
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, line: &str) -> io::Result<()> {
            self.write_str(line)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            self.0.lock().unwrap().clear();
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is seen when records that end at these bytes are appended.
    fn seen(bytes: Option<u64>, ends: &[u64]) -> String {
        let (screen, progress) = (Screen::default(), Progress::new(bytes).unwrap());
        let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
        progress.bar.set_draw_target(target);
        ends.iter().for_each(|end| progress.appended(*end));
        progress.bar.force_draw();
        let seen = screen.0.lock().unwrap().clone();
        progress.clear();
        seen
    }

    #[test]
    fn a_file_is_a_bar_over_its_bytes_and_an_input_without_end_is_none() {
        let half = seen(Some(4_096), &[100, 2_048]);
        assert_eq!(half.matches('█').count(), 20, "{half}");
        for part in ["2.00 KiB/4.00 KiB", "2 records", " a second", " left"] {
            assert!(half.contains(part), "{part}: {half}");
        }
        let some = seen(None, &[100, 2_048, 3_000]);
        assert!(
            some.contains("3 records") && some.contains(" a second") && !some.contains("KiB"),
            "{some}"
        );
    }
}
