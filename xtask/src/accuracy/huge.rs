//! Huge pages: a recording made with `madvise`, replayed as if they were given everywhere, against the program really run so.

use super::recording::{Lab, Report, error, mib, percent};
use super::settings::{neutral, tunable};
use super::subjects::{self, Subject};

const HEADING: &str = "## What if: huge pages

Each program is recorded once while `/sys/kernel/mm/transparent_hugepage/enabled` says `madvise`, and really run with `always`, and with
`GLIBC_TUNABLES=glibc.malloc.hugetlb=1`. Programs that bring a heap of their own are replayed page by page, with the placements that were recorded
(`recorded+thp=always`). The goals are: faults and peak RSS within 5 %.

| program | policy | peak RSS madvise | really | replayed | error | minor faults madvise | really | replayed | error |
|---|---|---|---|---|---|---|---|---|---|
";

const ENABLED: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// The machine's setting while this lives; afterwards what it was.
struct Always(String);

impl Always {
    fn set() -> Result<Always, String> {
        let modes = std::fs::read_to_string(ENABLED).map_err(|error| format!("{ENABLED}: {error}"))?;
        let mode = modes.split(['[', ']']).nth(1).ok_or("the kernel does not say its huge-page mode")?.to_owned();
        std::fs::write(ENABLED, "always").map_err(|error| format!("{ENABLED}: {error}"))?;
        Ok(Always(mode))
    }
}

impl Drop for Always {
    fn drop(&mut self) {
        let restored = std::fs::write(ENABLED, &self.0);
        restored.unwrap_or_else(|error| eprintln!("{ENABLED} could not be set back to {}: {error}", self.0));
    }
}

/// The table.
pub(super) fn table(lab: &Lab) -> Result<String, String> {
    let mut text = HEADING.to_owned();
    for subject in subjects::with_one_thread(&lab.folder)? {
        text += &rows(lab, &subject, &["glibc+thp=always", "glibc:hugetlb=1"])?;
    }
    for subject in subjects::with_their_own_heap() {
        text += &rows(lab, &subject, &["recorded+thp=always"])?;
    }
    Ok(text)
}

fn rows(lab: &Lab, subject: &Subject, policies: &[&str]) -> Result<String, String> {
    let replayed = lab.replay(
        subject,
        &lab.record(subject, "default", &[neutral()])?,
        &policies.iter().map(|&policy| policy.to_owned()).collect::<Vec<_>>(),
    )?;
    let mut text = String::new();
    for policy in policies {
        let trace = if policy.ends_with("always") {
            let _always = Always::set()?;
            lab.record(subject, "really", &[neutral()])?
        } else {
            lab.record(subject, "really", &[tunable("hugetlb=1")])?
        };
        text += &row(subject, policy, &replayed, &lab.replay(subject, &trace, &[])?)?;
    }
    Ok(text)
}

fn row(subject: &Subject, policy: &str, replayed: &Report, real: &Report) -> Result<String, String> {
    let mut cells = format!("| {} | {policy} ", subject.name);
    for (column, show) in [("peak_rss_bytes", mib as fn(u64) -> String), ("minor_faults", |count| count.to_string())] {
        let (before, really, found) = (replayed.cell("measured", column)?, real.cell("measured", column)?, replayed.cell(policy, column)?);
        cells += &format!("| {} | {} | {} | {} ", show(before), show(really), show(found), percent(error(found, really)));
    }
    Ok(cells + "|\n")
}
