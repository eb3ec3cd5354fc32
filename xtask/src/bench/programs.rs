//! What being watched costs programs that run to their end: a tight loop, python3, sqlite3.
//!
//! Each starts unwatched and waits for its input; the watcher attaches; then the input comes and CPU time counts.

use std::io::{Read, Write};
use std::process::Stdio;

use super::Bench;
use super::figures::{Table, median, micros};
use super::process::{self, Ended, all_ns, own_ns};
use super::tools::{Measured, TOOLS, Tool, in_turn};

const ROUNDS: usize = 3;

/// A program that reads what to do from its input.
struct Program {
    words: Vec<String>,
    environment: &'static [(&'static str, &'static str)],
    input: &'static str,
}

impl Program {
    fn name(&self) -> &str {
        &self.words[0]
    }
}

/// Keeps strings and lists by the hundred thousand.
const PYTHON: &str = "d={str(i): [i] * (i % 9) for i in range(60000)}\nk=sorted(d)\ndel d\n";
const SQL: &str = "create table t(a integer primary key, b text);
with recursive c(x) as (select 1 union all select x+1 from c where x<60000) insert into t select x, hex(x*7919) from c;
create index i on t(b); select count(*) from t where b>'8'; delete from t where a%3=0;\n";

/// Of one run, in nanoseconds.
struct Run {
    /// CPU time of the program's own.
    own: f64,
    /// The same with that of the watcher.
    all: f64,
    /// What `churn` measured itself: a pair.
    pair: Option<f64>,
    /// Calls of the malloc family, by heapcast.
    calls: Option<f64>,
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A program that does nothing but allocate and free.
pub(super) fn tight_loop(bench: &Bench) -> Result<String, String> {
    let churn = bench.churn.as_ref().map_err(String::clone)?;
    let words = words(&[&churn.to_string_lossy(), "9", "20000"]);
    table(bench, &Program { words, environment: &[], input: "\n" })
}

/// Python without its own arenas.
pub(super) fn python3(bench: &Bench) -> Result<String, String> {
    let environment = &[("PYTHONMALLOC", "malloc"), ("PYTHONHASHSEED", "0")];
    table(bench, &Program { words: words(&["/usr/bin/python3", "-S", "-"]), environment, input: PYTHON })
}

/// A table and an index in memory.
pub(super) fn sqlite3(bench: &Bench) -> Result<String, String> {
    table(bench, &Program { words: words(&["/usr/bin/sqlite3", ":memory:"]), environment: &[], input: SQL })
}

fn table(bench: &Bench, program: &Program) -> Result<String, String> {
    let runs = in_turn(bench, ROUNDS, program.name(), |tool| measure(bench, tool, program));
    let bare = runs[0].as_ref().map_err(String::clone)?;
    let pairs = pairs(&runs);
    let floor = runs[1].as_ref().ok().map(|runs| added(runs, bare, pairs));
    let ours = runs[2].as_ref().map(|runs| added(runs, bare, pairs)).map_err(String::clone)?;
    let mut table = Table::new(&[
        "watched by",
        "CPU time of the program",
        "a malloc + free",
        "added to each",
        "in all, with the watcher's",
        "heapcast : this",
    ]);
    for (tool, runs) in TOOLS.iter().zip(&runs) {
        match runs {
            Ok(runs) => table.row(&cells(*tool, runs, bare, pairs, ours)),
            Err(why) => {
                table.row(&[tool.name().into(), format!("not measured: {why}"), String::new(), String::new(), String::new(), String::new()])
            }
        }
    }
    let floor = floor.map_or(String::new(), |floor| format!(" heapcast adds {:+.1} % over the floor.", (ours / floor - 1.0) * 100.0));
    Ok(format!("{pairs:.0} pairs, {} rounds in turn.{floor}{}\n\n{}\n", ROUNDS, cheaper(&runs, bare, pairs, ours), table.text()))
}

/// Tools that cost the program less than heapcast does, in words.
fn cheaper(runs: &Measured<Run>, bare: &[Run], pairs: f64, ours: f64) -> String {
    let named = TOOLS.iter().zip(runs).skip(3).filter_map(|(tool, runs)| {
        let added = added(runs.as_ref().ok()?, bare, pairs);
        (added < ours).then(|| format!(" {} costs the program less: {:.0} % of heapcast.", tool.name(), added / ours * 100.0))
    });
    named.collect()
}

/// Pairs of malloc and free that a run makes: counted by heapcast, two calls each.
fn pairs(runs: &Measured<Run>) -> f64 {
    let calls: Vec<f64> = runs.iter().flatten().flatten().filter_map(|run| run.calls).collect();
    if calls.is_empty() { f64::NAN } else { median(&calls) / 2.0 }
}

fn medians(runs: &[Run], value: impl Fn(&Run) -> f64) -> f64 {
    median(&runs.iter().map(value).collect::<Vec<_>>())
}

/// Nanoseconds of a pair: the program's own figure, else its CPU time over its pairs.
fn each(run: &Run, pairs: f64) -> f64 {
    run.pair.unwrap_or(run.own / pairs)
}

/// What a pair costs more than unwatched, ns.
fn added(runs: &[Run], bare: &[Run], pairs: f64) -> f64 {
    medians(runs, |run| each(run, pairs)) - medians(bare, |run| each(run, pairs))
}

fn cells(tool: Tool, runs: &[Run], bare: &[Run], pairs: f64, ours: f64) -> [String; 6] {
    let per_pair: Vec<f64> = runs.iter().map(|run| each(run, pairs)).collect();
    let own = format!("{:.2} s", medians(runs, |run| run.own) / 1e9);
    let first = [tool.name().to_owned(), own, micros(&per_pair)];
    let rest = if tool == Tool::Bare {
        [(); 3].map(|()| "–".to_owned())
    } else {
        let in_all = (medians(runs, |run| run.all) - medians(bare, |run| run.all)) / pairs;
        let added = added(runs, bare, pairs);
        [format!("{:.3} µs", added / 1e3), format!("{:.3} µs", in_all / 1e3), format!("1 : {:.2}", added / ours)]
    };
    let [name, own, pair] = first;
    let [added, in_all, ratio] = rest;
    [name, own, pair, added, in_all, ratio]
}

fn measure(bench: &Bench, tool: Tool, program: &Program) -> Result<Run, String> {
    let mut command = tool.start(bench, &program.words);
    command.envs(program.environment.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = Ended(command.spawn().map_err(|error| format!("{}: {error}", program.name()))?);
    let pid = child.0.id();
    process::until_it_waits(&child.0)?;
    let watcher = tool.attach(bench, pid)?;
    let (own, all) = (own_ns(pid)?, watcher.as_ref().map_or(0.0, |watcher| watcher.ns()));
    let ticks = all_ns(pid);
    let told = child.0.stdin.take().map(|mut input| input.write_all(program.input.as_bytes()));
    told.transpose().map_err(|error| format!("{}: {error}", program.name()))?;
    process::until_it_ends(&child.0)?;
    let own = own_ns(pid)? - own;
    // What other threads of it did: a valgrind or a preloaded library may have some.
    let others = (all_ns(pid) - ticks - own).max(0.0);
    let mut text = String::new();
    child.0.stdout.take().map(|mut out| out.read_to_string(&mut text)).transpose().map_err(|error| error.to_string())?;
    let watched = watcher.map_or(Ok(0.0), |watcher| Ok::<_, String>(watcher.finish()? - all))? + tool.afterwards(bench)?;
    let pair = text.lines().find_map(|line| line.strip_prefix("churn: ")?.split(' ').next()?.parse().ok());
    let calls = if tool == Tool::Heapcast { Some(bench.heap_calls()?) } else { None };
    Ok(Run { own, all: own + others + watched, pair, calls })
}
