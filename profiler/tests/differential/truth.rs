//! The vectors themselves against the malloc of this machine: so that what the model is measured by is true.

use super::examples::examples;
use super::profiles::operations;
use super::real::{Libc, environment};
use super::tables::{ARENAS, MAIN, SETTINGS, SETTINGS_SEED};

/// The installed libc, if the tables speak of its version.
fn tabled() -> Option<Libc> {
    match Libc::installed() {
        Ok(libc) if ["2.31", "2.35", "2.36"].contains(&libc.version.as_str()) => Some(libc),
        Ok(libc) => {
            println!("skipped: the tables are for other versions than {}", libc.version);
            None
        }
        Err(reason) => {
            println!("skipped: {reason}");
            None
        }
    }
}

#[test]
fn the_examples_are_what_happens() {
    let Some(libc) = tabled() else { return };
    for example in examples() {
        for stop in example.stops() {
            let run = libc.run(&[], &example.script(stop));
            example.check(stop, &run).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

#[test]
fn the_tables_are_what_happens() {
    let Some(libc) = tabled() else { return };
    for row in &MAIN {
        let script = operations(row.profile, row.seed);
        row.check(&script, &libc.run(&[], &script)).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn the_table_of_arenas_is_what_happens() {
    let Some(libc) = tabled() else { return };
    for row in &ARENAS {
        let script = row.script();
        row.check(&script, &libc.run(&[], &script)).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn the_table_of_settings_is_what_happens() {
    let Some(libc) = tabled() else { return };
    for set in &SETTINGS {
        for (profile, expected) in set.checksums {
            let script = operations(profile, SETTINGS_SEED);
            let run = libc.run(&environment(set.values), &script);
            set.check(profile, expected, &script, &run).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}
