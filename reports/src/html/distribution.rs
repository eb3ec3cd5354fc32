//! Sizes and lifetimes: small bar charts over a table.

use crate::study::{LifetimeRow, Study};
use crate::tables::{self, Unit};
use crate::words;

use super::Cell;
use super::summary::Heading;

/// At most this many labels stand under a chart; more would collide on a phone.
const LABELS: usize = 6;

/// A distribution: charts and the table behind them.
pub(super) struct Distribution {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) doc: &'static str,
    pub(super) class_heading: &'static str,
    pub(super) charts: Vec<Chart>,
    pub(super) headings: Vec<Heading>,
    pub(super) rows: Vec<(String, Vec<Cell>)>,
}

/// Lowest bar of a class that is not empty, in percent: few must not look like none.
const VISIBLE: f64 = 1.0;

/// One bar chart.
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) summary: String,
    pub(super) bars: Vec<Bar>,
    pub(super) labels: Vec<Label>,
}

/// A bar; its height is in percent of the highest.
pub(super) struct Bar {
    pub(super) height: String,
    pub(super) tip: String,
}

/// A class's name under the chart: the first grid column that it spans, and how many.
pub(super) struct Label {
    pub(super) column: usize,
    pub(super) span: usize,
    /// Whether it is the last and has less room than the others.
    pub(super) ends: bool,
    pub(super) text: String,
}

/// A class: short name for the axis, full name, its values in the order of the headings.
struct Class {
    short: String,
    full: String,
    values: Vec<u64>,
}

pub(super) fn all(study: &Study) -> Vec<Distribution> {
    vec![sizes(study), lifetimes(study)]
}

fn sizes(study: &Study) -> Distribution {
    let classes = study.sizes.iter().map(|row| Class {
        short: words::round_bytes(row.from_bytes),
        full: if row.from_bytes == row.to_bytes {
            format!("{} B", words::count(row.from_bytes))
        } else {
            format!("{}–{} B", words::count(row.from_bytes), words::count(row.to_bytes))
        },
        values: vec![row.count, row.total_bytes, row.live_at_peak_bytes, row.live_at_end_bytes, row.temporary],
    });
    build("sizes", "Size", &["count", "total_bytes", "live_at_peak_bytes", "live_at_end_bytes", "temporary"], &[0, 2], classes.collect())
}

fn lifetimes(study: &Study) -> Distribution {
    let classes = study.lifetimes.iter().map(|row| {
        let (short, full) = lifetime(row);
        Class { short, full, values: vec![row.count, row.total_bytes] }
    });
    build("lifetimes", "Lifetime", &["count", "total_bytes"], &[0, 1], classes.collect())
}

fn lifetime(row: &LifetimeRow) -> (String, String) {
    let from = words::round_duration(row.from_ns);
    match row.to_ns {
        None => ("never".into(), "never freed".into()),
        Some(to) => (from.clone(), format!("{from} to {}", words::round_duration(to))),
    }
}

fn build(name: &'static str, class_heading: &'static str, columns: &[&str], charted: &[usize], classes: Vec<Class>) -> Distribution {
    let table = tables::table(name);
    let declared: Vec<_> = columns.iter().filter_map(|column| table?.column(column)).collect();
    let chart = |at: &usize| declared.get(*at).map(|column| chart(column.label, column.unit, &classes, *at));
    let cells = |class: &Class| class.values.iter().zip(&declared).map(|(value, column)| Cell::of(Some(*value), column.unit)).collect();
    Distribution {
        name,
        title: table.map_or(name, |table| table.title),
        doc: table.map_or("", |table| table.doc),
        class_heading,
        charts: charted.iter().filter_map(chart).collect(),
        headings: declared.iter().map(|column| Heading { label: column.label, doc: column.doc }).collect(),
        rows: classes.iter().map(|class| (class.full.clone(), cells(class))).collect(),
    }
}

fn chart(title: &'static str, unit: Unit, classes: &[Class], at: usize) -> Chart {
    let highest = classes.iter().map(|class| class.values[at]).max().unwrap_or(0).max(1);
    let shown = |value: u64| Cell::of(Some(value), unit).text;
    let bars = classes
        .iter()
        .map(|class| Bar { height: height(class.values[at], highest), tip: format!("{}: {}", class.full, shown(class.values[at])) });
    Chart { title, summary: summary(title, classes, at, shown), bars: bars.collect(), labels: labels(classes) }
}

fn height(value: u64, highest: u64) -> String {
    let percent = 100.0 * value as f64 / highest as f64;
    format!("{:.2}", if value > 0 { percent.max(VISIBLE) } else { 0.0 })
}

fn summary(title: &str, classes: &[Class], at: usize, shown: impl Fn(u64) -> String) -> String {
    let largest = classes.iter().max_by_key(|class| class.values[at]);
    match largest {
        Some(class) => format!("{title} in {} classes; most in {}: {}.", classes.len(), class.full, shown(class.values[at])),
        None => format!("{title}: nothing recorded."),
    }
}

fn labels(classes: &[Class]) -> Vec<Label> {
    let step = classes.len().div_ceil(LABELS).max(1);
    let label = |(at, class): (usize, &Class)| Label {
        column: at + 1,
        span: step.min(classes.len() - at),
        ends: at + step > classes.len(),
        text: class.short.clone(),
    };
    classes.iter().enumerate().step_by(step).map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::SizeRow;

    #[test]
    fn labels_stay_few_and_inside() {
        for n in [0, 1, 5, 7, 80] {
            let classes: Vec<_> = (0..n).map(|i| Class { short: i.to_string(), full: i.to_string(), values: vec![i] }).collect();
            let labels = labels(&classes);
            assert!(labels.len() <= LABELS);
            assert!(labels.iter().all(|label| label.column + label.span <= n as usize + 1), "{n}");
        }
    }

    #[test]
    fn few_do_not_look_like_none() {
        assert_eq!([0, 1, 500, 1000].map(|value| height(value, 1000)), ["0.00", "1.00", "50.00", "100.00"]);
    }

    #[test]
    fn the_highest_bar_is_full() {
        let row = |count| SizeRow { from_bytes: 1, to_bytes: 8, count, total_bytes: count, ..SizeRow::default() };
        let study = Study { sizes: vec![row(5), row(20)], ..Default::default() };
        let heights: Vec<_> = sizes(&study).charts[0].bars.iter().map(|bar| bar.height.clone()).collect();
        assert_eq!(heights, ["25.00", "100.00"]);
    }
}
