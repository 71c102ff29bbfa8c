//! Progress of long work: a bar on a terminal, a plain line every few seconds otherwise. Always on standard error.

use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::thousands;
use crate::terminal::{errln, one_line};

/// How often a plain line is printed.
const INTERVAL: Duration = Duration::from_secs(10);

/// One stage after another, each with its own unit.
pub struct Progress {
    stage: Mutex<Option<Stage>>,
    terminal: bool,
}

struct Stage {
    name: String,
    unit: &'static str,
    total: Option<u64>,
    done: u64,
    tokens: u64,
    started: Instant,
    printed: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Progress on standard error.
    pub fn new() -> Self {
        Self { stage: Mutex::new(None), terminal: io::stderr().is_terminal() }
    }

    /// Ends the current stage, if any, and begins one that counts `unit` up to `total`, if that is known.
    pub fn begin(&self, name: &str, unit: &'static str, total: Option<u64>) {
        self.end();
        let bar = self.terminal.then(|| {
            let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            let template = if total.is_some() {
                "{msg} {wide_bar} {human_pos}/{human_len} {per_sec}, {eta} left"
            } else {
                "{msg} {spinner} {human_pos} {per_sec}"
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_message(one_line(name));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let now = Instant::now();
        *self.lock() = Some(Stage { name: name.to_owned(), unit, total, done: 0, tokens: 0, started: now, printed: now, bar });
    }

    /// Counts units that are done, and the tokens in them (0 if they have none).
    pub fn advance(&self, units: u64, tokens: u64) {
        let mut guard = self.lock();
        let Some(stage) = guard.as_mut() else { return };
        stage.done += units;
        stage.tokens += tokens;
        stage.show();
    }

    /// Sets how many units are done.
    pub fn set(&self, done: u64) {
        let mut guard = self.lock();
        let Some(stage) = guard.as_mut() else { return };
        stage.done = done;
        stage.show();
    }

    /// A callback for work that reports bytes done and in total: shows them, and returns `Break` once `cancel` is set.
    pub fn watch<'a>(&'a self, name: String, cancel: &'a AtomicBool) -> impl FnMut(u64, u64) -> ControlFlow<()> + 'a {
        let mut begun = false;
        move |done, total| {
            if !std::mem::replace(&mut begun, true) {
                self.begin(&name, "bytes", Some(total));
            }
            self.set(done);
            if cancel.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }

    /// Prints a remark above the bar.
    #[cfg_attr(not(feature = "engine"), allow(dead_code))]
    pub fn note(&self, text: &str) {
        match self.lock().as_ref().and_then(|stage| stage.bar.as_ref()) {
            Some(bar) => bar.println(one_line(text)),
            None => errln!("{}", one_line(text)),
        }
    }

    /// Ends the stage. Its last line stays.
    pub fn end(&self) {
        if let Some(stage) = self.lock().take() {
            if let Some(bar) = &stage.bar {
                bar.finish_and_clear();
            }
            errln!("{} in {:.1} s", stage.line(false), stage.started.elapsed().as_secs_f64());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Stage>> {
        // After a panic elsewhere the count may be old, which does no harm.
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(Stage { bar: Some(bar), .. }) = self.lock().take() {
            bar.finish_and_clear();
        }
    }
}

impl Stage {
    fn show(&mut self) {
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        } else if self.printed.elapsed() >= INTERVAL {
            self.printed = Instant::now();
            errln!("{}", self.line(true));
        }
    }

    fn line(&self, running: bool) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(1e-3);
        let rate = self.done as f64 / seconds;
        let mut line = format!("{}: {}", self.name, thousands(self.done));
        if let Some(total) = self.total.filter(|_| running) {
            line += &format!(" of {}", thousands(total));
        }
        line += &format!(" {}, {}/s", self.unit, short(rate));
        if self.tokens > 0 {
            line += &format!(", {} tokens/s", thousands((self.tokens as f64 / seconds) as u64));
        }
        if let Some(total) = self.total.filter(|total| running && *total > self.done && rate > 0.0) {
            line += &format!(", {} left", duration((total - self.done) as f64 / rate));
        }
        line
    }
}

fn short(rate: f64) -> String {
    if rate < 100.0 { format!("{rate:.1}") } else { thousands(rate as u64) }
}

/// A duration in a suitable unit.
pub fn duration(seconds: f64) -> String {
    match seconds as u64 {
        s @ 0..=99 => format!("{s} s"),
        s @ 100..=5_999 => format!("{} min", s / 60),
        s => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_short() {
        assert_eq!(["59 s", "10 min", "2 h 5 min"].map(String::from), [59.9, 600.0, 7_500.0].map(duration));
    }

    #[test]
    fn a_line_tells_rate_and_time_left() {
        let started = Instant::now() - Duration::from_secs(10);
        let stage = Stage {
            name: "writing".into(),
            unit: "references",
            total: Some(4_000),
            done: 1_000,
            tokens: 90_000,
            started,
            printed: started,
            bar: None,
        };
        let line = stage.line(true);
        assert!(
            line.starts_with("writing: 1,000 of 4,000 references, ") && line.contains(" tokens/s, ") && line.ends_with(" s left"),
            "{line}"
        );
    }
}
