//! What recording costs programs, beside what one would take in its place, and how fast a replay is. All in one run on one machine.
//!
//! ```text
//! programs   a tight loop, python3 and sqlite3 under each tool
//! server     redis-server under each tool, and under the lightest recording
//! replay     stages and models on three traces; memory; several policies at once
//! page       size of a report, and how soon it shows
//! tools      who watches, and how each attaches          headers   what memleak is compiled with
//! process    CPU time of others                          figures   medians, spreads, tables
//! ```

mod figures;
mod headers;
mod page;
mod process;
mod programs;
mod replay;
mod server;
mod tools;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{self, cargo, find, output, root};

/// Packages whose versions stand beside the figures.
const COMPARED: [&str; 6] = ["bpftrace", "bpfcc-tools", "heaptrack", "valgrind", "redis-server", "chromium"];

/// A subject: the word that asks for it alone, its heading, and what makes its text.
type Part = (&'static str, &'static str, fn(&Bench) -> Result<String, String>);

const PARTS: [Part; 7] = [
    ("loop", "A tight loop that is watched", programs::tight_loop),
    ("python3", "python3 with `PYTHONMALLOC=malloc` that is watched", programs::python3),
    ("sqlite3", "sqlite3 that is watched", programs::sqlite3),
    ("server", "redis-server that is watched", server::table),
    ("vm", "The lightest recording: `--events vm`", server::light),
    ("replay", "Replay", replay::tables),
    ("page", "The report", page::table),
];

/// `cargo xtask bench [PART…]`.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    if let Some(word) = words.iter().find(|word| !PARTS.iter().any(|(name, ..)| name == *word)) {
        return Err(format!("no part {word}; there are {}", PARTS.map(|(name, ..)| name).join(", ")));
    }
    if output("id", &["-u"]).is_none_or(|id| id.trim() != "0") {
        return Err("recording needs root".to_owned());
    }
    command::run(&mut cargo("build --release --package profiler --locked"))?;
    let bench = Bench::new()?;
    for (name, heading, make) in PARTS.iter().filter(|(name, ..)| words.is_empty() || words.contains(name)) {
        let before = load();
        let text = make(&bench).unwrap_or_else(|why| format!("not measured: {why}\n"));
        let text = format!("### {heading}\n\n{}\n\nLoad of the machine before and after: {before}, {}.\n", text.trim_end(), load());
        println!("\n{text}");
        bench.write(&format!("figures-{name}.md"), &text)?;
    }
    // What was measured in other runs stays.
    let kept = PARTS.iter().map(|(name, heading, _)| {
        let text = std::fs::read_to_string(bench.folder.join(format!("figures-{name}.md")));
        text.unwrap_or_else(|_| format!("### {heading}\n\nnot measured\n"))
    });
    bench.write("README-figures.md", &format!("{}\n{}", machine(), kept.collect::<Vec<_>>().join("\n")))
}

/// Where it was measured, under the heading of all figures.
fn machine() -> String {
    let line = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let found = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        found.trim_matches(['\t', ' ', ':', '"', '=']).to_owned()
    };
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (cpu, system) = (line("/proc/cpuinfo", "model name"), line("/etc/os-release", "PRETTY_NAME"));
    let kernel = output("uname", &["-r"]).unwrap_or_default();
    let versions = COMPARED.iter().filter_map(|name| output("dpkg-query", &["-W", "-f", "${Package} ${Version}", name]));
    let versions = versions.collect::<Vec<_>>().join(", ");
    format!("## Figures\n\n{cpus} CPUs: {cpu}. Linux {}, {system}: {versions}.\n", kernel.trim().split('-').next().unwrap_or_default())
}

/// Runnable threads on average of the last minute.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// What every measurement needs.
struct Bench {
    heapcast: PathBuf,
    /// Where programs and traces are put.
    folder: PathBuf,
    /// Programs in C, built just now, or why they are not there.
    churn: Result<PathBuf, String>,
    floor: Result<PathBuf, String>,
}

impl Bench {
    fn new() -> Result<Bench, String> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir));
        let folder = target.join("bench");
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let [churn, floor] = ["churn", "floor"].map(|name| compiled(&folder, name));
        Ok(Bench { heapcast: target.join("release/heapcast"), folder, churn, floor })
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        std::fs::write(self.folder.join(name), text).map_err(|error| format!("{name}: {error}"))
    }

    /// heapcast on a running process.
    fn record(&self, pid: &str, options: &[&str]) -> Command {
        let mut command = Command::new(&self.heapcast);
        command.args(["record", "--quiet", "--force", "-o"]).arg(self.trace()).args(["--pid", pid]).args(options);
        command
    }

    fn trace(&self) -> PathBuf {
        self.folder.join("watched.trace")
    }

    /// Calls of the malloc family in what was recorded last.
    fn heap_calls(&self) -> Result<f64, String> {
        let path = self.trace().join("manifest.json");
        let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let manifest: serde_json::Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        let made = |kind: &str| manifest["counts"]["kinds"][kind]["made"].as_u64().unwrap_or(0) as f64;
        Ok(["malloc", "calloc", "realloc", "free"].map(made).iter().sum())
    }
}

fn compiled(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let compiler = find("gcc").or_else(|| find("cc")).ok_or("no C compiler")?;
    let program = folder.join(name);
    let source = root().join("profiler/benches").join(name).with_extension("c");
    command::run(Command::new(compiler).args(["-O2", "-fno-builtin", "-o"]).arg(&program).arg(source))?;
    Ok(program)
}
