//! The models of other allocators against their libraries, as Debian packages them, under `LD_PRELOAD`: one thread, every placement, every system
//! call with its arguments, the faults of every operation, and at the end the pages above the first break.
//!
//! Equal means equal. The one exception is jemalloc, which puts the start of a large block at random into its first page: there the pages are
//! compared, and the faults may so far be apart by one for each large block. With `cache_oblivious` off, no real knob of the model's, it would be none.
//!
//! Left out: what depends on the clock (decay and delays other than never and at once), threads, `realloc` to nothing, and calls that not every one of
//! the libraries has (`pvalloc`, `malloc_trim`, `mallopt`), which would be libc's. What a library does before `main` is not compared.

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
        let choice = Choice::parse(spec).map_err(|error| error.to_string())?;
        let policy = Policy::parse(spec).expect("the model knows what the library knows");
        let model = policy.model().expect("a model");
        let library = choice.library.expect("a library");
        let kernel = Kernel::running().expect("the kernel's version");
        let Ok(Verdict::Allocator(found)) = examine_file(&library, &kernel) else { panic!("{} is no allocator", library.display()) };
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
        Call::Malloc | Call::Calloc | Call::Memalign | Call::PosixMemalign | Call::Free => true,
        Call::Realloc => op.size > 0,
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

#[test]
fn jemalloc() {
    agree(&[
        "jemalloc:dirty_decay_ms=-1:muzzy_decay_ms=-1",
        "jemalloc:dirty_decay_ms=0:muzzy_decay_ms=0",
        "jemalloc:dirty_decay_ms=-1:muzzy_decay_ms=-1:tcache=0",
        "jemalloc:dirty_decay_ms=0:muzzy_decay_ms=0:retain=0",
    ]);
}

#[test]
fn mimalloc() {
    agree(&[
        "mimalloc:decommit_delay=0:segment_decommit_delay=0",
        "mimalloc:decommit_delay=10000000:segment_decommit_delay=10000000",
        "mimalloc:decommit_delay=0:segment_decommit_delay=0:eager_commit=0",
        "mimalloc:allow_decommit=0",
    ]);
}

#[test]
fn tcmalloc() {
    agree(&["tcmalloc", "tcmalloc:aggressive_decommit=1", "tcmalloc:transfer_num_obj=128", "tcmalloc:max_total_thread_cache=524288"]);
}

#[test]
fn other_settings_would_be_noticed() {
    let pairs = [
        ("jemalloc:dirty_decay_ms=0:muzzy_decay_ms=0", "jemalloc:dirty_decay_ms=-1:muzzy_decay_ms=-1"),
        ("mimalloc:decommit_delay=0:segment_decommit_delay=0", "mimalloc:decommit_delay=10000000:segment_decommit_delay=10000000"),
        ("tcmalloc:aggressive_decommit=1", "tcmalloc"),
    ];
    for (here, there) in pairs {
        match Pair::new(here) {
            Ok(mut pair) => {
                pair.policy = Policy::parse(there).expect("a policy");
                let noticed = seeds(20).any(|seed| {
                    let ops = [vec![Op::new(Call::Malloc, FIRST, 16)], common(seed)].concat();
                    compare_library(&|| pair.model(), &ops, &pair.libc.run(&pair.variables, &ops), pair.rules).is_err()
                });
                assert!(noticed, "{here} is {there}");
            }
            Err(reason) => println!("skipped: {reason}"),
        }
    }
}
