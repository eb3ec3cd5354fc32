//! A script under a real libc and under the model of its version; where they differ, the smallest script that shows it.

use super::play::model;
use super::real::{Libc, environment};
use super::replayed::{Difference, compare};
use super::script::Op;
use super::shrink::{possible, shrink};
use super::workload::{Shape, script};
use std::ops::Range;

pub(crate) type Values = &'static [(&'static str, i64)];

/// `DIFFERENTIAL_SEEDS=100-200` asks for others than usual.
pub(crate) fn seeds(usual: u64) -> Range<u64> {
    let text = std::env::var("DIFFERENTIAL_SEEDS").unwrap_or_default();
    let given = text.split_once('-').and_then(|(first, last)| Some(first.parse().ok()?..last.parse().ok()?));
    given.unwrap_or(1..1 + usual)
}

pub(crate) fn installed() -> Option<Libc> {
    Libc::installed().map_err(|reason| println!("skipped: {reason}")).ok()
}

/// Runs one script here and there; a difference is shrunk and told.
pub(crate) fn check(libc: &Libc, values: &[(&str, i64)], variables: &[(String, String)], script: &[Op]) -> Result<(), String> {
    explain(&format!("{variables:?}"), script, |ops| {
        compare(model(&libc.version, values, libc.cpus), ops, &libc.run(variables, ops), libc.thp)
    })
}

/// Compares; a difference is shrunk and told, with what it was found under.
pub(crate) fn explain(under: &str, script: &[Op], compared: impl Fn(&[Op]) -> Result<(), Difference>) -> Result<(), String> {
    let Err(first) = compared(script) else { return Ok(()) };
    let failing = possible(&script[..=first.at]);
    // To shrink what does not show again would take long and lead nowhere.
    if compared(&failing).is_ok() {
        return Err(format!("{under}: operation {}, {}, but not every time", first.at, first.what));
    }
    let small = shrink(&failing, |ops| compared(ops).is_err());
    let Err(Difference { at, what }) = compared(&small) else {
        return Err(format!("{under}: {}, but not every time", first.what));
    };
    let lines: Vec<String> = small.iter().map(ToString::to_string).collect();
    Err(format!("{under}: operation {at} of\n    {}\n  {what}", lines.join("\n    ")))
}

pub(crate) fn all(libc: &Libc, usual: u64, shape: Shape, settings: &[Values]) {
    let mut wrong = Vec::new();
    for values in settings {
        let outcome = seeds(usual).find_map(|seed| {
            let error = check(libc, values, &environment(values), &script(seed, shape)).err()?;
            Some(format!("seed {seed}, {error}"))
        });
        wrong.extend(outcome);
    }
    assert!(wrong.is_empty(), "{} of {} settings differ:\n{}", wrong.len(), settings.len(), wrong.join("\n"));
}
