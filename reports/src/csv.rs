//! Tables as polars frames, and frames as CSV text.

use polars::prelude::{Column as Series, CsvWriter, DataFrame, PolarsResult, SerWriter};

use crate::study::Study;
use crate::tables::{Table, Values};

/// The table as a frame; unknown values are null.
pub fn frame(table: &Table, study: &Study) -> PolarsResult<DataFrame> {
    let columns = table.columns.iter().map(|column| series(column.name, (column.values)(study)));
    DataFrame::new_infer_height(columns.collect())
}

/// The table as CSV with a header; unknown values are empty cells.
pub fn text(table: &Table, study: &Study) -> PolarsResult<Vec<u8>> {
    let mut out = Vec::new();
    CsvWriter::new(&mut out).finish(&mut frame(table, study)?)?;
    Ok(out)
}

fn series(name: &'static str, values: Values) -> Series {
    match values {
        Values::Text(values) => Series::new(name.into(), values),
        Values::Integer(values) => Series::new(name.into(), values),
        Values::Real(values) => Series::new(name.into(), values.into_iter().map(|value| value.map(shortest)).collect::<Vec<_>>()),
    }
}

/// The shortest text that reads back as the same number. A column of reals holds counts beside shares, and a count must look like one:
/// polars would write `151552.0`.
fn shortest(value: f64) -> String {
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::{FidelityRow, LifetimeRow, PolicyResult};
    use crate::tables::table;

    fn lines(name: &str, study: &Study) -> Vec<String> {
        let bytes = text(table(name).unwrap(), study).unwrap();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn unknown_is_an_empty_cell_and_zero_is_not() {
        let study = Study {
            policies: vec![PolicyResult {
                policy: "measured".into(),
                source: "measured".into(),
                major_faults: Some(0),
                ..Default::default()
            }],
            lifetimes: vec![LifetimeRow { from_ns: 0, to_ns: None, count: 1, total_bytes: 2 }],
            ..Default::default()
        };
        assert_eq!(lines("summary", &study)[1], "measured,measured,,,,,,,,,,,0,,,,,,,");
        assert_eq!(lines("lifetimes", &study)[1], "0,,1,2");
    }

    #[test]
    fn numbers_keep_every_digit() {
        let row = |recorded, replayed, error| FidelityRow { metric: "minor_faults".into(), recorded, replayed, error };
        let study = Study {
            policies: vec![PolicyResult {
                policy: "p".into(),
                source: "simulated".into(),
                peak_rss_bytes: Some(u64::MAX),
                ..Default::default()
            }],
            fidelity: vec![row(Some(151_552.0), Some(0.1 + 0.2), Some(f64::NAN))],
            ..Default::default()
        };
        assert!(lines("summary", &study)[1].starts_with(&format!("p,simulated,{},", u64::MAX)));
        let cells: Vec<_> = lines("fidelity", &study)[1].split(',').map(str::to_owned).collect();
        assert_eq!(cells, ["minor_faults", "151552", "0.30000000000000004", ""]);
        assert_eq!(cells[2].parse::<f64>(), Ok(0.1 + 0.2));
    }

    #[test]
    fn a_spec_with_commas_stays_one_cell() {
        let policy = "glibc:arena_max=2,trim_threshold=64K";
        let study = Study { policies: vec![PolicyResult { policy: policy.into(), ..Default::default() }], ..Default::default() };
        assert!(lines("summary", &study)[1].starts_with(&format!("\"{policy}\",")));
    }

    #[test]
    fn an_empty_study_has_headers() {
        for table in crate::tables::TABLES {
            assert_eq!(lines(table.name, &Study::default()).len(), 1, "{}", table.name);
        }
    }
}
