//! How far the recorded placements, driven through the page model, are from what the kernel measured: on real programs, as a table.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::command;

/// A program to record: its name in the table, and its command line.
struct Subject {
    name: &'static str,
    command: Vec<String>,
    /// Process of the recording to look at, where it is not the largest.
    process: Option<&'static str>,
    /// A server that is loaded and ended from outside while it is recorded.
    port: Option<u16>,
}

/// Records each program and prints the table. Needs root, sqlite3, python3, gcc and redis-server.
pub(crate) fn run() -> Result<(), String> {
    command::run(&mut command::cargo("build --release --locked -p profiler"))?;
    let folder = command::root().join("target/accuracy");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    println!("| program | events | lost | peak RSS measured | replayed | error | minor faults measured | replayed | error |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for subject in subjects(&folder)? {
        let row = measure(&subject, &folder).map_err(|error| format!("{}: {error}", subject.name))?;
        println!("| {} | {row} |", subject.name);
    }
    Ok(())
}

fn subjects(folder: &Path) -> Result<Vec<Subject>, String> {
    let plain =
        |name, words: &[&str]| Subject { name, command: words.iter().map(|word| (*word).to_owned()).collect(), process: None, port: None };
    let script = write(folder, "script.sql", SQL)?;
    let source = write(folder, "big.c", &generated_c())?;
    let object = folder.join("big.o").display().to_string();
    let port = free_port()?;
    let server = ["redis-server", "--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    Ok(vec![
        plain("python3, json strings", &["/usr/bin/python3", "-c", "import json; d=[json.dumps({'k':i}) for i in range(300000)]"]),
        plain("python3 on malloc", &["env", "PYTHONMALLOC=malloc", "/usr/bin/python3", "-c", "d={str(i):i for i in range(200000)}"]),
        plain("sqlite3, table and index", &["sqlite3", ":memory:", &format!(".read {script}")]),
        Subject { process: Some("cc1"), ..plain("gcc -O2: cc1", &["gcc", "-O2", "-c", "-o", &object, &source]) },
        Subject { port: Some(port), ..plain("redis-server under load", &server) },
    ])
}

const SQL: &str = "create table t(a integer primary key, b text);
with recursive c(x) as (select 1 union all select x+1 from c where x<100000) insert into t select x, hex(x*7919) from c;
create index i on t(b); select count(*) from t where b>'8'; delete from t where a%3=0; vacuum;\n";

/// Enough work for a compiler to fill some tens of megabytes.
fn generated_c() -> String {
    let function = |i: u32| format!("int f{i}(int a,int b){{int s=0;for(int i=0;i<a;i++){{s+=i*b^{i};if(s>{})s-=b;}}return s;}}\n", i * 7);
    (0..400).map(function).collect()
}

fn write(folder: &Path, name: &str, text: &str) -> Result<String, String> {
    let path = folder.join(name);
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path.display().to_string())
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}

fn measure(subject: &Subject, folder: &Path) -> Result<String, String> {
    let out = folder.join("report");
    let mut heapcast = Command::new(command::root().join("target/release/heapcast"));
    heapcast.args(["run", "--quiet", "--force", "--policy", "recorded", "-o"]).arg(&out);
    heapcast.args(subject.process.iter().flat_map(|process| ["--process", process])).arg("--").args(&subject.command);
    let mut child = heapcast.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|error| error.to_string())?;
    if let Some(port) = subject.port {
        load_and_end(port, &mut child)?;
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("heapcast: {status}"));
    }
    row(&out)
}

/// Loads the server with a benchmark once it answers, then asks it to end.
fn load_and_end(port: u16, child: &mut Child) -> Result<(), String> {
    let port = port.to_string();
    let quiet = |program: &str, words: &[&str]| {
        Command::new(program).args(["-h", "127.0.0.1", "-p", &port]).args(words).stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    let begun = Instant::now();
    while !quiet("redis-cli", &["ping"]).map_err(|error| error.to_string())?.success() {
        if begun.elapsed() > Duration::from_secs(60) || child.try_wait().map_err(|error| error.to_string())?.is_some() {
            return Err("the server does not answer".to_owned());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let words = ["-n", "100000", "-t", "set,lpush", "-r", "100000", "-d", "100", "-q"];
    quiet("redis-benchmark", &words).map_err(|error| error.to_string())?;
    quiet("redis-cli", &["shutdown", "nosave"]).map_err(|error| error.to_string())?;
    Ok(())
}

/// The cells of one program, from the tables that heapcast wrote.
fn row(out: &Path) -> Result<String, String> {
    let read = |name: &str| std::fs::read_to_string(out.join(name)).map_err(|error| format!("{name}: {error}"));
    let fidelity = read("fidelity.csv")?;
    let study: serde_json::Value = serde_json::from_str(&read("study.json")?).map_err(|error| error.to_string())?;
    let sum = |name: &str| -> u64 {
        let counts = study["recording"][name].as_array().into_iter().flatten();
        counts.filter_map(|count| count["count"].as_u64()).sum()
    };
    let metric = |name: &str, scale: f64, unit: &str| -> Result<String, String> {
        let line = fidelity.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(','));
        let numbers: Vec<f64> = line.unwrap_or_default().split(',').filter_map(|cell| cell.parse().ok()).collect();
        let [measured, replayed, error] = numbers[..] else { return Err(format!("no {name} in fidelity.csv")) };
        let digits = usize::from(scale > 1.0);
        Ok(format!("{:.digits$}{unit} | {:.digits$}{unit} | {:+.2} %", measured / scale, replayed / scale, error * 100.0))
    };
    let (peak, faults) = (metric("peak_rss_bytes", 1048576.0, " MiB")?, metric("minor_faults", 1.0, "")?);
    Ok(format!("{} | {} | {peak} | {faults}", sum("events"), sum("lost")))
}
