//! Tables and paragraphs for a terminal.

/// Below this a table is not readable; narrower terminals wrap it themselves.
pub(crate) const NARROWEST: usize = 40;
const GAP: &str = "  ";

/// One column: heading, its cells, and how soon it goes when the terminal is narrow (0 stays).
pub(crate) struct Column {
    pub(crate) heading: String,
    pub(crate) cells: Vec<String>,
    pub(crate) dispensable: u8,
}

impl Column {
    fn width(&self) -> usize {
        self.cells.iter().chain([&self.heading]).map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

/// The columns side by side, as many of them as fit; the first is cut where even those that must stay do not.
pub(crate) fn table(mut columns: Vec<Column>, width: usize) -> String {
    while total_width(&columns) > width {
        let least = columns.iter().map(|column| column.dispensable).max().unwrap_or(0);
        if least == 0 {
            break;
        }
        columns.retain(|column| column.dispensable != least);
    }
    let spare = width.saturating_sub(total_width(&columns) - columns[0].width()).max(12);
    for cell in &mut columns[0].cells {
        *cell = cut(cell, spare);
    }
    let rows = (0..columns[0].cells.len()).map(|row| line(&columns, |column| &column.cells[row]));
    std::iter::once(line(&columns, |column| &column.heading)).chain(rows).collect()
}

fn total_width(columns: &[Column]) -> usize {
    columns.iter().map(Column::width).sum::<usize>() + GAP.len() * (columns.len() - 1)
}

pub(crate) fn line(columns: &[Column], cell: impl Fn(&Column) -> &String) -> String {
    let mut out = String::new();
    for (at, column) in columns.iter().enumerate() {
        let (text, width) = (cell(column), column.width());
        match at {
            0 => out += &format!("{text:<width$}"),
            _ => out += &format!("{GAP}{text:>width$}"),
        }
    }
    out.truncate(out.trim_end().len());
    out + "\n"
}

/// Outside text may hold escape sequences that would drive the reader's terminal.
pub(crate) fn printable(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The text, or as much as fits with an ellipsis.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Breaks between words so that no line is longer than `width` unless a single word is.
pub(crate) fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            out.push('\n');
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out += word;
        used += length;
    }
    out.push('\n');
    out
}
