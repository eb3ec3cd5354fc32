//! Numbers of several rounds, and tables of them.

use std::fmt::Write;

/// A table in markdown.
pub(super) struct Table {
    text: String,
}

impl Table {
    pub(super) fn new(head: &[&str]) -> Table {
        let line = vec!["---"; head.len()];
        Table { text: format!("| {} |\n|{}|\n", head.join(" | "), line.join("|")) }
    }

    pub(super) fn row(&mut self, cells: &[String]) {
        let _ = writeln!(self.text, "| {} |", cells.join(" | "));
    }

    pub(super) fn text(self) -> String {
        self.text
    }
}

/// The middle value; of an even number the higher of the two.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Where the median lies with a probability of 95 %: drawn a thousand times from the values themselves, always in the same way.
pub(super) fn spread(values: &[f64]) -> (f64, f64) {
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = || {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        values[(dice % values.len() as u64) as usize]
    };
    let mut medians: Vec<f64> = (0..1000).map(|_| median(&values.iter().map(|_| draw()).collect::<Vec<_>>())).collect();
    medians.sort_by(f64::total_cmp);
    (medians[25], medians[974])
}

/// Microseconds of nanoseconds: median and extremes.
pub(super) fn micros(ns: &[f64]) -> String {
    let (low, high) = ns.iter().fold((f64::MAX, f64::MIN), |(low, high), &value| (low.min(value), high.max(value)));
    format!("{:.3} µs ({:.3} to {:.3})", median(ns) / 1e3, low / 1e3, high / 1e3)
}

/// A change in percent, from a ratio.
pub(super) fn percent(ratio: f64) -> String {
    format!("{:+.2} %", (ratio - 1.0) * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_value_counts_and_the_extremes_are_shown() {
        assert_eq!(median(&[9.0, 1.0, 5.0]), 5.0);
        assert_eq!(micros(&[2164.0, 2999.0, 2000.0]), "2.164 µs (2.000 to 2.999)");
    }

    #[test]
    fn the_spread_lies_around_the_median_and_is_none_where_all_agree() {
        let values: Vec<f64> = (0..41).map(f64::from).collect();
        let (low, high) = spread(&values);
        assert!(10.0 < low && low < 20.0 && 20.0 < high && high < 30.0, "{low} {high}");
        assert_eq!(spread(&[3.0; 9]), (3.0, 3.0));
    }

    #[test]
    fn tables_are_markdown() {
        let mut table = Table::new(&["a", "b"]);
        table.row(&["1".into(), "2".into()]);
        assert_eq!(table.text(), "| a | b |\n|---|---|\n| 1 | 2 |\n");
    }
}
