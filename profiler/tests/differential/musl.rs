//! The model of musl's malloc against the musl that is installed, in a statically linked program: every placement and usable size, every system call with
//! its arguments, the faults of every operation, and at the end the pages that the break added. Equal means equal.
//!
//! Left out: calls that musl does not have (`pvalloc`, `malloc_trim`, `mallopt`) or refuses (`sbrk`). Where blocks are written to, it is not to the last
//! bytes of each 16: what a group finds there in its slot decides where its blocks begin, and no model is told what a program writes.

use super::agreement::{explain, seeds};
use super::play::Player;
use super::real::Libc;
use super::replayed::{Difference, compare_player};
use super::script::{Call, Op};
use super::workload::{PLAIN, Shape, THREADED, script};
use profiler::model::{ModelSpec, REGISTRY, Settings};
use std::collections::BTreeSet;

fn spec() -> &'static ModelSpec {
    REGISTRY.iter().find(|spec| spec.id == "musl").expect("the model is registered")
}

fn player(version: Option<&'static str>) -> Player {
    let mut settings = Settings::defaults(spec());
    settings.version = version;
    Player::without_thread_vectors((spec().build)(&settings).expect("a model"))
}

/// The installed one, and the version of the model for it.
fn installed() -> Option<(Libc, Option<&'static str>)> {
    let libc = Libc::musl().map_err(|reason| println!("skipped: {reason}")).ok()?;
    let known = spec().versions.iter().rfind(|known| numbers(known) <= numbers(&libc.version)).copied();
    if known.is_none() {
        println!("skipped: musl {} is older than any model", libc.version);
    }
    Some((libc, Some(known?)))
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

/// What musl knows of a script.
fn workload(seed: u64, shape: Shape) -> Vec<Op> {
    script(seed, shape).into_iter().filter(is_known).collect()
}

/// With each slot freed before it is filled again, and some blocks written to; and which operation each one stands for.
fn complete(script: &[Op]) -> (Vec<usize>, Vec<Op>) {
    let mut full = BTreeSet::new();
    let completed = script.iter().enumerate().flat_map(|(at, &op)| {
        let is_new = op.allocates() && op.call != Call::Realloc;
        let frees = (is_new && full.contains(&op.slot)).then(|| Op::new(Call::Free, op.slot, 0).by(op.thread));
        match op.call {
            Call::Free => _ = full.remove(&op.slot),
            _ if op.allocates() => _ = full.insert(op.slot),
            _ => {}
        }
        let fills = (op.allocates() && at % 3 == 0).then(|| Op::new(Call::Fill, op.slot, 0).by(op.thread));
        frees.into_iter().chain([op]).chain(fills).map(move |op| (at, op))
    });
    completed.unzip()
}

fn is_known(op: &Op) -> bool {
    match op.call {
        Call::Realloc => op.size > 0,
        Call::Pvalloc | Call::Trim | Call::Option | Call::Sbrk | Call::Block => false,
        _ => true,
    }
}

fn compare(libc: &Libc, version: Option<&'static str>, script: &[Op]) -> Result<(), Difference> {
    let (origins, ops) = complete(script);
    let compared = compare_player(&mut player(version), &ops, &libc.run(&[], &ops), libc.thp);
    compared.map_err(|difference| Difference { at: origins[difference.at], ..difference })
}

fn check(shape: Shape, usual: u64) {
    let Some((libc, version)) = installed() else { return };
    for seed in seeds(usual) {
        let compared = explain("musl", &workload(seed, shape), |ops| compare(&libc, version, ops));
        compared.unwrap_or_else(|error| panic!("seed {seed}, {error}"));
    }
}

#[test]
fn one_thread() {
    check(PLAIN, 12);
}

#[test]
fn threads_in_turn() {
    check(THREADED, 6);
}

#[test]
fn the_other_release_would_be_noticed() {
    let Some((libc, version)) = installed() else { return };
    let other = spec().versions.iter().find(|&&known| Some(known) != version).copied();
    assert!(seeds(4).any(|seed| compare(&libc, other, &workload(seed, PLAIN)).is_err()), "{version:?} is {other:?}");
}
