//! Whether what really happened lies between the lowest and the highest reading, and how far these are apart.

use super::recording::{Report, high, low};

/// What was found for one column of the tables.
struct Column {
    name: &'static str,
    title: &'static str,
    /// Whether the real value is inside, and the width of the interval as a share of it.
    found: Vec<(bool, f64)>,
}

/// All of a table's rows.
pub(super) struct Intervals([Column; 2]);

const HEADING: &str = "
### Whether the real value lies between the lowest and the highest reading

Of all rows above but those of two runs under the defaults. The width is the share of the real value.

| | rows | real value inside | goal | median width | goal | widest |
|---|---|---|---|---|---|---|
";

impl Intervals {
    /// Nothing yet.
    pub(super) fn new() -> Intervals {
        let column = |name, title| Column { name, title, found: Vec::new() };
        Intervals([column("peak_rss_bytes", "peak RSS"), column("minor_faults", "minor faults")])
    }

    /// What really happened, and what a policy said of it.
    pub(super) fn add(&mut self, real: &Report, replayed: &Report, policy: &str) -> Result<(), String> {
        for column in &mut self.0 {
            let truth = real.cell("measured", column.name)?;
            let bounds = replayed.cell(policy, &low(column.name))?..=replayed.cell(policy, &high(column.name))?;
            column.found.push((bounds.contains(&truth), (bounds.end() - bounds.start()) as f64 / truth.max(1) as f64));
        }
        Ok(())
    }

    /// The table.
    pub(super) fn table(&self) -> String {
        HEADING.to_owned() + &self.0.iter().map(Column::line).collect::<String>()
    }
}

impl Column {
    fn line(&self) -> String {
        let inside = self.found.iter().filter(|(inside, _)| *inside).count();
        let mut widths: Vec<f64> = self.found.iter().map(|(_, width)| width * 100.0).collect();
        widths.sort_by(f64::total_cmp);
        let (median, widest) = (widths[widths.len() / 2], widths[widths.len() - 1]);
        let share = 100.0 * inside as f64 / self.found.len() as f64;
        format!("| {} | {} | {share:.1} % | 95 % | {median:.2} % | 5 % | {widest:.1} % |\n", self.title, self.found.len())
    }
}
