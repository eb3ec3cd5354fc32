//! The models of jemalloc, mimalloc and tcmalloc against the installed libraries, under `LD_PRELOAD`, with one thread: every placement and usable
//! size, every system call with its arguments, the faults of every operation, and at the end the pages that the break added.
//!
//! Equal means equal, except in jemalloc: it puts the start of a large block at random into its first page, on one of 64 places. So of large
//! blocks the page is compared; and where only one side drew the first place, one page more or less is touched. The faults may be apart by
//! four, and one more for every eighth large block; the fact sheet allows one for each.
//!
//! Left out: decay and delays between at once and never, which follow the clock; several threads; jemalloc with `retain` off, whose start
//! cannot be told from its first block; calls that not all of the libraries define, and are libc's then (`pvalloc`, `malloc_trim`, `mallopt`);
//! `realloc` to no bytes, on which they disagree; `memalign` for no bytes, where jemalloc's block is smaller than that of
//! `posix_memalign`, which no model is told apart. What a library does before `main` is taken as made: nobody sees it.

use super::agreement::{explain, seeds};
use super::real::Libc;
use super::replayed::{Rules, compare_library};
use super::script::{Call, Op};
use super::workload::{PLAIN, script};
use profiler::measure::Choice;
use profiler::model::AllocatorModel;
use profiler::replay::Policy;
use profiler::target::allocator::{Verdict, examine_file};
use profiler::target::emulate::Kernel;

/// The slot of the first block, which no script uses.
const FIRST: i64 = 60_000;

/// A library with settings, and the model with the same.
struct Pair {
    libc: Libc,
    variables: Vec<(String, String)>,
    policy: Policy,
    rules: Rules,
}

impl Pair {
    /// The error is the reason to skip the test.
    fn new(spec: &str) -> Result<Pair, String> {
        let libc = Libc::installed()?;
        let policy = Policy::parse(spec).expect("a good SPEC");
        // Only the library may be missing now.
        let choice = Choice::parse(spec).map_err(|error| error.to_string())?;
        let model = policy.model().expect("a model");
        let library = choice.library.expect("a library");
        let kernel = Kernel::running().expect("the kernel's version");
        let Ok(Verdict::Allocators(allocators)) = examine_file(&library, &kernel) else { panic!("{} is no allocator", library.display()) };
        let found = allocators.first().expect("one or more");
        if !found.version.as_deref().is_some_and(|version| model.versions.contains(&version)) {
            return Err(format!("{} is version {:?}, the model {:?}", library.display(), found.version, model.versions));
        }
        let preload = ("LD_PRELOAD".to_owned(), library.display().to_string());
        let rules = Rules { thp: libc.thp, random_starts: model.id == "jemalloc" };
        Ok(Pair { libc, variables: choice.variables.into_iter().chain([preload]).collect(), policy, rules })
    }

    fn model(&self) -> Box<dyn AllocatorModel> {
        let (spec, settings) = self.policy.model().zip(self.policy.settings()).expect("a model");
        let mut settings = settings.clone();
        settings.cpus = self.libc.cpus;
        (spec.build)(&settings).expect("the settings are good")
    }

    fn check(&self, ops: &[Op]) -> Result<(), String> {
        explain(&format!("{:?}", self.variables), ops, |ops| {
            let ops = [&[Op::new(Call::Malloc, FIRST, 16)], ops].concat();
            let compared = compare_library(&|| self.model(), &ops, &self.libc.run(&self.variables, &ops), self.rules);
            compared.map_err(|mut difference| {
                difference.at = difference.at.saturating_sub(1);
                difference
            })
        })
    }
}

/// What all of the libraries understand alike; some of the blocks are written to.
fn common(seed: u64) -> Vec<Op> {
    let known = |op: &Op| match op.call {
        Call::Malloc | Call::Calloc | Call::PosixMemalign | Call::Free => true,
        Call::Realloc | Call::Memalign => op.size > 0,
        _ => false,
    };
    let written = |(at, op): (usize, Op)| {
        let fill = (op.allocates() && at % 3 == 0).then(|| Op::new(Call::Fill, op.slot, 0));
        [op].into_iter().chain(fill)
    };
    script(seed, PLAIN).into_iter().filter(known).enumerate().flat_map(written).collect()
}

/// Whatever the first one of the seeds shows, for each SPEC.
fn agree(specs: &[&str]) {
    let mut wrong = Vec::new();
    for spec in specs {
        match Pair::new(spec) {
            Ok(pair) => wrong.extend(seeds(4).find_map(|seed| Some(format!("{spec}: seed {seed}, {}", pair.check(&common(seed)).err()?)))),
            Err(reason) => println!("skipped: {reason}"),
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), specs.len(), wrong.join("\n"));
}

/// Under which a library is looked at, settings that one thread notices when they are added, and such that it does not notice in these scripts: they
/// need several threads, or more of one size.
struct Settings {
    library: &'static str,
    base: &'static str,
    noticed: &'static [&'static str],
    unnoticed: &'static [&'static str],
}

/// What a start depends on cannot be compared (`retain`, `large_os_pages`, `reserve_os_memory`): the vectors of the models do.
const JEMALLOC: Settings = Settings {
    library: "jemalloc",
    base: "dirty_decay_ms=0,muzzy_decay_ms=0",
    noticed: &[
        "dirty_decay_ms=-1",
        "oversize_threshold=1000000",
        "tcache=0",
        "tcache_max=1024",
        "lg_tcache_max=16",
        "tcache_nslots_small_min=2",
        "tcache_nslots_small_max=4",
        "tcache_nslots_large=2",
        "lg_tcache_nslots_mul=-2",
        "tcache_gc_incr_bytes=1024",
        "tcache_gc_delay_bytes=100000",
        "lg_tcache_flush_small_div=3",
        "thp=1",
        "thp=2",
        "metadata_thp=2",
        "zero=1",
        "junk=3",
    ],
    unnoticed: &["muzzy_decay_ms=-1", "narenas=1", "lg_extent_max_active_fit=1", "lg_tcache_flush_large_div=3"],
};

const MIMALLOC: Settings = Settings {
    library: "mimalloc",
    base: "decommit_delay=0,segment_decommit_delay=0",
    noticed: &["decommit_delay=10000000", "allow_decommit=0", "eager_commit=0", "page_reset=1"],
    unnoticed: &["segment_decommit_delay=10000000", "decommit_extend_delay=0", "eager_commit_delay=-1", "abandoned_page_decommit=1"],
};

const TCMALLOC: Settings = Settings {
    library: "tcmalloc",
    base: "release_per_million=1000",
    noticed: &["max_total_thread_cache=524288", "transfer_num_obj=128", "aggressive_decommit=1", "skip_sbrk=1", "heap_limit_mb=16"],
    unnoticed: &["release_per_million=0", "disable_memory_release=1", "skip_mmap=1"],
};

impl Settings {
    fn spec(&self, more: &str) -> String {
        format!("{}:{}{}{more}", self.library, self.base, if more.is_empty() { "" } else { "," })
    }

    fn check(&self) {
        let all: Vec<String> = [&[""], self.noticed, self.unnoticed].concat().into_iter().map(|setting| self.spec(setting)).collect();
        agree(&all.iter().map(String::as_str).collect::<Vec<_>>());
        for setting in self.noticed {
            notice(&self.spec(setting), &self.spec(""));
        }
    }
}

/// That the library with one SPEC is told from the model with another one.
fn notice(here: &str, there: &str) {
    let mut pair = match Pair::new(here) {
        Ok(pair) => pair,
        Err(reason) => return println!("skipped: {reason}"),
    };
    pair.policy = Policy::parse(there).expect("a policy");
    let noticed = seeds(20).any(|seed| {
        let ops = [vec![Op::new(Call::Malloc, FIRST, 16)], common(seed)].concat();
        compare_library(&|| pair.model(), &ops, &pair.libc.run(&pair.variables, &ops), pair.rules).is_err()
    });
    assert!(noticed, "{here} is {there}");
}

#[test]
fn jemalloc() {
    JEMALLOC.check();
    agree(&[
        "jemalloc:dirty_decay_ms=-1,muzzy_decay_ms=-1",
        "jemalloc:dirty_decay_ms=-1,muzzy_decay_ms=-1,tcache=0",
        "jemalloc:dirty_decay_ms=-1,muzzy_decay_ms=-1,oversize_threshold=1000000",
    ]);
}

#[test]
fn mimalloc() {
    MIMALLOC.check();
    agree(&["mimalloc:decommit_delay=10000000,segment_decommit_delay=10000000", "mimalloc:allow_decommit=0"]);
}

#[test]
fn tcmalloc() {
    TCMALLOC.check();
}
