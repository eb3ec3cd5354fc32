//! What the real allocator was seen to do, asked of the model: worked examples, long random workloads, other versions, one secondary arena,
//! settings. `tests/differential` asks the same of the allocator that is installed.

mod examples;
mod logged;
mod observed;
mod play;
mod tables;

use crate::model::workloads::{profiles, script};
use play::model;
use profiles::operations;
use tables::{ARENAS, MAIN, OTHERS, SETTINGS, SETTINGS_SEED};

/// Everything that is wrong, not only the first.
#[track_caller]
fn none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn worked_examples() {
    let mut wrong = Vec::new();
    for example in examples::examples() {
        for stop in example.stops() {
            let run = logged::run(model("2.36", &[], 1), &example.script(stop));
            wrong.extend(example.check(stop, &run).err());
        }
    }
    none(wrong);
}

#[test]
fn random_workloads() {
    let mut wrong = Vec::new();
    for row in &MAIN {
        let script = operations(row.profile, row.seed);
        wrong.extend(row.check(&script, &logged::run(model("2.36", &[], 1), &script)).err());
    }
    none(wrong);
}

#[test]
fn versions_that_agree() {
    let mut wrong = Vec::new();
    for (version, row) in
        ["2.31", "2.35"].into_iter().flat_map(|version| MAIN.iter().map(move |row| (version, row))).filter(|(_, row)| row.seed == 1)
    {
        let script = operations(row.profile, row.seed);
        wrong.extend(row.check(&script, &logged::run(model(version, &[], 1), &script)).err().map(|error| format!("{version}: {error}")));
    }
    none(wrong);
}

#[test]
fn versions_that_differ() {
    let mut wrong = Vec::new();
    for row in &OTHERS {
        let script = operations(row.profile, 1);
        wrong.extend(row.check(&script, &logged::run(model(row.version, &[], 1), &script)).err());
    }
    none(wrong);
}

#[test]
fn one_secondary_arena() {
    let mut wrong = Vec::new();
    for row in &ARENAS {
        let script = row.script();
        wrong.extend(row.check(&script, &logged::run(model("2.36", &[], 1), &script)).err());
    }
    none(wrong);
}

#[test]
fn settings() {
    let mut wrong = Vec::new();
    for set in &SETTINGS {
        for (profile, expected) in set.checksums {
            let script = operations(profile, SETTINGS_SEED);
            wrong.extend(set.check(profile, expected, &script, &logged::run(model("2.36", set.values, 1), &script)).err());
        }
    }
    none(wrong);
}
