//! A program recorded once and replayed with a setting, against the program really run with that setting.

use super::by_the_book::ByTheBook;
use super::intervals::Intervals;
use super::recording::{Lab, Report, error, high, low, mib, percent, slashed};
use super::subjects::{self, Subject};

const HEADING: &str = "## What if: one recording replayed with a setting, against the program really run with it

Each program is recorded once under the defaults, and once for each setting (`GLIBC_TUNABLES=glibc.malloc.SETTING`); its environment takes the same
room each time. The first row of a program compares two recordings under the defaults: what two runs differ by. Calls are brk/mmap/munmap/mremap/madvise
of the whole process. The goals are: peak RSS within 1 %, faults within 2 %, the counts of brk, mmap and munmap equal. Where one is missed, the last
column says why:

- *asked otherwise*: the real run, replayed from its own recording, has all its blocks where they were and the same calls. So it is the program that
  made other requests, or in another order (programs that go by the addresses of their objects do).
- *use unseen*: the real value lies between the lowest and the highest reading (shown behind the replayed one). The recorded block lay on pages that
  were resident already, where no fault shows how much of it is used; the expected reading takes as much as was used of blocks like it, if any were
  seen.
- *layout*: the real run, replayed from its own recording, is off as well, though all its blocks are where they were in their mappings; with the
  recorded addresses it is not. So it is where mappings lie within 2 MiB, which decides about huge pages and is not simulated.

Rows of `brk-only` and `mmap-only` are really run on libraries that do as these models say (`profiler/tests/support/by_the_book.c`), preloaded; under
the default a library of that size is preloaded and not used.

| program | setting | peak RSS default | really | replayed | error | minor faults default | really | replayed | error | calls really | calls replayed | missed because |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

/// What every program is run with; each has more of its own.
const SETTINGS: [&str; 9] = [
    "mmap_threshold=4096",
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
    let mut intervals = Intervals::new();
    let by_the_book = ByTheBook::build(&lab.folder)?;
    for subject in subjects::of_the_settings(&lab.folder)? {
        text += &rows(lab, &subject, &mut intervals)?;
        if by_the_book.runs(&subject) {
            text += &by_the_book.rows(lab, &subject, &mut intervals)?;
        }
    }
    Ok(text + &intervals.table())
}

fn rows(lab: &Lab, subject: &Subject, intervals: &mut Intervals) -> Result<String, String> {
    let settings: Vec<&str> = SETTINGS.iter().chain(subject.settings).copied().collect();
    let policies: Vec<String> = settings.iter().map(|setting| format!("glibc:{setting}")).collect();
    // The first run brings files into the page cache.
    lab.record(subject, "default", &[neutral()])?;
    let replayed = lab.replay(subject, &lab.record(subject, "default", &[neutral()])?, &policies)?;
    let again = lab.replay(subject, &lab.record(subject, "again", &[neutral()])?, &[])?;
    let mut text = row(subject, "(run twice)", [&replayed, &again, &replayed], "measured")?;
    for (setting, policy) in settings.iter().zip(&policies) {
        let real = lab.replay(subject, &lab.record(subject, "really", &[tunable(setting)])?, &[])?;
        text += &row(subject, setting, [&replayed, &real, &replayed], policy)?;
        intervals.add(&real, &replayed, policy)?;
    }
    Ok(text)
}

/// Under the defaults, under the setting, and the recording of the first as `policy` would have it.
pub(super) fn row(subject: &Subject, setting: &str, [default, real, replayed]: [&Report; 3], policy: &str) -> Result<String, String> {
    let mut cells = format!("| {} | {setting} ", subject.name);
    for (column, show) in [("peak_rss_bytes", mib as fn(u64) -> String), ("minor_faults", |count| count.to_string())] {
        let (before, really, found) = (default.cell("measured", column)?, real.cell("measured", column)?, replayed.cell(policy, column)?);
        let range = [replayed.cell(policy, &low(column))?, replayed.cell(policy, &high(column))?].map(show).join("–");
        cells += &format!("| {} | {} | {} ({range}) | {} ", show(before), show(really), show(found), percent(error(found, really)));
    }
    let calls = [slashed(&real.calls("measured")?), slashed(&replayed.calls(policy)?)].join(" | ");
    Ok(format!("{cells}| {calls} | {} |\n", verdict(real, replayed, policy)?))
}

/// Why goals are missed; empty where all are met.
fn verdict(real: &Report, replayed: &Report, policy: &str) -> Result<String, String> {
    let counts = |report: &Report, policy: &str| Ok::<_, String>(report.calls(policy)?[..3].to_vec());
    let truth = counts(real, "measured")?;
    let exact = real.fidelity("placements")[1] == Some(1.0) && counts(real, real.ran()?)? == truth;
    let mut reasons = Vec::new();
    if counts(replayed, policy)? != truth {
        reasons.push(if exact { "asked otherwise" } else { "not known" });
    }
    if !is_near(real, replayed, policy)? {
        let layout = exact && !is_near(real, real, real.ran()?)? && is_near(real, real, "recorded")?;
        let unseen = covers(real, replayed, policy, "peak_rss_bytes", PEAK)? && covers(real, replayed, policy, "minor_faults", FAULTS)?;
        reasons.push(if layout {
            "layout"
        } else if unseen {
            "use unseen"
        } else {
            "not known"
        });
    }
    Ok(reasons.join(", "))
}

/// Whether the measured value lies between a policy's lowest and highest reading.
fn covers(real: &Report, replayed: &Report, policy: &str, column: &str, slack: f64) -> Result<bool, String> {
    let truth = real.cell("measured", column)? as f64;
    let (low, high) = (replayed.cell(policy, &low(column))? as f64, replayed.cell(policy, &high(column))? as f64);
    Ok(low * (1.0 - slack) <= truth && truth <= high * (1.0 + slack))
}

/// Whether a policy's peak and faults are what was measured in the real run.
fn is_near(real: &Report, replayed: &Report, policy: &str) -> Result<bool, String> {
    let of = |column| Ok::<_, String>(error(replayed.cell(policy, column)?, real.cell("measured", column)?).abs());
    Ok(of("peak_rss_bytes")? <= PEAK && of("minor_faults")? <= FAULTS)
}

/// As long as the name of the tunables' variable, and their value.
const NEUTRAL: &str = "UNUSED_SETTING";
const LENGTH: usize = 56;

/// Programs copy their environment into the heap and onto the stack: without a setting it must take as much room as with one.
pub(super) fn neutral() -> (&'static str, String) {
    (NEUTRAL, "x".repeat(LENGTH))
}

/// The setting for glibc, in hexadecimal with as many zeros as it takes.
pub(super) fn tunable(setting: &str) -> (&'static str, String) {
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
