//! All tests of the host, and in the end what was run and what was not.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::command;

/// What the test programs reported.
#[derive(Debug, Default, PartialEq, Eq)]
struct Summary {
    passed: u64,
    failed: u64,
    /// Tests that could not run here, each with its reason.
    skipped: Vec<String>,
}

impl Summary {
    fn read(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += count(result, "passed");
            self.failed += count(result, "failed");
        } else if line.starts_with("skipped: ") {
            self.skipped.push(line.to_string());
        }
    }

    fn print(&self) {
        println!("\n{} passed, {} failed, {} of the passed skipped themselves", self.passed, self.failed, self.skipped.len());
        self.skipped.iter().for_each(|reason| println!("  {reason}"));
    }
}

/// The number before `word`, as in `12 passed; 0 failed`.
fn count(result: &str, word: &str) -> u64 {
    let words: Vec<&str> = result.split([' ', ';']).collect();
    words.windows(2).find(|pair| pair[1] == word).and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

/// Runs the tests, or those whose names contain `filter`.
pub(crate) fn run(filter: &[&str]) -> Result<(), String> {
    let mut command = command::cargo("test --workspace --no-fail-fast --locked --");
    // A test that skips itself passes, and the output of those that pass is hidden unless asked for.
    command.arg("--show-output").args(filter);
    let (summary, passed) = watch(&mut command)?;
    summary.print();
    if passed && summary.failed == 0 { Ok(()) } else { Err(format!("{} tests failed", summary.failed)) }
}

fn watch(command: &mut Command) -> Result<(Summary, bool), String> {
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| format!("cannot run cargo: {error}"))?;
    let mut summary = Summary::default();
    for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).split(b'\n')) {
        let line = line.map_err(|error| error.to_string())?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        summary.read(&line);
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    Ok((summary, status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up() {
        let mut summary = Summary::default();
        let lines = [
            "running 3 tests",
            "test result: ok. 31 passed; 0 failed; 0 ignored; 0 measured; 5 filtered out; finished in 3.92s",
            "skipped: no root",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
        ];
        lines.iter().for_each(|line| summary.read(line));
        assert_eq!(summary, Summary { passed: 33, failed: 1, skipped: vec!["skipped: no root".into()] });
    }
}
