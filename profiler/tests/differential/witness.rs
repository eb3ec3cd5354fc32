//! The driver's own log of system calls against `strace`, which sees them from outside; and what a plain program allocates before `main`.

use super::observed::{Kind, SystemCall};
use super::real::Libc;
use super::script::Op;
use super::workload::{THREADED, script};

/// The kinds by their names.
const NAMES: [(&str, Kind); 6] = [
    ("brk", Kind::Brk),
    ("mmap", Kind::Mmap),
    ("munmap", Kind::Munmap),
    ("mremap", Kind::Mremap),
    ("madvise", Kind::Madvise),
    ("mprotect", Kind::Mprotect),
];

/// What matters of a call: kind, place, length, answer.
type Seen = (Kind, u64, u64, i64);

fn logged(call: &SystemCall) -> Seen {
    (call.kind, call.addr, call.len, call.answer)
}

/// A line of `strace -f -X raw -o`: `PID name(first, second, …) = answer …`.
fn traced(line: &str) -> Option<Seen> {
    let (name, rest) = line.split_once(' ')?.1.trim_start().split_once('(')?;
    let (_, kind) = NAMES.iter().find(|(known, _)| *known == name)?;
    let (arguments, answer) = rest.rsplit_once(" = ").map(|(arguments, answer)| (arguments, answer.split(' ').next()))?;
    let mut words = arguments.trim_end().trim_end_matches(')').split(", ").map(number);
    let addr = words.next().flatten().unwrap_or(0) as u64;
    let len = if *kind == Kind::Brk { 0 } else { words.next().flatten()? as u64 };
    // A failure is shown as -1 and a name.
    let answer = if answer == Some("-1") { -12 } else { number(answer?)? };
    (*kind != Kind::Brk || addr != 0).then_some((*kind, addr, len, answer))
}

fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(|word| word as i64),
        None if text == "NULL" => Some(0),
        None => text.parse().ok(),
    }
}

#[test]
fn strace_sees_the_same_calls() {
    let libc = match Libc::installed().and_then(Libc::under_strace) {
        Ok(libc) => libc,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let script: Vec<Op> = script(1, THREADED);
    let run = libc.run(&[], &script);
    let trace = libc.trace();
    let expected: Vec<Seen> = run.steps.iter().flat_map(|step| &step.calls).map(logged).collect();
    let seen: Vec<Seen> = trace.lines().filter_map(traced).collect();
    assert!(expected.len() > 100, "{}", expected.len());
    let start = seen.iter().position(|call| *call == expected[0]).expect("the first call was seen");
    assert!(!seen[..start].iter().any(|call| call.0 == Kind::Brk), "something used the break before the script began");
    let mut rest = seen[start..].iter();
    for call in &expected {
        // Between them stand the calls that are no matter of the heap: those for the stacks of threads, and what the driver maps at its end.
        assert!(rest.any(|seen| seen == call), "strace did not see {call:x?}");
    }
    let brks = |calls: &[Seen]| calls.iter().filter(|call| call.0 == Kind::Brk).count();
    assert_eq!(brks(&seen), brks(&expected), "calls of brk that the log does not have");
}
