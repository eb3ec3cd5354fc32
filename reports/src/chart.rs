//! What the page's script needs to draw: the tables' columns, packed, and one line style per policy.

use serde::Serialize;

use crate::reading;
use crate::study::{AddressMap, PolicyResult, Study};
use crate::tables::{TABLES, Unit, Values};
use crate::words;

/// Hues of the palette in `page/base.css`; hue 0 is the text colour, kept for the two rows that are no model.
const HUES: usize = 7;
/// Dash patterns in CSS pixels; the first is a solid line. Seven hues times four dashes keep 28 models apart.
const DASHES: [&[u8]; 4] = [&[], &[8, 4], &[2, 3], &[10, 3, 2, 3]];

/// How a policy's line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Style {
    /// Index into the page's palette.
    pub hue: usize,
    /// Dash pattern; empty is solid.
    pub dash: &'static [u8],
    /// Width in tenths of a CSS pixel.
    pub tenths: u8,
}

/// A style per policy, in their order. `measured` is a broad line under all others, `recorded` a dashed one on top of it.
pub fn styles(study: &Study) -> Vec<Style> {
    let mut models = 0;
    let style = |name: &str| match name {
        "measured" => Style { hue: 0, dash: DASHES[0], tenths: 30 },
        "recorded" => Style { hue: 0, dash: &[4, 4], tenths: 15 },
        _ => {
            models += 1;
            model_style(models - 1)
        }
    };
    study.policies.iter().map(|policy| policy.policy.as_str()).map(style).collect()
}

fn model_style(model: usize) -> Style {
    Style { hue: 1 + model % HUES, dash: DASHES[model / HUES % DASHES.len()], tenths: 18 }
}

/// The `<script type="application/json">` of the page: safe to stand inside a script element.
pub fn data(study: &Study) -> serde_json::Result<String> {
    let tables = TABLES.iter().map(|table| PackedTable {
        name: table.name,
        columns: table.columns.iter().map(|column| PackedColumn::of(column.name, (column.values)(study))).collect(),
    });
    let page = Page { tables: tables.collect(), series: series(study), metrics: &METRICS, maps: maps(study) };
    Ok(inert(&serde_json::to_string(&page)?))
}

/// JSON that no HTML or old JavaScript parser can take for anything else: an element's end or a comment both begin with `<`.
fn inert(json: &str) -> String {
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

#[derive(Serialize)]
struct Page<'a> {
    tables: Vec<PackedTable>,
    series: Vec<Series>,
    metrics: &'a [Metric],
    maps: Vec<Map<'a>>,
}

/// The address space under a policy.
#[derive(Serialize)]
struct Map<'a> {
    policy: String,
    #[serde(flatten)]
    map: &'a AddressMap,
}

fn maps(study: &Study) -> Vec<Map<'_>> {
    study.policies.iter().filter_map(|policy| Some(Map { policy: reading::name(policy), map: policy.map.as_ref()? })).collect()
}

#[derive(Serialize)]
struct PackedTable {
    name: &'static str,
    columns: Vec<PackedColumn>,
}

#[derive(Serialize)]
struct PackedColumn {
    name: &'static str,
    /// What whole numbers are multiples of: bytes mostly count pages.
    #[serde(skip_serializing_if = "is_one")]
    unit: u64,
    #[serde(flatten)]
    values: Packed,
}

impl PackedColumn {
    fn of(name: &'static str, values: Values) -> PackedColumn {
        let unit = match &values {
            Values::Integer(values) => values.iter().flatten().fold(0, |unit, &value| common_divisor(unit, value)).max(1),
            _ => 1,
        };
        PackedColumn { name, unit, values: pack(values, unit) }
    }
}

fn is_one(unit: &u64) -> bool {
    *unit == 1
}

fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A column in few bytes: twenty curves of thousands of points must stay within a few megabytes.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Packed {
    /// `[text, how often]` in a row.
    Runs(Vec<(String, usize)>),
    /// Each whole number, in units of the column, as the difference to the known one before it; unknown is null.
    Deltas(Vec<Option<i64>>),
    /// That many unknowns.
    Unknown(usize),
    /// Plain numbers.
    Reals(Vec<Option<f64>>),
}

fn pack(values: Values, unit: u64) -> Packed {
    match values {
        Values::Text(values) => Packed::Runs(runs(values)),
        Values::Integer(values) if values.iter().all(Option::is_none) => Packed::Unknown(values.len()),
        Values::Integer(values) => Packed::Deltas(deltas(&values, unit)),
        Values::Real(values) => Packed::Reals(values),
    }
}

fn runs(values: Vec<String>) -> Vec<(String, usize)> {
    let mut runs: Vec<(String, usize)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((text, times)) if *text == value => *times += 1,
            _ => runs.push((value, 1)),
        }
    }
    runs
}

fn deltas(values: &[Option<u64>], unit: u64) -> Vec<Option<i64>> {
    let mut before = 0u64;
    let mut step = |value: u64| value.wrapping_sub(std::mem::replace(&mut before, value)) as i64;
    values.iter().map(|value| value.map(|value| step(value / unit))).collect()
}

/// A policy's rows of the table `timeline`.
#[derive(Serialize)]
struct Series {
    label: String,
    start: usize,
    length: usize,
    #[serde(flatten)]
    style: Style,
}

/// A bound this many times as high as all that somebody can have would press their curves flat.
const FLATTENS: u64 = 2;

/// Whether each policy's curve is to be seen at first. Bounds for comparison that would press the others flat wait in the legend.
pub fn shown(study: &Study) -> Vec<bool> {
    let is_bound = |row: &PolicyResult| reading::is_bound(study, row);
    let others = study.policies.iter().filter(|row| !is_bound(row)).filter_map(|row| row.peak_rss_bytes).max();
    let fits = |row: &PolicyResult| row.peak_rss_bytes.zip(others).is_none_or(|(peak, others)| peak <= others.saturating_mul(FLATTENS));
    study.policies.iter().map(|row| !is_bound(row) || fits(row)).collect()
}

fn series(study: &Study) -> Vec<Series> {
    let mut start = 0;
    let series = study.policies.iter().zip(styles(study)).map(|(policy, style)| {
        let series = Series { label: reading::name(policy), start, length: policy.timeline.len(), style };
        start += series.length;
        series
    });
    series.collect()
}

/// What the chart can show over time.
#[derive(Clone, Copy, Serialize)]
pub struct Metric {
    /// Column of the table `timeline`.
    pub column: &'static str,
    /// Heading for people.
    pub label: &'static str,
    /// Whether it counts bytes.
    pub bytes: bool,
}

const fn metric(column: &'static str, label: &'static str, unit: Unit) -> Metric {
    Metric { column, label, bytes: matches!(unit, Unit::Bytes) }
}

/// The chart's choices; the first is shown at the start.
pub const METRICS: [Metric; 5] = [
    metric("rss_bytes", "Resident", Unit::Bytes),
    metric("live_bytes", "Live", Unit::Bytes),
    metric("mapped_bytes", "Mapped", Unit::Bytes),
    metric("minor_faults", "Minor faults", Unit::Count),
    metric("returned_bytes", "Returned", Unit::Bytes),
];

/// The chart of resident memory in a sentence, for those who cannot see it.
pub fn summary(study: &Study) -> String {
    let peaks: Vec<_> =
        study.policies.iter().filter_map(|policy| Some(format!("{} {}", policy.policy, words::bytes(policy.peak_rss_bytes?)))).collect();
    let what = format!("Resident memory of {} over {}", reading::program(study), words::duration(study.recording.duration_ns));
    if peaks.is_empty() { format!("{what}; no peak is known.") } else { format!("{what}. Peaks: {}.", peaks.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::TimePoint;

    fn named(names: &[String]) -> Study {
        let policies = names.iter().map(|name| PolicyResult { policy: name.clone(), ..Default::default() });
        Study { policies: policies.collect(), ..Default::default() }
    }

    #[test]
    fn twenty_eight_models_look_different() {
        let names: Vec<_> =
            ["measured".to_owned(), "recorded".to_owned()].into_iter().chain((0..28).map(|i| format!("model{i}"))).collect();
        let styles = styles(&named(&names));
        for (at, style) in styles.iter().enumerate() {
            assert!(!styles[..at].contains(style), "{at}");
        }
    }

    #[test]
    fn packed_numbers_unpack_to_the_same() {
        let values = [Some(5), None, Some(3), Some(u64::MAX), Some(0)];
        let mut sum = 0u64;
        let unpacked: Vec<_> = deltas(&values, 1)
            .into_iter()
            .map(|delta| {
                delta.map(|delta| {
                    sum = sum.wrapping_add(delta as u64);
                    sum
                })
            })
            .collect();
        assert_eq!(unpacked, values);
        assert_eq!(runs(["a", "a", "b", "a"].map(str::to_owned).to_vec()), [("a".into(), 2), ("b".into(), 1), ("a".into(), 1)]);
    }

    #[test]
    fn bounds_that_flatten_the_others_wait() {
        let mut study = named(&["measured", "jemalloc", "mmap-only", "brk-only"].map(str::to_owned));
        for (row, peak) in study.policies.iter_mut().zip([50, 60, 121, 120]) {
            (row.source, row.peak_rss_bytes) = ("simulated".into(), Some(peak));
        }
        study.policies[1].paste = Some(crate::study::Paste::default());
        assert_eq!(shown(&study), [true, true, false, true]);
    }

    #[test]
    fn series_point_at_their_rows() {
        let mut study = named(&["measured".into(), "glibc".into()]);
        study.policies[0].timeline = vec![TimePoint::default(); 3];
        study.policies[1].timeline = vec![TimePoint::default(); 2];
        let places: Vec<_> = series(&study).iter().map(|series| (series.start, series.length)).collect();
        assert_eq!(places, [(0, 3), (3, 2)]);
    }

    #[test]
    fn data_cannot_leave_its_element() {
        let text = data(&named(&["</script><script>alert(1)</script><!--\u{2028}".into()])).unwrap();
        assert!(!text.contains('<') && !text.contains('\u{2028}'), "{text}");
        let back: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["series"][0]["label"], "</script><script>alert(1)</script><!--\u{2028}");
    }

    #[test]
    fn every_metric_is_a_column_of_the_timeline() {
        for metric in METRICS {
            let column = crate::tables::table("timeline").unwrap().column(metric.column).unwrap();
            assert_eq!(metric.bytes, column.unit == Unit::Bytes);
        }
    }
}
