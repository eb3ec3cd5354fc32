//! The smallest part of a script that still shows a difference.

use super::script::{Call, Op};

/// Leaves out ever smaller pieces, as long as `fails` still holds for the rest.
pub(crate) fn shrink(script: &[Op], fails: impl Fn(&[Op]) -> bool) -> Vec<Op> {
    let mut best = script.to_vec();
    let mut piece = best.len().next_power_of_two();
    while piece >= 1 {
        let (mut at, mut shorter) = (0, false);
        while at < best.len() {
            let rest = possible(&[&best[..at], &best[best.len().min(at + piece)..]].concat());
            if rest.len() < best.len() && fails(&rest) {
                (best, shorter) = (rest, true);
            } else {
                at += piece;
            }
        }
        // Once more with the same size, as long as that helps.
        piece = if shorter { piece } else { piece / 2 };
    }
    best
}

/// Without what a thread does before it is started or after its end.
pub(crate) fn possible(script: &[Op]) -> Vec<Op> {
    let mut running = vec![0];
    let ops = script.iter().filter(|op| {
        let thread = op.slot as u32;
        let can = running.contains(&op.thread) && !(op.call == Call::Spawn && running.contains(&thread));
        match op.call {
            Call::Spawn if can => running.push(thread),
            Call::Exit if can => running.retain(|running| *running != op.thread),
            _ => {}
        }
        can
    });
    ops.copied().collect()
}

#[test]
fn what_is_left_is_needed() {
    let script: Vec<Op> = (0..100).map(|size| Op::new(Call::Malloc, 0, size)).collect();
    let fails = |script: &[Op]| [17, 18, 80].iter().all(|size| script.iter().any(|op| op.size == *size));
    let left: Vec<i64> = shrink(&script, fails).iter().map(|op| op.size).collect();
    assert_eq!(left, [17, 18, 80]);
}

#[test]
fn threads_do_nothing_before_and_after_their_life() {
    let by = |call, thread| Op::new(call, 0, 0).by(thread);
    let spawn = Op::new(Call::Spawn, 1, 0);
    let script = [by(Call::Malloc, 1), spawn, spawn, by(Call::Malloc, 1), by(Call::Exit, 1), by(Call::Malloc, 1), by(Call::Malloc, 0)];
    assert_eq!(possible(&script), [spawn, by(Call::Malloc, 1), by(Call::Exit, 1), by(Call::Malloc, 0)]);
}
