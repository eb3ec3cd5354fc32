//! The table of policies as plain text for a terminal.

use crate::answer::Answer;
use crate::reading::{self, SelfCheck};
use crate::study::{PolicyResult, Study};
use crate::tables::{self, Unit};
use crate::text::{self, Column, NARROWEST, cut, line, printable, wrapped};
use crate::words::{self, UNKNOWN};

/// The study for a terminal of `width` columns: self-check, losses, table, notes. Ends with a newline.
pub fn terminal(study: &Study, width: usize) -> String {
    let width = width.max(NARROWEST);
    let check = SelfCheck::of(study);
    let mut out = cut(&heading(study), width) + "\n";
    out += &wrapped(&format!("Self-check: {}", check.sentence()), width);
    if let Some(losses) = reading::losses(study) {
        out += &wrapped(&format!("LOST: {losses}"), width);
    }
    let answer = Answer::of(study);
    out += &wrapped(&format!("Answer: {}. {}", answer.headline, answer.sentences.join(" ")), width);
    for line in answer.lines {
        out += &format!("  {}\n", printable(&line.text));
    }
    out.push('\n');
    out += &text::table(columns(study, &check), width);
    if !study.recording.notes.is_empty() {
        out.push('\n');
    }
    for note in &study.recording.notes {
        out += &wrapped(&format!("Note: {}", printable(note)), width);
    }
    out
}

/// What stands for the allocator that really ran, metric by metric, and where its blocks first differ. Begins and ends with a line feed.
pub fn explanation(study: &Study, width: usize) -> String {
    let headings = [&format!("fidelity of {}", reading::checked(study)), "recorded", "replayed", "error"].map(ToOwned::to_owned);
    let rows = study.fidelity.iter().map(|row| {
        let (label, unit, _) = tables::metric(&row.metric);
        let error = row.error.map_or(UNKNOWN.to_owned(), words::percent);
        [label.to_owned(), value(row.recorded, unit), value(row.replayed, unit), error]
    });
    let rows: Vec<[String; 4]> = rows.collect();
    let column =
        |at: usize| Column { heading: headings[at].clone(), cells: rows.iter().map(|row| row[at].clone()).collect(), dispensable: 0 };
    let columns: Vec<Column> = (0..4).map(column).collect();
    let mut out = "\n".to_owned() + &line(&columns, |column| &column.heading);
    out.extend((0..rows.len()).map(|row| line(&columns, |column| &column.cells[row])));
    study.explanation.iter().for_each(|sentence| out += &wrapped(&printable(sentence), width.max(NARROWEST)));
    out
}

fn value(value: Option<f64>, unit: Unit) -> String {
    match (value, unit) {
        (None, _) => UNKNOWN.to_owned(),
        (Some(value), Unit::Share) => words::share(value),
        (Some(value), Unit::Bytes) if value >= 0.0 => words::bytes(value.round() as u64),
        (Some(value), _) => words::number(value),
    }
}

fn heading(study: &Study) -> String {
    let recording = &study.recording;
    let what = if recording.command.is_empty() { reading::program(study).to_owned() } else { recording.command.join(" ") };
    let facts = [&recording.mode, &recording.ending].into_iter().filter(|fact| !fact.is_empty());
    let facts = facts.map(|fact| format!(", {}", printable(fact))).collect::<String>();
    let name = printable(reading::program(study));
    format!("{name}, pid {}, {}{facts}: {}", recording.pid, words::duration(recording.duration_ns), printable(&what))
}

fn columns(study: &Study, check: &SelfCheck) -> Vec<Column> {
    let base = reading::baseline(study);
    let against = base.map_or("vs –".to_owned(), |base| format!("vs {}", base.policy));
    let column = |heading: &str, dispensable, cell: &dyn Fn(&PolicyResult) -> String| Column {
        heading: heading.to_owned(),
        cells: study.policies.iter().map(cell).collect(),
        dispensable,
    };
    let delta = |row: &PolicyResult| match base {
        Some(base) if std::ptr::eq(base, row) => String::new(),
        _ => difference(row, base, if reading::is_truth(study, row) { None } else { Some(check.peak_margin()) }),
    };
    let mut columns = vec![
        column("policy", 0, &|row| printable(&reading::name(row))),
        column("peak RSS", 0, &|row| or_unknown(row.peak_rss_bytes, words::bytes)),
        column(&against, 1, &delta),
        column("low–high", 5, &spread),
        column("mean", 4, &|row| or_unknown(row.mean_rss_bytes, words::bytes)),
        column("final", 6, &|row| or_unknown(row.final_rss_bytes, words::bytes)),
        column("minor faults", 2, &|row| or_unknown(row.minor_faults, words::count)),
        column("syscalls", 3, &|row| or_unknown(reading::syscalls(row), words::count)),
        column("returned", 7, &|row| or_unknown(row.returned_bytes, words::bytes)),
    ];
    if study.policies.iter().any(|row| reading::library(study, row).is_some()) {
        columns.insert(3, column("model vs library", 3, &|row| reading::against_library(study, row).unwrap_or_default()));
    }
    columns
}

fn or_unknown(value: Option<u64>, shown: fn(u64) -> String) -> String {
    value.map_or(UNKNOWN.to_owned(), shown)
}

/// A difference within the margin is marked: it is a tie.
fn difference(row: &PolicyResult, base: Option<&PolicyResult>, margin: Option<f64>) -> String {
    let share = reading::difference(row.peak_rss_bytes, base.and_then(|base| base.peak_rss_bytes));
    match share {
        None => UNKNOWN.to_owned(),
        Some(share) if margin.is_some_and(|margin| share.abs() <= margin) => format!("tie {}", words::percent(share)),
        Some(share) => words::percent(share),
    }
}

fn spread(row: &PolicyResult) -> String {
    match (row.peak_rss_low_bytes, row.peak_rss_high_bytes) {
        (Some(low), Some(high)) if low != high => words::byte_range(low, high),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study() -> Study {
        let row = |name: &str, peak| PolicyResult { policy: name.into(), peak_rss_bytes: Some(peak), ..Default::default() };
        let mut study = Study {
            policies: vec![row("measured", 100 << 20), row("recorded", 101 << 20), row("glibc:arena_max=2,trim_threshold=64K", 80 << 20)],
            ..Default::default()
        };
        study.recording.command = vec!["python3".into(), "-c".into(), "x\u{1b}[2J".into()];
        study.recording.notes = vec!["Only part of it was recorded.".into()];
        study
    }

    #[test]
    fn the_self_check_stands_before_the_table() {
        let text = terminal(&study(), 100);
        let (check, table) = (text.find("Self-check:").unwrap(), text.find("policy  ").unwrap());
        assert!(check < table, "{text}");
        assert!(text.contains("−20.0 %") && text.contains("+1.0 %"), "{text}");
        assert!(text.ends_with("Note: Only part of it was recorded.\n"));
    }

    #[test]
    fn a_model_stands_against_its_library() {
        let mut study = study();
        assert!(!terminal(&study, 200).contains("library"));
        let rows = [("simulated", 90 << 20), ("replayed", 100 << 20)].map(|(source, peak)| PolicyResult {
            policy: "jemalloc".into(),
            source: source.into(),
            peak_rss_bytes: Some(peak),
            ..Default::default()
        });
        study.policies.extend(rows);
        let text = terminal(&study, 200);
        let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
        assert!(line("policy ").contains("model vs library"), "{text}");
        assert!(line("jemalloc  ").contains("peak −10.0 %, faults –"), "{text}");
        assert!(!line("jemalloc (real library)").contains("faults"), "{text}");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [60, 80, 120, 200] {
            let text = terminal(&study(), width);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}\n{text}");
        }
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert!(!terminal(&study(), 200).contains('\u{1b}'));
    }

    #[test]
    fn the_first_difference_is_explained() {
        let mut study = study();
        study.checked = "glibc@2.36".into();
        study.fidelity =
            vec![crate::study::FidelityRow { metric: "brk_calls".into(), recorded: Some(2.0), replayed: Some(3.0), error: Some(0.5) }];
        study.explanation = vec!["The first is event 7.\u{1b}".into()];
        let text = explanation(&study, 100);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["fidelity", "of", "glibc@2.36", "recorded", "replayed", "error"]);
        assert_eq!(lines[2].split_whitespace().collect::<Vec<_>>(), ["brk", "2", "3", "+50.0", "%"]);
        assert_eq!(lines[3], "The first is event 7.\u{fffd}");
    }

    #[test]
    fn losses_are_loud() {
        let mut study = study();
        study.recording.lost = vec![crate::study::KindCount { name: "malloc".into(), count: 2 }];
        assert!(terminal(&study, 100).contains("LOST: 2 events were lost"));
    }

    #[test]
    fn an_empty_study_is_no_panic() {
        assert!(terminal(&Study::default(), 0).contains("unknown program"));
    }
}
