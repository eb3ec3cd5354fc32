//! A program recorded once and replayed with a setting, against the program really run with that setting.

use super::recording::{Lab, Report, error, mib, percent, slashed};
use super::subjects::{self, Subject};

const HEADING: &str = "## What if: one recording replayed with a setting, against the program really run with it

Each program is recorded once under the defaults, and once for each setting (`GLIBC_TUNABLES=glibc.malloc.SETTING`). The first row of a program compares two
recordings under the defaults: what two runs differ by. Calls are brk/mmap/munmap/mremap/madvise of the whole process, those of the real run first where the
replay has others. A row that misses peak RSS ±1 %, faults ±2 % or the counts of brk, mmap and munmap is marked.

| program | setting | peak RSS default | really | replayed | error | minor faults default | really | replayed | error | calls | |
|---|---|---|---|---|---|---|---|---|---|---|---|
";

/// What every program is run with; each has more of its own.
const SETTINGS: [&str; 8] = [
    "mmap_threshold=65536",
    "mmap_threshold=1048576",
    "trim_threshold=1048576",
    "top_pad=0",
    "top_pad=1048576",
    "tcache_count=0",
    "mxfast=0",
    "mmap_max=0",
];

/// The goals: relative errors.
const PEAK: f64 = 0.01;
const FAULTS: f64 = 0.02;

/// The table.
pub(super) fn table(lab: &Lab) -> Result<String, String> {
    let mut text = HEADING.to_owned();
    for subject in subjects::with_one_thread(&lab.folder)? {
        text += &rows(lab, &subject)?;
    }
    Ok(text)
}

fn rows(lab: &Lab, subject: &Subject) -> Result<String, String> {
    let settings: Vec<&str> = SETTINGS.iter().chain(subject.settings).copied().collect();
    let policies: Vec<String> = settings.iter().map(|setting| format!("glibc:{setting}")).collect();
    let replayed = lab.replay(subject, &lab.record(subject, "default", &[neutral()])?, &policies)?;
    let again = lab.replay(subject, &lab.record(subject, "again", &[neutral()])?, &[])?;
    let mut text = row(subject, "(run twice)", [&replayed, &again, &replayed], "measured")?;
    for (setting, policy) in settings.iter().zip(&policies) {
        let real = lab.replay(subject, &lab.record(subject, "really", &[tunable(setting)])?, &[])?;
        text += &row(subject, setting, [&replayed, &real, &replayed], policy)?;
    }
    Ok(text)
}

/// Under the defaults, under the setting, and the recording of the first as `policy` would have it.
fn row(subject: &Subject, setting: &str, [default, real, replayed]: [&Report; 3], policy: &str) -> Result<String, String> {
    let of = |column| Ok::<_, String>((default.cell("measured", column)?, real.cell("measured", column)?, replayed.cell(policy, column)?));
    let ((peak, peak2, peak3), (faults, faults2, faults3)) = (of("peak_rss_bytes")?, of("minor_faults")?);
    let (of_peak, of_faults) = (error(peak3, peak2), error(faults3, faults2));
    let (calls, simulated) = (real.calls("measured")?, replayed.calls(policy)?);
    let met = of_peak.abs() <= PEAK && of_faults.abs() <= FAULTS && calls[..3] == simulated[..3];
    let mut shown = slashed(&calls);
    if calls != simulated {
        shown = format!("{shown}, replayed {}", slashed(&simulated));
    }
    let (of_peak, of_faults, mark) = (percent(of_peak), percent(of_faults), if met { "" } else { "missed" });
    let cells = format!("{} | {} | {} | {of_peak} | {faults} | {faults2} | {faults3} | {of_faults}", mib(peak), mib(peak2), mib(peak3));
    Ok(format!("| {} | {setting} | {cells} | {shown} | {mark} |\n", subject.name))
}

/// As long as the name of the tunables' variable, and their value.
const NEUTRAL: &str = "UNUSED_SETTING";
const LENGTH: usize = 56;

/// Programs copy their environment into the heap and onto the stack: without a setting it must take as much room as with one.
fn neutral() -> (&'static str, String) {
    (NEUTRAL, "x".repeat(LENGTH))
}

/// The setting for glibc, in hexadecimal with as many zeros as it takes.
fn tunable(setting: &str) -> (&'static str, String) {
    let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
    let head = format!("glibc.malloc.{key}=0x");
    let digits = format!("{:x}", value.parse::<u64>().unwrap_or_default());
    ("GLIBC_TUNABLES", format!("{head}{digits:0>width$}", width = LENGTH - head.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_environments_take_the_same_room() {
        let (name, value) = tunable("mmap_threshold=65536");
        assert_eq!((name.len(), value.len()), (neutral().0.len(), neutral().1.len()));
        assert!(value.starts_with("glibc.malloc.mmap_threshold=0x000") && value.ends_with("00010000"), "{value}");
        assert_eq!(tunable("tcache_unsorted_limit=1").1.len(), LENGTH);
    }
}
