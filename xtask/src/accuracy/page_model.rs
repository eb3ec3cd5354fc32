//! How far the recorded placements, driven through the page model, are from what the kernel measured.

use super::recording::{Lab, error, mib, percent};
use super::subjects::{self, Subject};

const HEADING: &str = "## The page model: recorded placements against the kernel

The curves are compared at every event: the absolute difference of the two resident sets, averaged over the time, as a share of the mean resident set.

| program | events | lost | peak RSS measured | replayed | error | curves apart | minor faults measured | replayed | error |
|---|---|---|---|---|---|---|---|---|---|
";

/// The table.
pub(super) fn table(lab: &Lab) -> Result<String, String> {
    let rows: Vec<String> = subjects::of_the_page_model(&lab.folder)?.iter().map(|subject| row(lab, subject)).collect::<Result<_, _>>()?;
    Ok(HEADING.to_owned() + &rows.concat())
}

fn row(lab: &Lab, subject: &Subject) -> Result<String, String> {
    let report = lab.replay(subject, &lab.record(subject, "trace", &[])?, &[])?;
    let pair = |column| Ok::<_, String>((report.cell("measured", column)?, report.cell("recorded", column)?));
    let ((peak, peak2), (faults, faults2)) = (pair("peak_rss_bytes")?, pair("minor_faults")?);
    let (events, lost) = (report.count("events", |_| true), report.count("lost", |_| true));
    let (of_peak, of_faults) = (percent(error(peak2, peak)), percent(error(faults2, faults)));
    let apart = report.study["recording"]["curves_apart_bytes"].as_u64().ok_or("the study does not say how far the curves are apart")?;
    let apart = format!("{:.2} %", 100.0 * apart as f64 / report.cell("measured", "mean_rss_bytes")? as f64);
    let cells = format!("{} | {} | {of_peak} | {apart} | {faults} | {faults2} | {of_faults}", mib(peak), mib(peak2));
    Ok(format!("| {} | {events} | {lost} | {cells} |\n", subject.name))
}
