//! A server under load: redis-server, which Debian builds with jemalloc.

use std::path::Path;
use std::process::{Command, Stdio};

use super::counts::books_balance;
use super::real::page_model_agrees;
use super::running::in_order;
use super::{installed, possible, recorder};
use crate::support::{Folder, Running, Trace, signal, until};

/// Where the server listens, in its folder: a port that is free now may be taken a moment later.
const SOCKET: &str = "socket";

const SERVER: [&str; 7] = ["redis-server", "--port", "0", "--unixsocket", SOCKET, "--save", ""];

fn client(program: &str, folder: &Folder, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(["-s", SOCKET]).args(arguments).current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().expect("a client").success()
}

/// Requests of several kinds and sizes, and keys that go again.
fn load(folder: &Folder) {
    assert!(client("redis-benchmark", folder, &["-q", "-n", "6000", "-r", "5000", "-d", "1500", "-t", "set,get,lpush"]));
    assert!(client("redis-benchmark", folder, &["-q", "-n", "2000", "-r", "5000", "del", "key:__rand_int__"]));
}

fn found_jemalloc(trace: &Trace) {
    let names: Vec<&str> = trace.manifest.processes[0].allocators.iter().map(|allocator| allocator.name.as_str()).collect();
    assert!(names.contains(&"jemalloc"), "{names:?}");
    assert!(trace.count("malloc") > 1000, "{} calls", trace.count("malloc"));
}

fn there() -> bool {
    [SERVER[0], "redis-benchmark", "redis-cli"].iter().all(|program| installed(program))
}

fn answers(folder: &Folder) {
    until("the server answers", || client("redis-cli", folder, &["ping"]).then_some(()));
}

#[test]
fn a_server_is_recorded_from_its_start() {
    let Some(_alone) = possible() else { return };
    if !there() {
        return;
    }
    let folder = Folder::new("redis-launched");
    let trace = folder.join("trace");
    let mut recording = Running::start(recorder(&trace, &["--"]).args(SERVER).current_dir(folder.path()).stdout(Stdio::null()));
    answers(&folder);
    load(&folder);
    client("redis-cli", &folder, &["shutdown", "nosave"]);
    assert_eq!(recording.code(), Some(0));
    let trace = Trace::open(&trace);
    books_balance(&trace);
    found_jemalloc(&trace);
    assert_eq!(trace.manifest.processes[0].ending.as_deref(), Some("exited 0"));
    page_model_agrees("redis-server launched", &folder, None);
}

#[test]
fn a_running_server_is_recorded_under_load() {
    let Some(_alone) = possible() else { return };
    if !there() {
        return;
    }
    let folder = Folder::new("redis-attached");
    let mut redis = Running::start(Command::new(SERVER[0]).args(&SERVER[1..]).current_dir(folder.path()).stdout(Stdio::null()));
    answers(&folder);
    let trace = folder.join("trace");
    let mut recording = Running::start(recorder(&trace, &["--pid"]).arg(redis.pid().to_string()).stdout(Stdio::null()));
    probed(&trace);
    load(&folder);
    signal(recording.pid(), libc::SIGINT);
    assert_eq!(recording.code(), Some(0));
    assert!(client("redis-cli", &folder, &["ping"]), "the server lives on");
    client("redis-cli", &folder, &["shutdown", "nosave"]);
    assert_eq!(redis.code(), Some(0));
    let trace = Trace::open(&trace);
    in_order(&trace);
    found_jemalloc(&trace);
    page_model_agrees("redis-server attached", &folder, None);
}

/// Waits until the allocator's calls are recorded.
fn probed(trace: &Path) {
    until("the server is probed", || {
        let trace = Trace::try_open(trace)?;
        trace.manifest.processes.first().filter(|process| !process.allocators.is_empty()).map(drop)
    });
}
