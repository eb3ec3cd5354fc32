//! Small worked examples: `examples.txt`, whose first lines say how they are written.

use super::observed::{Places, Run};
use super::script::{self, Op};

const TEXT: &str = include_str!("examples.txt");

/// An example as it is written.
pub(crate) struct Example {
    pub(crate) name: &'static str,
    lines: Vec<&'static str>,
}

/// All of them.
pub(crate) fn examples() -> Vec<Example> {
    let paragraphs = TEXT.split("\n\n").filter(|paragraph| !paragraph.starts_with('#'));
    let examples = paragraphs.map(|paragraph| {
        let mut lines = paragraph.lines().filter(|line| !line.is_empty());
        Example { name: lines.next().expect("a name"), lines: lines.collect() }
    });
    examples.collect()
}

impl Example {
    /// Up to and including the line `until`, counted from 0: resident pages are those at that point.
    pub(crate) fn script(&self, until: usize) -> Vec<Op> {
        self.lines[..=until].iter().filter(|line| !line.starts_with("resident")).flat_map(|line| operations(line)).collect()
    }

    /// The lines after which something is said about pages, and the last one.
    pub(crate) fn stops(&self) -> Vec<usize> {
        (0..self.lines.len()).filter(|&at| self.lines[at].starts_with("resident") || at + 1 == self.lines.len()).collect()
    }

    /// Compares a run of [`script`](Self::script) with what is written. The error names the first line that differs.
    pub(crate) fn check(&self, until: usize, run: &Run) -> Result<(), String> {
        let (mut places, mut steps) = (Places::new(run.heap), run.steps.iter());
        for (at, line) in self.lines[..=until].iter().enumerate() {
            if let Some(pages) = line.strip_prefix("resident") {
                let expected: Vec<usize> = pages.split_whitespace().map(|page| usize::from_str_radix(page, 16).expect("a page")).collect();
                differs(self.name, line, &expected, &run.resident()).filter(|_| at == until).map_or(Ok(()), Err)?;
                continue;
            }
            let steps: Vec<_> = steps.by_ref().take(operations(line).len()).collect();
            let (mut blocks, mut calls) = (Vec::new(), Vec::new());
            for step in steps {
                calls.extend(step.calls.iter().filter_map(|call| places.show(call)));
                let place = if step.pointer == 0 { "none".to_owned() } else { places.of(step.pointer).to_string() };
                blocks.push((place, step.usable));
            }
            let expected = Expected::of(line);
            if !line.contains("=>") && line.contains("..") {
                continue;
            }
            differs(self.name, line, &expected.calls, &calls).map_or(Ok(()), Err)?;
            for (block, (place, usable)) in expected.blocks.iter().zip(&blocks) {
                differs(self.name, line, &block.0, place).map_or(Ok(()), Err)?;
                block.1.and_then(|expected| differs(self.name, line, &expected, usable)).map_or(Ok(()), Err)?;
            }
        }
        Ok(())
    }
}

fn differs<T: PartialEq + std::fmt::Debug>(name: &str, line: &str, expected: &T, got: &T) -> Option<String> {
    (expected != got).then(|| format!("{name}: `{line}`: expected {expected:x?}, got {got:x?}"))
}

/// What a line expects.
struct Expected {
    /// Place, and usable bytes where a size word is given.
    blocks: Vec<(String, Option<u64>)>,
    calls: Vec<String>,
}

impl Expected {
    fn of(line: &str) -> Expected {
        let (blocks, calls) = line.split_once("=>").map_or("", |(_, expected)| expected).split_once('|').unwrap_or_else(|| {
            let blocks = line.split_once("=>").map_or("", |(_, expected)| expected);
            (blocks, "")
        });
        let calls = calls.split(';').map(|call| call.trim().to_owned()).filter(|call| !call.is_empty());
        Expected { blocks: blocks.split_whitespace().map(block).collect(), calls: calls.collect() }
    }
}

fn block(text: &str) -> (String, Option<u64>) {
    let Some((place, word)) = text.split_once('[') else { return (text.to_owned(), None) };
    let word = u64::from_str_radix(word.trim_end_matches(']'), 16).expect("a size word");
    // A mapped chunk has nobody behind it whose first word it could use.
    let overhead = if word & 2 == 0 { 8 } else { 16 };
    (place.to_owned(), Some((word & !7) - overhead))
}

/// The operations of a line, one for each slot of `a..c` or `0..99`.
fn operations(line: &str) -> Vec<Op> {
    let text = line.split("=>").next().unwrap_or_default().trim();
    let parse = |text: &str| Op::parse(text).unwrap_or_else(|| panic!("`{text}` is no operation"));
    let Some((before, after)) = text.split_once("..") else { return vec![parse(text)] };
    let no_name = |letter: char| !letter.is_ascii_alphanumeric();
    let (start, end) = (before.rfind(no_name).map_or(0, |at| at + 1), after.find(no_name).unwrap_or(after.len()));
    let slot = |name: &str| script::slot(name).unwrap_or_else(|| panic!("`{name}` is no slot"));
    let slots = slot(&before[start..])..=slot(&after[..end]);
    slots.map(|slot| parse(&format!("{}{slot}{}", &before[..start], &after[end..]))).collect()
}
