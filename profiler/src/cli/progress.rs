//! Talk about long work: bars on a terminal, nothing elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::capture;

/// Talk on stderr, silenced by `--quiet`.
#[derive(Clone, Copy)]
pub(super) struct Talk {
    quiet: bool,
}

impl Talk {
    pub(super) fn new(quiet: bool) -> Talk {
        Talk { quiet }
    }

    /// A line on stderr.
    pub(super) fn say(self, line: &str) {
        if !self.quiet {
            eprintln!("{line}");
        }
    }

    /// A bar that shows how far the recording is.
    pub(super) fn recording(self) -> impl FnMut(capture::Progress) {
        let bar = self.bar(ProgressBar::new_spinner(), "{spinner} recording {elapsed_precise}  {msg}");
        move |progress| {
            let lost = if progress.lost > 0 { format!(", {} LOST", progress.lost) } else { String::new() };
            let plural = if progress.processes == 1 { "" } else { "es" };
            bar.set_message(format!("{} events{lost}, {} process{plural}", progress.made, progress.processes));
            bar.tick();
        }
    }

    /// A bar over the bytes of a trace.
    pub(super) fn reading(self, bytes: u64, what: &str) -> ProgressBar {
        self.bar(ProgressBar::new(bytes), &format!("{what} {{bar:40}} {{percent}} %  {{bytes_per_sec}}, {{eta}} left"))
    }

    /// A spinner for work of unknown length.
    pub(super) fn working(self, what: &str) -> ProgressBar {
        self.bar(ProgressBar::new_spinner(), &format!("{{spinner}} {what} {{elapsed_precise}}"))
    }

    fn bar(self, bar: ProgressBar, template: &str) -> ProgressBar {
        if self.quiet || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}
