use super::*;
use crate::event::Access;
use crate::units::{Bytes, Nanos, PAGE};
use crate::vm::Syscall;
use crate::workload::{Action, Evidence, Op};

const LIBC: Choice = Choice { spec: String::new(), library: None, variables: Vec::new(), no_huge_pages: false };
const PAGES: u64 = 64;

fn bench(name: &str, actions: &[Action]) -> Bench {
    let folder = std::env::temp_dir().join(format!("heapcast-bench.{name}.{}", std::process::id()));
    let ops: Vec<Op> = actions.iter().zip(1..).map(|(&action, time)| Op { time: Nanos(time), action }).collect();
    Bench::new(&folder, 1, |script| script.write(&ops)).unwrap()
}

/// A block with a mapping of its own, all of it written to, by a thread.
fn block(id: u32, tid: Tid) -> [Action; 3] {
    let size = Bytes(PAGES * PAGE);
    [
        Action::Alloc { id, tid, size, align_log2: 0, zeroed: false, assumed: false, site: 0 },
        Action::Touch { id, from: Bytes(0), len: size, access: Access::Write, evidence: Evidence::Seen },
        Action::Free { id, tid },
    ]
}

#[test]
fn the_kernel_counts_what_the_script_does() {
    let actions = [&block(0, 1)[..], &[Action::End]].concat();
    let (outcome, notes) = bench("block", &actions).run(&LIBC, Pace::Flat).unwrap();
    let peak = outcome.peak_rss.unwrap().expected;
    assert!((PAGES..PAGES + 4).contains(&(peak.0 / PAGE)), "{outcome:?}");
    assert!((PAGES..PAGES + 4).contains(&outcome.minor_faults.expected), "{outcome:?}");
    assert!(outcome.final_rss.unwrap().0 < 4 * PAGE && outcome.returned.unwrap().0 >= PAGES * PAGE, "{outcome:?}");
    assert_eq!(outcome.peak_live, Bytes(PAGES * PAGE));
    assert_eq!([Syscall::Mmap, Syscall::Munmap].map(|call| outcome.calls.of(call)), [1, 1], "{outcome:?}");
    assert!(notes.is_empty() && outcome.calls_known, "{notes:?}");
}

#[test]
fn threads_come_and_go_without_a_trace() {
    let thread = |tid| [&block(tid, tid)[..], &[Action::ThreadEnd { tid }]].concat();
    let actions = [thread(2), block(0, 1).to_vec(), thread(3), thread(2), block(0, 1).to_vec()].concat();
    // Set, it stays: every block has a mapping, whatever was freed before.
    let threshold = ("GLIBC_TUNABLES".to_owned(), "glibc.malloc.mmap_threshold=131072".to_owned());
    let choice = Choice { variables: vec![threshold], ..LIBC };
    let (outcome, _) = bench("threads", &actions).run(&choice, Pace::Flat).unwrap();
    let peak = outcome.peak_rss.unwrap().expected;
    // libc's arrays for threads and the arena of each are beside the one block that lives.
    assert!((PAGES..PAGES + 24).contains(&(peak.0 / PAGE)), "{outcome:?}");
    assert!(outcome.returned.unwrap().0 >= 5 * PAGES * PAGE, "{outcome:?}");
}

#[test]
fn a_script_that_is_cut_short_is_refused() {
    let bench = bench("cut", &block(0, 1));
    let script = bench.file("script");
    let whole = std::fs::read(&script).unwrap();
    for left in [0, 31, 32, 64, whole.len() - 1] {
        std::fs::write(&script, &whole[..left]).unwrap();
        let error = bench.run(&LIBC, Pace::Flat).unwrap_err();
        assert!(error.message.contains("cannot read its script"), "{left}: {error}");
    }
}

#[test]
fn the_folder_goes_away() {
    let bench = bench("folder", &[]);
    let folder = bench.folder.0.clone();
    assert!(folder.is_dir());
    drop(bench);
    assert!(!folder.exists());
}
