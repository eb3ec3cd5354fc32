//! The page: one file, nothing from outside, readable without its script. Everything that came from the outside is escaped by the template.

mod assets;
mod callsites;
mod distribution;
mod held;
mod memory;
mod pins;
mod summary;
mod threads;
mod trust;

use askama::Template;

use crate::answer::Answer;
use crate::chart;
use crate::reading::{self, Grade, SelfCheck};
use crate::study::{KindCount, Study};
use crate::tables::{self, TABLES, Unit};
use crate::words::{self, UNKNOWN};
use distribution::Distribution;
use summary::{Legend, Summary};

/// The whole page as HTML text.
pub fn page(study: &Study) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let data = chart::data(study)?;
    Ok(Page::of(study, data).render()?)
}

#[derive(Template)]
#[template(path = "page/page.html")]
struct Page<'a> {
    data: String,
    version: &'a str,
    program: &'a str,
    command: String,
    subtitle: String,
    check: Check,
    explanation: &'a [String],
    trust: trust::Trust,
    losses: Option<String>,
    notes: Vec<String>,
    answer: Answer,
    chart_summary: String,
    metrics: &'static [chart::Metric],
    legend: Vec<Legend>,
    /// Whether curves are hidden at first.
    some_wait: bool,
    summary: Summary,
    fidelity: Vec<FidelityView<'a>>,
    memory: Vec<memory::Row>,
    memory_parts: Vec<memory::Part>,
    pins: Vec<pins::Model>,
    has_maps: bool,
    held: Vec<held::Row>,
    threads: threads::Threads,
    callsites: callsites::CallSites,
    distributions: Vec<Distribution>,
    facts: Vec<Fact>,
    counts: Vec<Counts<'a>>,
    processes: Vec<ProcessView<'a>>,
    glossary: Vec<Section>,
}

/// A value as shown, with the exact one for the tool tip.
#[derive(Clone, Default)]
struct Cell {
    text: String,
    exact: String,
    /// Difference to the baseline, and the class that colours it.
    delta: Option<(String, &'static str)>,
    /// Low to high, where they differ.
    range: Option<String>,
}

impl Cell {
    fn plain(text: String) -> Self {
        Cell { text, ..Default::default() }
    }

    fn of(value: Option<u64>, unit: Unit) -> Self {
        let Some(value) = value else { return Cell::plain(UNKNOWN.into()) };
        match unit {
            Unit::Bytes => Cell { text: words::bytes(value), exact: format!("{} bytes", words::count(value)), ..Default::default() },
            Unit::Nanos => Cell { text: words::duration(value), exact: format!("{} ns", words::count(value)), ..Default::default() },
            _ => Cell::plain(words::count(value)),
        }
    }
}

struct Check {
    class: &'static str,
    headline: &'static str,
    sentence: String,
}

impl Check {
    fn of(check: &SelfCheck) -> Self {
        let class = match check.grade() {
            Grade::Agrees => "good",
            Grade::Off => "fair",
            Grade::FarOff => "poor",
            Grade::Unknown => "unknown",
        };
        Check { class, headline: check.headline(), sentence: unbroken(&check.sentence()) }
    }
}

/// Keeps a percent sign on the line of its number.
fn unbroken(text: &str) -> String {
    text.replace(" %", "\u{a0}%")
}

struct FidelityView<'a> {
    label: &'a str,
    doc: &'static str,
    recorded: Cell,
    replayed: Cell,
    error: String,
}

fn fidelity(study: &Study) -> Vec<FidelityView<'_>> {
    study
        .fidelity
        .iter()
        .map(|row| {
            let (label, unit, doc) = tables::metric(&row.metric);
            let error = row.error.map_or(UNKNOWN.into(), words::percent);
            FidelityView { label, doc, recorded: real(row.recorded, unit), replayed: real(row.replayed, unit), error }
        })
        .collect()
}

fn real(value: Option<f64>, unit: Unit) -> Cell {
    match (value, unit) {
        (None, _) => Cell::plain(UNKNOWN.into()),
        (Some(value), Unit::Share) => Cell { text: words::share(value), exact: value.to_string(), ..Default::default() },
        (Some(value), Unit::Bytes | Unit::Count) if value >= 0.0 => Cell::of(Some(value.round() as u64), unit),
        (Some(value), _) => Cell::plain(words::number(value)),
    }
}

struct Fact {
    label: &'static str,
    value: String,
}

fn facts(study: &Study) -> Vec<Fact> {
    let recording = &study.recording;
    let text = |value: &str| if value.is_empty() { UNKNOWN.to_owned() } else { value.to_owned() };
    let known = |value: u64, shown: String| if value == 0 { UNKNOWN.to_owned() } else { shown };
    let pairs = [
        ("Executable", text(&recording.exe)),
        ("Process", known(recording.pid.into(), recording.pid.to_string())),
        ("Mode", text(&recording.mode)),
        ("Began", known(recording.started_unix_s, words::utc(recording.started_unix_s))),
        ("Length", words::duration(recording.duration_ns)),
        ("Ending", text(&recording.ending)),
        ("Allocators", allocators(study)),
        ("Kernel", text(&recording.kernel)),
        ("Architecture", text(&recording.arch)),
        ("Online CPUs", known(recording.cpus.into(), recording.cpus.to_string())),
        ("Huge pages", text(&recording.thp)),
        ("Kernel settings", recording.kernel_settings.join(", ")),
    ];
    pairs.into_iter().filter(|(_, value)| !value.is_empty()).map(|(label, value)| Fact { label, value }).collect()
}

fn allocators(study: &Study) -> String {
    let found = study.recording.allocators.iter().map(|found| match &found.version {
        Some(version) => format!("{} {version} ({})", found.name, found.path),
        None => format!("{} ({})", found.name, found.path),
    });
    let found: Vec<_> = found.collect();
    if found.is_empty() { "none found".into() } else { found.join(", ") }
}

/// Counts per kind under a heading.
struct Counts<'a> {
    title: &'static str,
    none: &'static str,
    total: String,
    rows: Vec<(&'a str, String)>,
}

impl<'a> Counts<'a> {
    fn of(title: &'static str, none: &'static str, counts: &'a [KindCount]) -> Self {
        let rows = counts.iter().filter(|kind| kind.count > 0).map(|kind| (kind.name.as_str(), words::count(kind.count)));
        Counts { title, none, total: words::count(reading::total(counts)), rows: rows.collect() }
    }
}

struct ProcessView<'a> {
    id: u32,
    pid: u32,
    exe: &'a str,
    heap_calls: String,
    peak: Cell,
    selected: bool,
}

fn processes(study: &Study) -> Vec<ProcessView<'_>> {
    let rows = study.recording.processes.iter().map(|row| ProcessView {
        id: row.id,
        pid: row.pid,
        exe: &row.exe,
        heap_calls: words::count(row.heap_calls),
        peak: Cell::of(row.peak_rss_bytes, Unit::Bytes),
        selected: row.selected,
    });
    rows.collect()
}

/// A table's part of the glossary.
struct Section {
    title: &'static str,
    doc: &'static str,
    entries: Vec<Entry>,
}

struct Entry {
    name: &'static str,
    label: &'static str,
    unit: &'static str,
    doc: &'static str,
}

fn glossary() -> Vec<Section> {
    let sections = TABLES.iter().map(|table| {
        let entry = |(name, label, unit, doc): (_, _, Unit, _)| Entry { name, label, unit: unit.name(), doc };
        let columns = table.columns.iter().map(|column| (column.name, column.label, column.unit, column.doc));
        let own = tables::own_metrics().filter(|_| table.name == "fidelity");
        Section { title: table.title, doc: table.doc, entries: columns.chain(own).map(entry).collect() }
    });
    sections.collect()
}

impl<'a> Page<'a> {
    fn of(study: &'a Study, data: String) -> Self {
        let check = SelfCheck::of(study);
        let recording = &study.recording;
        Page {
            data,
            version: &study.heapcast,
            program: reading::program(study),
            command: recording.command.join(" "),
            subtitle: subtitle(study),
            check: Check::of(&check),
            explanation: &study.explanation,
            trust: trust::Trust::of(study),
            losses: reading::losses(study),
            notes: recording.notes.iter().map(|note| unbroken(note)).collect(),
            answer: Answer::of(study),
            chart_summary: chart::summary(study),
            metrics: &chart::METRICS,
            legend: summary::legend(study),
            some_wait: chart::shown(study).contains(&false),
            summary: Summary::of(study, &check),
            fidelity: fidelity(study),
            memory: memory::rows(study),
            memory_parts: memory::parts(study),
            pins: pins::models(study),
            has_maps: study.policies.iter().any(|policy| policy.map.is_some()),
            held: held::rows(study),
            threads: threads::Threads::of(study),
            callsites: callsites::CallSites::of(study),
            distributions: distribution::all(study),
            facts: facts(study),
            counts: vec![
                Counts::of("Events", "none recorded", &recording.events),
                Counts::of("Lost", "none lost", &recording.lost),
                Counts::of("Set aside", "none set aside", &recording.set_aside),
            ],
            processes: processes(study),
            glossary: glossary(),
        }
    }
}

/// When, how long, and on what machine; unknown parts are left out here because the facts below show them as unknown.
fn subtitle(study: &Study) -> String {
    let recording = &study.recording;
    let mut parts = Vec::new();
    if recording.started_unix_s > 0 {
        parts.push(words::utc(recording.started_unix_s));
    }
    parts.push(words::duration(recording.duration_ns));
    if !recording.ending.is_empty() {
        parts.push(recording.ending.clone());
    }
    if !recording.kernel.is_empty() {
        parts.push(format!("Linux {}", recording.kernel));
    }
    if recording.cpus > 0 {
        parts.push(words::plural(recording.cpus.into(), "CPU", "CPUs"));
    }
    parts.join(" · ")
}
