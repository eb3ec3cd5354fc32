//! Programs that allocate, or bring pages, as fast as they can: with `--lossless` nothing is lost, without it every loss is counted, and the recorder's
//! memory keeps its bounds. The program itself counts what it had.

use std::process::Stdio;

use super::counts::books_balance;
use super::{possible, recorder};
use crate::programs;
use crate::support::{Folder, Running, Trace};

/// What a flood has come to.
struct Flood {
    blocks: u64,
    pages: u64,
    /// Frees of libc's own that go with it at most: the caches of threads that end, some seventy blocks each.
    own_frees: u64,
    trace: Trace,
    /// High-water mark of the recorder's resident memory, KiB.
    peak_kib: u64,
}

/// Records `seconds` of a flood from `threads` threads. `None` where there is no compiler.
fn flood(name: &str, options: &[&str], arguments: [&str; 3]) -> Option<Flood> {
    let program = match programs::compile("flood") {
        Ok(program) => program,
        Err(reason) => {
            println!("skipped: {reason}");
            return None;
        }
    };
    let folder = Folder::new(name);
    let trace = folder.join("trace");
    let mut command = recorder(&trace, options);
    let mut recording = Running::start(command.arg("--").arg(program).args(arguments).stdout(Stdio::piped()));
    let peak_kib = high_water(recording.pid());
    assert_eq!(recording.code(), Some(0));
    let mut out = String::new();
    std::io::Read::read_to_string(&mut recording.0.stdout.take().expect("a pipe"), &mut out).expect("text");
    let numbers: Vec<u64> = out.lines().filter_map(|line| line.parse().ok()).collect();
    let [blocks, pages] = numbers[..] else { panic!("{out}") };
    let own_frees = 100 * arguments[1].parse::<u64>().expect("a number");
    Some(Flood { blocks, pages, own_frees, trace: Trace::open(&trace), peak_kib })
}

/// Watches a process to its end; its mark only rises, so that the last look is the peak but for a moment.
fn high_water(pid: u32) -> u64 {
    let mut peak = 0;
    loop {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let Some(mark) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")) else { return peak };
        peak = peak.max(mark.parse().expect("a number"));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

impl Flood {
    /// Recorded and lost calls or records of a kind.
    fn of(&self, kind: &str) -> (u64, u64) {
        let kind = self.trace.manifest.counts.kinds.get(kind).copied().unwrap_or_default();
        (kind.made, kind.lost)
    }

    /// That what the program had is there, lost or not, to the last call.
    #[track_caller]
    fn is_accounted_for(&self) {
        let [malloc, free, fault, mmap, munmap] = ["malloc", "free", "fault", "mmap", "munmap"].map(|kind| self.of(kind));
        let (blocks, pages, stops) = (self.blocks, self.pages, self.of("stopped").0);
        println!(
            "{blocks} blocks, {pages} pages, {stops} stops: malloc {malloc:?} free {free:?} fault {fault:?} mmap {mmap:?} munmap {munmap:?}"
        );
        println!("the recorder had at most {} KiB", self.peak_kib);
        let sum = |(made, lost): (u64, u64)| made + lost;
        assert_eq!((sum(malloc), self.trace.manifest.counts.unpaired), (blocks, 0));
        assert!((blocks..blocks + self.own_frees).contains(&sum(free)));
        // The program has a beginning.
        assert!((pages..pages + 500).contains(&sum(fault)));
        assert!((pages / 64..pages / 64 + 100).contains(&sum(mmap)) && (pages / 64..pages / 64 + 100).contains(&sum(munmap)));
        in_order_but_for_losses(&self.trace);
        assert!(self.peak_kib <= 256 << 10, "{} KiB", self.peak_kib);
    }

    #[track_caller]
    fn is_complete(&self) {
        self.is_accounted_for();
        assert_eq!(self.trace.lost(), 0, "{:?}", self.trace.manifest.counts);
        books_balance(&self.trace);
    }
}

/// What was put into the ring is in the trace.
#[track_caller]
fn in_order_but_for_losses(trace: &Trace) {
    let counts = &trace.manifest.counts;
    let made: u64 = counts.kinds.values().map(|kind| kind.made).sum();
    assert!(trace.manifest.complete && trace.damage.is_none(), "{counts:?}");
    assert_eq!(made, counts.decoded + counts.before_exec + counts.after_end + counts.rejected.values().sum::<u64>(), "{counts:?}");
}

#[test]
fn lossless_loses_no_call_however_small_the_ring() {
    let Some(_alone) = possible() else { return };
    let Some(flood) = flood("flood-blocks", &["--lossless", "--ring", "64K"], ["2", "2", "blocks"]) else { return };
    flood.is_complete();
    assert!(flood.blocks > 10_000 && flood.of("stopped").0 > 10, "it had to wait");
}

#[test]
fn lossless_loses_no_page_fault_and_no_system_call_either() {
    let Some(_alone) = possible() else { return };
    let Some(flood) = flood("flood-pages", &["--lossless", "--ring", "64K"], ["2", "2", "pages"]) else { return };
    flood.is_complete();
    assert!(flood.pages > 10_000 && flood.of("stopped").0 > 10, "it had to wait");
}

#[test]
fn lossless_holds_with_many_threads() {
    let Some(_alone) = possible() else { return };
    let Some(flood) = flood("flood-threads", &["--lossless", "--ring", "256K"], ["2", "64", "both"]) else { return };
    flood.is_complete();
}

#[test]
fn what_a_small_ring_loses_is_counted_to_the_last_event() {
    let Some(_alone) = possible() else { return };
    let Some(flood) = flood("flood-losses", &["--ring", "64K"], ["2", "4", "both"]) else { return };
    flood.is_accounted_for();
    let stretches = &flood.trace.manifest.losses;
    assert!(stretches.is_sorted_by(|one, next| one.until_ns <= next.from_ns), "{stretches:?}");
    let over_time = |kind: &str| stretches.iter().filter_map(|stretch| stretch.lost.get(kind)).sum::<u64>();
    for kind in ["malloc", "free", "fault", "mmap", "munmap", "rss"] {
        assert_eq!(over_time(kind), flood.of(kind).1, "{kind}");
    }
}

#[test]
fn the_default_is_bounded_too() {
    let Some(_alone) = possible() else { return };
    let Some(flood) = flood("flood-default", &[], ["3", "2", "both"]) else { return };
    flood.is_accounted_for();
}
