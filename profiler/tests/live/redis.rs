//! A server under load: redis-server, which Debian builds with jemalloc.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use super::counts::books_balance;
use super::real::page_model_agrees;
use super::{installed, possible, recorder};
use crate::support::{Folder, Running, Trace, signal, until};

/// A port that nobody listens on.
fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port().to_string()
}

fn server(port: &str, folder: &Folder) -> Vec<String> {
    let folder = folder.path().display().to_string();
    ["redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", &folder].map(str::to_owned).into()
}

fn client(program: &str, port: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", port]).args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().expect("a client").success()
}

/// Requests of several kinds and sizes, and keys that go again.
fn load(port: &str) {
    assert!(client("redis-benchmark", port, &["-q", "-n", "6000", "-r", "5000", "-d", "1500", "-t", "set,get,lpush"]));
    assert!(client("redis-benchmark", port, &["-q", "-n", "2000", "-r", "5000", "del", "key:__rand_int__"]));
}

fn found_jemalloc(trace: &Trace) {
    let names: Vec<&str> = trace.manifest.processes[0].allocators.iter().map(|allocator| allocator.name.as_str()).collect();
    assert!(names.contains(&"jemalloc"), "{names:?}");
    assert!(trace.count("malloc") > 1000, "{} calls", trace.count("malloc"));
}

fn there() -> bool {
    ["redis-server", "redis-benchmark", "redis-cli"].iter().all(|program| installed(program))
}

fn answers(port: &str) {
    until("the server answers", || client("redis-cli", port, &["ping"]).then_some(()));
}

#[test]
fn a_server_is_recorded_from_its_start() {
    let Some(_alone) = possible() else { return };
    if !there() {
        return;
    }
    let (folder, port) = (Folder::new("redis-launched"), free_port());
    let trace = folder.join("trace");
    let mut recording = Running::start(recorder(&trace, &["--"]).args(server(&port, &folder)).stdout(Stdio::null()));
    answers(&port);
    load(&port);
    client("redis-cli", &port, &["shutdown", "nosave"]);
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
    let (folder, port) = (Folder::new("redis-attached"), free_port());
    let words = server(&port, &folder);
    let mut redis = Running::start(Command::new(&words[0]).args(&words[1..]).stdout(Stdio::null()));
    answers(&port);
    let trace = folder.join("trace");
    let mut recording = Running::start(recorder(&trace, &["--pid"]).arg(redis.pid().to_string()).stdout(Stdio::null()));
    probed(&trace);
    load(&port);
    signal(recording.pid(), libc::SIGINT);
    assert_eq!(recording.code(), Some(0));
    assert!(client("redis-cli", &port, &["ping"]), "the server lives on");
    client("redis-cli", &port, &["shutdown", "nosave"]);
    assert_eq!(redis.code(), Some(0));
    let trace = Trace::open(&trace);
    books_balance(&trace);
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
