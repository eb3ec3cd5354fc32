//! What a person or a script sees: help, exit codes, which stream carries what, and the files that are left.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use crate::golden::stored;
use crate::live::possible;
use crate::support::{Folder, Trace, heapcast, said};

#[test]
fn help_lists_the_commands() {
    let said = said(&mut heapcast(&["--help"])).exits(0);
    assert!(said.err.is_empty());
    let commands: Vec<&str> = said.out.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()).collect();
    for command in ["run", "record", "replay", "measure", "diff", "check", "export", "inspect", "policies", "doctor"] {
        assert!(commands.contains(&command), "{command}: {commands:?}");
        let help = crate::support::said(&mut heapcast(&[command, "--help"])).exits(0);
        assert!(help.out.contains("Usage: heapcast"), "{command}: {}", help.out);
    }
    assert!(said.out.contains("Exit codes: 0 done; 1 failed; 2 usage; 3 not permitted"), "{}", said.out);
}

#[test]
fn wrong_usage_is_told_on_stderr() {
    for words in [vec![], vec!["no-such-command"], vec!["record"], vec!["run"], vec!["record", "--pid", "1", "--", "true"]] {
        let said = said(&mut heapcast(&words)).exits(2);
        assert!(said.out.is_empty() && !said.err.is_empty(), "{words:?}: {}", said.out);
    }
}

#[test]
fn recordings_that_contradict_themselves_are_refused() {
    let folder = Folder::new("contradictions");
    let refused = |command: &str, words: &[&str]| {
        let mut heapcast = heapcast(&[command, "-o"]);
        said(heapcast.arg(folder.join("out")).args(words).args(["--", "true"])).exits(2).err
    };
    for command in ["record", "run"] {
        let refused = |words: &[&str]| refused(command, words);
        assert!(refused(&["--for", "10s"]).contains("--every"));
        assert!(refused(&["--every", "10s"]).contains("--for"));
        assert!(refused(&["--for", "10s", "--every", "10s"]).contains("--for must be shorter than --every"));
        assert!(refused(&["--for", "1s", "--every", "10s", "--events", "vm"]).contains("--events vm records no call"));
        assert!(refused(&["--events", "heap"]).contains("[possible values: vm, all]"));
        assert!(refused(&["--stop-after", "5m"]).contains("write 5min or 5M"));
        assert!(refused(&["--stop-after", "100"]).contains("a time (30s, 5min, 1h), a size (500M, 2G) or a number of events"));
        assert!(refused(&["--min-size", "100"]).contains("--min-size"), "a trace with holes cannot be replayed");
    }
    assert!(refused("run", &["--events", "vm", "--policy", "jemalloc"]).contains("jemalloc needs every call of malloc"));
    assert!(refused("run", &["--for", "1s", "--every", "9s", "--policy", "glibc"]).contains("record without --for"));
    assert!(refused("record", &["--pid", "1"]).contains("cannot be used with"));
    let group = said(&mut heapcast(&["record", "--cgroup", "/sys/fs/cgroup", "--no-follow"])).exits(2);
    assert!(group.err.contains("--cgroup records all members"), "{}", group.err);
    assert!(!folder.join("out").exists(), "nothing was made");
}

#[test]
fn unknown_policies_are_refused_with_the_nearest() {
    let folder = Folder::new("unknown-policy");
    let refused = |spec: &str| {
        let mut command = heapcast(&["replay", "--policy", spec, "-o"]);
        said(command.arg(folder.join("report")).arg(stored("each_call"))).exits(2).err
    };
    for (spec, nearest) in [("brk-onyl", "brk-only"), ("mmap_only", "mmap-only"), ("recorde", "recorded")] {
        let error = refused(spec);
        assert!(error.contains(spec) && error.contains(nearest), "{spec}: {error}");
    }
    assert!(refused("mmap-only+thp=sometimes").contains("always"));
    assert!(!folder.join("report").exists(), "nothing was made");
}

#[test]
fn policies_are_listed_and_described() {
    let all = said(&mut heapcast(&["policies"])).exits(0);
    assert!(all.err.is_empty());
    for name in ["recorded", "brk-only", "mmap-only"] {
        assert!(all.out.lines().any(|line| line.split_whitespace().next() == Some(name)), "{name}: {}", all.out);
    }
    for name in ["brk-only", "mmap-only"] {
        let one = said(&mut heapcast(&["policies", name])).exits(0);
        assert!(one.out.starts_with(name), "{}", one.out);
    }
    let json = said(&mut heapcast(&["policies", "jemalloc", "--json"])).exits(0).out;
    let models: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let knobs = models[0]["tunables"].as_array().expect("settings").iter().map(|tunable| &tunable["knobs"][0]["key"]);
    assert!(knobs.into_iter().any(|key| key == "dirty_decay_ms"), "{json}");
    let unknown = said(&mut heapcast(&["policies", "nothing-like-it"])).exits(2);
    assert!(unknown.out.is_empty() && unknown.err.contains("brk-only"), "{}", unknown.err);
}

#[test]
fn doctor_says_what_it_found() {
    let said = said(&mut heapcast(&["doctor"]));
    for finding in ["kernel", "privileges", "tracefs", "Allocators mapped by heapcast itself"] {
        assert!(said.out.contains(finding), "{finding}: {}", said.out);
    }
    assert!([Some(0), Some(3), Some(4)].contains(&said.code));
    assert_eq!(said.code == Some(0), said.err.is_empty());
}

#[test]
fn json_is_all_that_stdout_gets() {
    let folder = Folder::new("json");
    let mut replay = heapcast(&["replay", "--json", "-o"]);
    let said_of = said(replay.arg(folder.join("report")).arg(stored("each_call"))).exits(0);
    let study: serde_json::Value = serde_json::from_str(&said_of.out).expect("JSON");
    assert_eq!(study["policies"][0]["policy"], "measured");
    assert!(said_of.err.contains("report.html"), "where it lies is told on stderr: {}", said_of.err);
    let inspect = said(heapcast(&["inspect", "--json"]).arg(stored("each_call"))).exits(0);
    let study: serde_json::Value = serde_json::from_str(&inspect.out).expect("JSON");
    assert_eq!(study["recording"]["exe"].as_str().map(|exe| exe.ends_with("each_call")), Some(true));
}

#[test]
fn inspect_counts() {
    let said = said(heapcast(&["inspect"]).arg(stored("each_call"))).exits(0);
    assert!(said.err.is_empty());
    let rows: Vec<Vec<&str>> = said.out.lines().map(|line| line.split_whitespace().collect()).collect();
    for row in [["40", "malloc"], ["70", "realloc"], ["110", "free"]] {
        assert!(rows.iter().any(|found| found == &row), "{row:?}: {}", said.out);
    }
    assert!(said.out.contains("glibc") && said.out.contains("requested size") && said.out.contains("lifetime"));
    for claim in ["The program break: ", "never touched", "The kernel cleared ", " by munmap, ", "glibc between heap and mappings: "] {
        assert!(said.out.contains(claim), "{claim}: {}", said.out);
    }
}

#[test]
fn quiet_is_silent() {
    let folder = Folder::new("quiet");
    let said = said(heapcast(&["replay", "--quiet", "-o"]).arg(folder.join("report")).arg(stored("fork_tree"))).exits(0);
    assert!(said.err.is_empty() && said.out.contains("recorded"), "{}", said.err);
}

#[test]
fn a_process_can_be_chosen() {
    let folder = Folder::new("choose");
    let choose = |which: &str| {
        let mut command = heapcast(&["replay", "-q", "--force", "--json", "--process", which, "-o"]);
        said(command.arg(folder.join("report")).arg(stored("fork_tree")))
    };
    let study: serde_json::Value = serde_json::from_str(&choose("2").exits(0).out).expect("JSON");
    let frees = study["recording"]["events"].as_array().expect("events").iter().find(|kind| kind["name"] == "free");
    assert_eq!(frees.expect("frees")["count"], 60, "the grandchild's");
    choose("fork_tree").exits(0);
    assert!(choose("no-such-process").exits(2).err.contains("0 ("));
}

#[test]
fn results_are_not_overwritten_unless_asked() {
    let folder = Folder::new("existing");
    let replay =
        |force: &[&str]| said(heapcast(&["replay", "-q"]).args(force).arg("-o").arg(folder.join("report")).arg(stored("each_call")));
    replay(&[]).exits(0);
    let refused = replay(&[]).exits(7);
    assert!(refused.err.contains("--force") && refused.err.contains("report"), "{}", refused.err);
    replay(&["--force"]).exits(0);
}

#[test]
fn what_is_no_trace_is_named() {
    let folder = Folder::new("no-trace");
    for verb in ["replay", "inspect"] {
        let missing = said(heapcast(&[verb]).arg(folder.join("missing"))).exits(6);
        assert!(missing.err.contains("missing") && missing.err.contains("events.arrow") && missing.out.is_empty(), "{}", missing.err);
    }
    std::fs::write(folder.join("events.arrow"), "this is no Arrow stream at all").expect("a file");
    let wrong = said(heapcast(&["inspect"]).arg(folder.path())).exits(6);
    assert!(wrong.err.contains("events.arrow") && wrong.err.contains("byte 0"), "{}", wrong.err);
}

/// A copy of a stored trace whose events were changed.
fn changed(folder: &Folder, change: impl FnOnce(&mut Vec<u8>)) {
    let [mut events, manifest] =
        ["events.arrow", "manifest.json"].map(|file| std::fs::read(stored("sqlite3").join(file)).expect("a stored trace"));
    change(&mut events);
    std::fs::write(folder.join("events.arrow"), events).expect("a copy");
    std::fs::write(folder.join("manifest.json"), manifest).expect("a copy");
}

#[test]
fn a_trace_that_was_cut_is_replayed_up_to_the_cut() {
    let folder = Folder::new("cut");
    changed(&folder, |bytes| bytes.truncate(bytes.len() - 100));
    let survivors = Trace::open(folder.path()).events.len();
    assert!((1..Trace::open(&stored("sqlite3")).events.len()).contains(&survivors), "{survivors}");
    let mut replay = heapcast(&["replay", "-q", "-o"]);
    let told = said(replay.arg(folder.join("report")).arg(folder.path())).exits(0).out.replace('\n', " ");
    assert!(told.contains("The trace is incomplete") && told.contains(&format!("{survivors} events")), "{told}");
    let inspect = said(heapcast(&["inspect"]).arg(folder.path())).exits(0);
    assert!(inspect.out.contains("damage") && inspect.out.contains("events.arrow"), "{}", inspect.out);
}

#[test]
fn a_damaged_header_is_named_with_its_byte() {
    let folder = Folder::new("damaged");
    changed(&folder, |bytes| bytes[..8].fill(0x55));
    let error = said(heapcast(&["replay"]).arg(folder.path()).arg("-o").arg(folder.join("report"))).exits(6).err;
    assert!(error.contains("events.arrow") && error.contains("byte 0"), "{error}");
    assert!(!folder.join("report").exists());
}

/// The whole line, with everything that is left behind.
#[test]
fn run_leaves_a_report_and_the_trace() {
    let Some(_alone) = possible() else { return };
    let folder = Folder::new("run");
    let out = folder.join("out");
    let mut command = heapcast(&["run", "--policy", "mmap-only", "--policy", "brk-only+thp=never", "-o"]);
    let mut child =
        command.arg(&out).args(["--", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().expect("a pipe").write_all(b"for the program\n").expect("it listens");
    let output = child.wait_with_output().expect("it ends");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    // The program's own input and output are its own; the result follows.
    assert!(stdout.starts_with("for the program\n") && stdout.contains("Self-check"), "{stdout}");
    assert!(stderr.contains("report.html") && !stderr.contains("for the program"), "{stderr}");
    let files = ["report.html", "study.json", "summary.csv", "timeline.csv", "fidelity.csv", "sizes.csv", "lifetimes.csv"];
    assert!(files.iter().all(|file| out.join(file).is_file()));
    assert!(Trace::open(&out.join("trace")).manifest.complete);
    let summary = std::fs::read_to_string(out.join("summary.csv")).expect("a summary");
    let policies: Vec<&str> = summary.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    // The model of the allocator that ran comes by itself, under its own name.
    let libc = &Trace::open(&out.join("trace")).manifest.processes[0].allocators[0];
    assert_eq!((libc.name.as_str(), policies.len()), ("glibc", 5));
    assert!(policies[2].starts_with("glibc@2."), "{policies:?}");
    assert_eq!([&policies[..2], &policies[3..]].concat(), ["measured", "recorded", "mmap-only", "brk-only+thp=never"]);
}

/// The values of one column of `summary.csv` or `fidelity.csv`, by the first.
fn column(file: &Path, column: usize) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(file).expect("a table");
    let rows = text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    rows.map(|cells| (cells[0].clone(), cells[column].clone())).collect()
}

#[test]
fn the_allocator_that_ran_is_replayed_once_and_explained() {
    let folder = Folder::new("explain");
    let replay = |policies: &[&str]| {
        let mut command = heapcast(&["replay", "-q", "--force", "--explain"]);
        policies.iter().for_each(|policy| _ = command.args(["--policy", policy]));
        let out = said(command.arg("-o").arg(folder.join("report")).arg(stored("sqlite3"))).exits(0).out;
        let names = column(&folder.join("report/summary.csv"), 0).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        (out, names)
    };
    let (out, names) = replay(&["mmap-only", "glibc"]);
    assert_eq!(names, ["measured", "recorded", "glibc", "mmap-only"]);
    assert!(out.contains("fidelity of glibc") && out.contains("puts every block where it was recorded"), "{out}");
    let metrics = column(&folder.join("report/fidelity.csv"), 2);
    assert_eq!(metrics[0], ("placements".to_owned(), "1".to_owned()));
    let names_of_metrics: Vec<&str> = metrics.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names_of_metrics[8..], ["mremap_calls", "mprotect_calls"]);
    assert_eq!(replay(&["glibc@2.41"]).1, ["measured", "recorded", "glibc@2.36", "glibc@2.41"]);
}

/// A trace whose manifest says that another version ran, under a setting that it did not have, does not agree with its own blocks.
#[test]
fn what_cannot_have_run_is_found_out() {
    let folder = Folder::new("other-version");
    changed(&folder, |_| {});
    let manifest = std::fs::read_to_string(folder.join("manifest.json")).expect("a manifest");
    let other = manifest.replace("\"version\": \"2.36\"", "\"version\": \"2.36.9000\"");
    let other = other.replace("\"environment\": {}", "\"environment\": {\"MALLOC_MMAP_THRESHOLD_\": \"4096\"}");
    assert_ne!(other, manifest);
    std::fs::write(folder.join("manifest.json"), other).expect("a manifest");
    let mut replay = heapcast(&["replay", "--explain", "-o"]);
    let said = said(replay.arg(folder.join("report")).arg(folder.path())).exits(0);
    assert!(said.err.contains("ran with glibc 2.36.9000; the nearest version that is modelled is 2.36"), "{}", said.err);
    let told = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("fidelity of glibc@2.36:mmap_threshold=4096"), "{}", said.out);
    assert!(told.contains("The first is event") && told.contains("The model directly after"), "{}", said.out);
    let page = std::fs::read_to_string(folder.join("report/report.html")).expect("a page");
    assert!(page.contains("The first is event"));
}

#[test]
fn the_programs_streams_are_left_alone() {
    let Some(_alone) = possible() else { return };
    let folder = Folder::new("streams");
    let mut command = heapcast(&["record", "-q", "-o"]);
    command.arg(folder.join("trace")).args(["--", "sh", "-c", "echo to stdout; echo to stderr >&2; exit 7"]);
    let said = said(&mut command).exits(0);
    assert_eq!(said.err, "to stderr\n");
    assert!(said.out.starts_with("to stdout\n") && said.out.contains("the program exited 7"), "{}", said.out);
}
