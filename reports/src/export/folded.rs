//! Bytes live at the peak by call stack, as flame graph tools take it: `main;parse;malloc_caller 4096` in each line.

use crate::reading;
use crate::study::Study;

/// A line for each place that had live blocks at the peak; their numbers sum up to the live bytes at the peak.
pub fn folded(study: &Study) -> String {
    let live = study.callsites.iter().filter(|site| site.live_at_peak_bytes > 0);
    // A line feed in a name would make two lines of it.
    live.map(|site| format!("{} {}\n", reading::folded(study, site).replace(['\n', '\r'], " "), site.live_at_peak_bytes)).collect()
}
