//! Where blocks were asked for: by immediate callers, by whole stacks, and where a program has no names.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{possible, recorder};
use crate::programs;
use crate::support::{Folder, heapcast, said};

/// A call site of a study: its stack from the outside in, requests, requested bytes, bytes live at the peak and at the end.
type Site = (Vec<String>, [u64; 4]);

/// Records a program and replays the recording. The stacks begin at `main`: what is above is libc's.
fn sites(folder: &Folder, program: &Path, options: &[&str]) -> Vec<Site> {
    let trace = folder.join("trace");
    said(recorder(&trace, options).arg("--").arg(program)).exits(0);
    let study = said(heapcast(&["replay", "-q", "--json", "--policy", "glibc", "-o"]).arg(folder.join("report")).arg(&trace)).exits(0).out;
    let study: Value = serde_json::from_str(&study).expect("JSON");
    let name = |at: &Value| study["frames"][at.as_u64().expect("a number") as usize].as_str().expect("a name").to_owned();
    let site = |row: &Value| {
        let mut stack: Vec<String> = row["stack"].as_array().expect("a stack").iter().rev().map(name).collect();
        let main = stack.iter().position(|name| name == "main").unwrap_or(0);
        stack.drain(..main);
        let number = |key: &str| row[key].as_u64().expect("a number");
        (stack, ["allocations", "requested_bytes", "live_at_peak_bytes", "live_at_end_bytes"].map(number))
    };
    study["callsites"].as_array().expect("call sites").iter().map(site).collect()
}

fn stack(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn compiled() -> Option<std::path::PathBuf> {
    programs::compile("call_sites").inspect_err(|reason| println!("skipped: {reason}")).ok()
}

#[test]
fn whole_stacks_have_the_right_names_and_numbers() {
    let (Some(_alone), Some(program)) = (possible(), compiled()) else { return };
    let folder = Folder::new("stacks");
    let mut found = sites(&folder, &program, &["--stacks"]);
    found.sort();
    let expected = [
        (stack(&["main", "clearing"]), [100, 6400, 64, 0]),
        (stack(&["main", "keeper"]), [1, 40, 0, 40]),
        (stack(&["main", "through", "keeper"]), [100, 500_000, 500_000, 250_000]),
    ];
    assert_eq!(found, expected);
    let folded = folder.join("folded");
    let export = |format: &str, file: &Path| {
        said(heapcast(&["export", "-q", "--format", format, "-o"]).arg(file).arg(folder.join("report"))).exits(0);
        std::fs::read(file).expect("a file")
    };
    let text = String::from_utf8(export("folded", &folded)).expect("text");
    let sum: u64 = text.lines().map(|line| line.rsplit(' ').next().and_then(|number| number.parse::<u64>().ok()).expect("a number")).sum();
    assert_eq!(sum, 500_064, "{text}");
    assert!(export("pprof", &folder.join("pprof")).windows(6).any(|bytes| bytes == b"keeper"));
    assert!(export("perfetto", &folder.join("perfetto")).starts_with(b"{"));
    let again = said(heapcast(&["export", "-q", "--format", "folded", "-o"]).arg(&folded).arg(folder.join("report"))).exits(7).err;
    assert!(again.contains("--force"), "{again}");
}

#[test]
fn the_immediate_caller_is_always_known() {
    let (Some(_alone), Some(program)) = (possible(), compiled()) else { return };
    let folder = Folder::new("callers");
    let mut found = sites(&folder, &program, &[]);
    found.sort();
    assert_eq!(found, [(stack(&["clearing"]), [100, 6400, 64, 0]), (stack(&["keeper"]), [101, 500_040, 500_000, 250_040])]);
}

#[test]
fn code_without_names_is_a_place_in_its_file() {
    let (Some(_alone), Some(program)) = (possible(), compiled()) else { return };
    let folder = Folder::new("nameless");
    let stripped = folder.join("stripped");
    assert!(Command::new("strip").arg("-o").arg(&stripped).arg(program).status().expect("strip, as there is gcc").success());
    let found = sites(&folder, &stripped, &[]);
    let mut requests: Vec<u64> = found.iter().map(|(_, numbers)| numbers[0]).collect();
    requests.sort_unstable();
    assert_eq!(requests, [100, 101]);
    assert!(found.iter().all(|(stack, _)| stack[0].starts_with("stripped+0x")), "{found:?}");
}
