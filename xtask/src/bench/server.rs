//! What being watched costs a server: redis under redis-benchmark.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Bench;
use super::figures::{Table, median, percent, spread};
use super::process::{self, Ended, own_ns};
use super::tools::{TOOLS, Tool, Watcher, in_turn};
use crate::command::{find, output};

const ROUNDS: usize = 3;
/// Requests of one load: enough for the clock, few enough to take turns often.
const REQUESTS: u32 = 20_000;
/// Pairs of a load with `--events vm` and one without.
const PAIRS: usize = 40;

/// A server that answers.
struct Server {
    child: Ended,
    port: String,
}

/// One load: requests a second as the clients saw it, and CPU time of the server for each, ns.
#[derive(Clone, Copy)]
struct Load {
    throughput: f64,
    cpu: f64,
}

impl Server {
    fn start(bench: &Bench, tool: Tool) -> Result<Server, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port().to_string();
        drop(listener);
        let words = ["/usr/bin/redis-server", "--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let mut command = tool.start(bench, &words.map(str::to_owned));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir(&bench.folder);
        let child = Ended(command.spawn().map_err(|error| format!("redis-server: {error}"))?);
        let answers = || output("redis-cli", &["-p", &port, "ping"]).is_some_and(|said| said.trim() == "PONG");
        process::until(&child.0, "answering", answers)?;
        Ok(Server { child, port })
    }

    fn pid(&self) -> u32 {
        self.child.0.id()
    }

    fn load(&self) -> Result<Load, String> {
        let before = own_ns(self.pid())?;
        let requests = REQUESTS.to_string();
        let words = ["-h", "127.0.0.1", "-p", &self.port, "-n", &requests, "-t", "set", "-r", "10000", "-d", "100", "--csv"];
        let told = output("redis-benchmark", &words).ok_or("redis-benchmark failed")?;
        let cpu = (own_ns(self.pid())? - before) / f64::from(REQUESTS);
        let throughput = told.lines().find_map(|line| line.strip_prefix("\"SET\",\"")?.split('"').next()?.parse().ok());
        Ok(Load { throughput: throughput.ok_or_else(|| format!("redis-benchmark: {told}"))?, cpu })
    }
}

fn missing() -> Option<String> {
    ["redis-server", "redis-benchmark", "redis-cli"]
        .into_iter()
        .find(|name| find(name).is_none())
        .map(|name| format!("skipped: no {name}\n"))
}

/// The table of this subject: every tool in turn.
pub(super) fn table(bench: &Bench) -> Result<String, String> {
    if let Some(reason) = missing() {
        return Ok(reason);
    }
    let loads = in_turn(bench, ROUNDS, "redis-server", |tool| watched(bench, tool));
    let bare = loads[0].as_ref().map_err(String::clone)?;
    let (throughput, cpu) = (middle(bare, |load| load.throughput), middle(bare, |load| load.cpu));
    let mut table = Table::new(&["watched by", "server's CPU time a request", "to unwatched", "requests a second", "to unwatched"]);
    for (tool, loads) in TOOLS.iter().zip(&loads) {
        match loads {
            Ok(loads) => {
                let (mine, many) = (middle(loads, |load| load.cpu), middle(loads, |load| load.throughput));
                let cells = [
                    format!("{:.2} µs", mine / 1e3),
                    format!("× {:.2}", mine / cpu),
                    format!("{many:.0}"),
                    format!("× {:.2}", many / throughput),
                ];
                table.row(&[&[tool.name().to_owned()][..], &cells].concat());
            }
            Err(why) => table.row(&[tool.name().to_owned(), format!("not measured: {why}"), String::new(), String::new(), String::new()]),
        }
    }
    Ok(format!("`redis-benchmark -t set -n {REQUESTS} -r 10000 -d 100`, {ROUNDS} rounds in turn, medians.\n\n{}", table.text()))
}

fn middle(loads: &[Load], value: fn(&Load) -> f64) -> f64 {
    median(&loads.iter().map(value).collect::<Vec<_>>())
}

fn watched(bench: &Bench, tool: Tool) -> Result<Load, String> {
    let server = Server::start(bench, tool)?;
    // Warm: what a first load does once is not what a request costs.
    if tool == Tool::Bare {
        server.load()?;
    }
    let watcher = tool.attach(bench, server.pid())?;
    let load = server.load()?;
    watcher.map(Watcher::finish).transpose()?;
    Ok(load)
}

/// The lightest recording: what `--events vm` takes of the throughput, in pairs of loads with it and without.
pub(super) fn light(bench: &Bench) -> Result<String, String> {
    if let Some(reason) = missing() {
        return Ok(reason);
    }
    let server = Server::start(bench, Tool::Bare)?;
    let (mut throughput, mut cpu) = (Vec::new(), Vec::new());
    server.load()?;
    for pair in 1..=PAIRS {
        eprint!("\r--events vm: pair {pair} of {PAIRS}");
        // Who comes first takes turns, too: a machine that warms up or slows down favours neither.
        let (with, without) = if pair % 2 == 0 {
            let without = server.load()?;
            (lightly(bench, &server)?, without)
        } else {
            (lightly(bench, &server)?, server.load()?)
        };
        throughput.push(with.throughput / without.throughput);
        cpu.push(with.cpu / without.cpu);
    }
    eprintln!();
    let mut table = Table::new(&["with `--events vm`", "median of the pairs", "95 % of such medians"]);
    for (what, ratios) in [("requests a second", &throughput), ("server's CPU time a request", &cpu)] {
        let (low, high) = spread(ratios);
        table.row(&[what.to_owned(), percent(median(ratios)), format!("{} to {}", percent(low), percent(high))]);
    }
    Ok(format!("{PAIRS} pairs of {REQUESTS} requests with the recording and without, the order in turn.\n\n{}", table.text()))
}

fn lightly(bench: &Bench, server: &Server) -> Result<Load, String> {
    let mut record: Command = bench.record(&server.pid().to_string(), &["--events", "vm"]);
    let watcher = Watcher::start(&mut record, &bench.folder.join("watcher.stderr"))?;
    let load = server.load()?;
    watcher.finish()?;
    // The kernel lets go of probes some time after the program that had them.
    std::thread::sleep(Duration::from_millis(300));
    Ok(load)
}
