//! A ring that is too small: what does not fit is counted.

use super::{possible, recorder};
use crate::programs;
use crate::support::{Folder, Trace, heapcast, said};

/// Everything that the program did was put into the ring or counted as lost, and what was put there is in the trace.
fn accounted(trace: &Trace, pairs: u64) {
    let counts = &trace.manifest.counts;
    let kind = |name: &str| counts.kinds.get(name).copied().unwrap_or_default();
    let (malloc, free) = (kind("malloc"), kind("free"));
    println!("{pairs} pairs: malloc {malloc:?}, free {free:?}, unpaired {}", counts.unpaired);
    assert_eq!(malloc.made + malloc.lost, pairs);
    // glibc frees the thread caches besides.
    assert!((pairs..pairs + 100).contains(&(free.made + free.lost)));
    assert_eq!((trace.count("malloc"), trace.count("free")), (malloc.made, free.made));
}

#[test]
fn what_does_not_fit_is_counted() {
    let Some(_alone) = possible() else { return };
    let program = match programs::compile("burst") {
        Ok(program) => program,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let folder = Folder::new("losses");
    // 400,000 calls through the smallest ring.
    let mut command = recorder(&folder.join("trace"), &["--ring", "64K", "--"]);
    let said = said(command.arg(program).args(["100000", "2"])).exits(0);
    let pairs = said.out.lines().find_map(|line| line.parse().ok()).expect("the program says how many it made");
    let trace = Trace::open(&folder.join("trace"));
    accounted(&trace, pairs);
    let lost = trace.lost() - trace.manifest.counts.unpaired;
    let told = if lost > 0 { format!("{lost} EVENTS WERE LOST") } else { "no event was lost".to_owned() };
    assert!(said.out.contains(&told), "{}", said.out);
    if lost > 0 {
        doubt_is_shown(&folder, trace.manifest.counts.kinds["malloc"].lost);
    }
}

/// A replay says that its bands are wider, and they are by more than what the self-check's error makes of them.
fn doubt_is_shown(folder: &Folder, requests: u64) {
    let mut replay = heapcast(&["replay", "-q", "--json", "--policy", "brk-only"]);
    let out = said(replay.arg(folder.join("trace")).arg("-o").arg(folder.join("report"))).exits(0).out;
    let study: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let notes = study["recording"]["notes"].to_string();
    assert!(notes.contains("less certain") && notes.contains("Events were lost between"), "{notes}");
    let policies = study["policies"].as_array().expect("policies");
    let bytes = |policy: &serde_json::Value, column: &str| policy[column].as_u64().expect("a number");
    let measured = bytes(&policies[0], "peak_rss_bytes");
    for policy in &policies[2..] {
        // The program asks for 16 to 527 bytes, and it never held more than was measured.
        let wider = bytes(policy, "peak_rss_high_bytes") - bytes(policy, "peak_rss_bytes");
        assert!(wider >= measured.min(requests * 200), "{}: {wider}", policy["policy"]);
    }
}
