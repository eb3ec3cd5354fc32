//! A program recorded under glibc and replayed with another allocator's model is the program really run with that allocator.

use std::path::Path;
use std::process::Command;

use super::{error, installed, possible, record, replayed, summary};
use crate::programs;
use crate::support::{Folder, heapcast, said};

/// Policies, and the libraries that are preloaded for them, as Debian's packages have them.
const LIBRARIES: [(&str, &str); 3] = [
    ("env:MALLOC_CONF=dirty_decay_ms:-1", "libjemalloc.so.2"),
    ("env:MIMALLOC_ALLOW_DECOMMIT=0", "libmimalloc.so.2"),
    ("tcmalloc", "libtcmalloc_minimal.so.4"),
];
/// With these two nothing is given back by the clock, which goes otherwise on each machine and in each run.
const TIMELESS: [&str; 2] = ["MALLOC_CONF=dirty_decay_ms:-1", "MIMALLOC_ALLOW_DECOMMIT=0"];
/// Relative errors that are allowed.
const PEAK: f64 = 0.02;
const FAULTS: f64 = 0.03;

const SQL: &str = "create table t(a integer primary key, b text);
    with recursive c(x) as (select 1 union all select x + 1 from c where x < 100000) insert into t select x, hex(x * 7919) from c;
    create index i on t(b);
    delete from t where a % 3 = 0;
    vacuum;";

/// With a library preloaded; slashes make all paths equally long, because a program's environment takes room in its heap.
fn sqlite3(library: &str) -> Command {
    let mut command = Command::new("env");
    command.arg(format!("LD_PRELOAD={library:/>80}")).args(TIMELESS).args(["sqlite3", ":memory:", SQL]);
    command
}

/// Where the loader would find a library.
pub(super) fn find(file: &str) -> Option<String> {
    let folders = [format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH), "/usr/lib64".to_owned(), "/usr/lib".to_owned()];
    let found = folders.iter().map(|folder| format!("{folder}/{file}")).find(|path| Path::new(path).is_file());
    if found.is_none() {
        println!("skipped: there is no {file} here");
    }
    found
}

#[test]
fn sqlite3_with_each_installed_library() {
    let Some(_alone) = possible() else { return };
    let Some(libc) = find("libc.so.6").filter(|_| installed("sqlite3")) else { return };
    let folder = Folder::new("libraries");
    // The first run brings the files into the page cache: what is read from the disk are major faults.
    record(&folder, &mut sqlite3(&libc));
    record(&folder, &mut sqlite3(&libc));
    let mut replay = heapcast(&["replay", "--quiet", "--force"]);
    replay.args(LIBRARIES.iter().flat_map(|(policy, _)| ["--policy", policy]));
    let out = folder.join("predicted");
    said(replay.arg(folder.join("trace")).arg("-o").arg(&out)).exits(0);
    let predicted = summary(&out.join("summary.csv"));
    for (policy, file) in LIBRARIES {
        let Some(library) = find(file) else { continue };
        record(&folder, &mut sqlite3(&library));
        record(&folder, &mut sqlite3(&library));
        let real = &replayed(&folder, None)["measured"];
        let of = |column: &str| error(predicted[policy][column], real[column]);
        let (peak, faults) = (of("peak_rss_bytes"), of("minor_faults"));
        println!("{policy}: peak RSS {} replayed {:+.2} %", real["peak_rss_bytes"], peak * 100.0);
        println!("{policy}: minor faults {} replayed {:+.2} %", real["minor_faults"], faults * 100.0);
        assert!(peak.abs() <= PEAK && faults.abs() <= FAULTS, "{policy}: see the lines above");
    }
}

#[test]
fn programs_on_musl() {
    let Some(_alone) = possible() else { return };
    let folder = Folder::new("musl");
    for name in ["static_malloc", "realloc_place", "stride_touch"] {
        let program = match programs::compile_with_musl(name) {
            Ok(program) => program,
            Err(reason) => return println!("skipped: {reason}"),
        };
        let (_, trace) = record(&folder, Command::new(program).args(programs::arguments(name)));
        let process = &trace.manifest.processes[0];
        assert!(process.allocators.iter().any(|found| found.name == "musl"), "{name}: {:?}", process.allocators);
        let real = &replayed(&folder, None)["musl"];
        assert!(real["peak_rss_bytes"] > 0, "{name}");
        let text = std::fs::read_to_string(folder.join("report").join("fidelity.csv")).expect("the comparison");
        for line in text.lines().filter(|line| !line.starts_with("mean_rss")) {
            let cells: Vec<&str> = line.split(',').collect();
            assert!(cells[1] == cells[2] || cells[0] == "metric", "{name}: {line}");
        }
    }
}
