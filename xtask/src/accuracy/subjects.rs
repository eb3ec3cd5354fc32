//! The programs that are recorded, and what they work on.

use std::fmt::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use super::write;
use crate::command;

/// A program to record: its name in the tables, and how it is called.
#[derive(Clone, Default)]
pub(super) struct Subject {
    pub(super) name: &'static str,
    pub(super) command: Vec<String>,
    pub(super) environment: Vec<(&'static str, &'static str)>,
    /// Process of the recording to look at, where it is not the largest.
    pub(super) process: Option<&'static str>,
    /// A server that is loaded and ended from outside while it is recorded.
    pub(super) port: Option<u16>,
    /// Settings under which it is really run beside those of all.
    pub(super) settings: &'static [&'static str],
}

impl Subject {
    fn new(name: &'static str, words: &[&str]) -> Subject {
        Subject { name, command: words.iter().map(|word| (*word).to_owned()).collect(), ..Subject::default() }
    }
}

/// Programs that say more about the page model than about glibc: other allocators, several processes.
pub(super) fn of_the_page_model(folder: &Path) -> Result<Vec<Subject>, String> {
    let source = write(folder, "big.c", &functions(400))?;
    let object = folder.join("big.o").display().to_string();
    let named = ["python3 on malloc", "sqlite3, table and index", "cc1 -O2"];
    let mut subjects = vec![
        Subject::new("python3, json strings", &[PYTHON, "-c", JSON]),
        python(),
        sqlite(folder)?,
        Subject { process: Some("cc1"), ..Subject::new("gcc -O2: cc1", &["gcc", "-O2", "-c", "-o", &object, &source]) },
    ];
    // Those that are also really run with settings, but for the ones above under other names.
    subjects.extend(with_one_thread(folder)?.into_iter().filter(|subject| !named.contains(&subject.name)));
    subjects.extend(with_threads(folder)?.into_iter().filter(|subject| subject.name.starts_with("sort")));
    subjects.extend([convert(folder)?, redis()?]);
    Ok(subjects)
}

/// Programs that are really run with other allocators.
pub(super) fn of_the_libraries(folder: &Path) -> Result<Vec<Subject>, String> {
    let mut subjects = with_one_thread(folder)?;
    // It asks for memory sixteen times, which says little of an allocator.
    subjects.retain(|subject| subject.name != "xz -3");
    subjects.push(redis()?);
    Ok(subjects)
}

/// Programs on glibc's malloc with one thread: two runs do the same.
pub(super) fn with_one_thread(folder: &Path) -> Result<Vec<Subject>, String> {
    let source = write(folder, "less.c", &functions(150))?;
    let cc1 = command::output("gcc", &["-print-prog-name=cc1"]).ok_or("there is no gcc")?;
    let records = write(folder, "records.json", &records())?;
    let lines = write(folder, "lines.txt", &lines())?;
    let repository = repository(folder)?;
    let filter = "[.[] | select(.id % 3 == 0) | {name, n: (.tags | length)}] | group_by(.n) | map(length)";
    let seeds = vec![("PERL_HASH_SEED", "0"), ("PERL_PERTURB_KEYS", "0")];
    Ok(vec![
        python(),
        sqlite(folder)?,
        Subject { environment: seeds, settings: &["tcache_max=128"], ..Subject::new("perl, hash of strings", &["perl", "-e", PERL]) },
        Subject { settings: &["perturb=1", "hugetlb=1"], ..Subject::new("jq, filter and group", &["jq", filter, &records]) },
        Subject {
            settings: &["tcache_max=128", "hugetlb=1"],
            ..Subject::new("cc1 -O2", &[cc1.trim(), "-quiet", "-O2", "-o", "/dev/null", &source])
        },
        Subject { settings: &["perturb=1", "hugetlb=1"], ..Subject::new("xz -3", &["xz", "-3", "-k", "-c", &lines]) },
        Subject { settings: &["arena_test=1"], ..git("git log -p", &repository, &["log", "-p"]) },
        Subject { settings: &["perturb=1"], ..git("git rev-list --objects", &repository, &["rev-list", "--objects", "--all"]) },
    ])
}

/// The same, and two whose buffers are used in part.
pub(super) fn of_the_settings(folder: &Path) -> Result<Vec<Subject>, String> {
    let mut subjects = with_one_thread(folder)?;
    subjects.extend([convert(folder)?, sparse(folder)?]);
    Ok(subjects)
}

/// Programs that have their objects in a heap of their own, of which malloc knows nothing.
pub(super) fn with_their_own_heap() -> Vec<Subject> {
    let objects = "const a = []; for (let i = 0; i < 300000; i++) a.push({ k: i, s: 'x' + i }); console.log(a.length)";
    vec![Subject::new("python3, json strings", &[PYTHON, "-c", JSON]), Subject::new("node, objects", &["/usr/bin/node", "-e", objects])]
}

/// Programs on glibc's malloc with several threads, whose order is the scheduler's.
pub(super) fn with_threads(folder: &Path) -> Result<Vec<Subject>, String> {
    let lines = write(folder, "lines.txt", &lines())?;
    let repository = repository(folder)?;
    Ok(vec![
        Subject::new("sort --parallel=4", &["sort", "--parallel=4", "-S", "8M", "-o", "/dev/null", &lines]),
        Subject::new("pigz -p 4", &["pigz", "-p", "4", "-k", "-c", &lines]),
        Subject::new("xz -T4", &["xz", "-T4", "--block-size=1MiB", "-1", "-k", "-c", &lines]),
        git(
            "git pack-objects, 4 threads",
            &repository,
            &["pack-objects", "--all", "--revs", "--threads=4", "--no-reuse-object", "--stdout", "-q"],
        ),
        Subject::new("python3, 4 threads on malloc", &[PYTHON, "-c", THREADS]).on_malloc(),
    ])
}

impl Subject {
    fn on_malloc(self) -> Subject {
        Subject { environment: vec![("PYTHONMALLOC", "malloc"), ("PYTHONHASHSEED", "0")], ..self }
    }
}

const JSON: &str = "import json; d=[json.dumps({'k':i}) for i in range(300000)]";
const PYTHON: &str = "/usr/bin/python3";

fn python() -> Subject {
    let program = Subject::new("python3 on malloc", &[PYTHON, "-c", "d={str(i):i for i in range(200000)}"]);
    Subject { settings: &["tcache_unsorted_limit=1", "hugetlb=2"], ..program.on_malloc() }
}

const THREADS: &str = "import threading
def work(n):
    kept = {}
    for i in range(40000):
        kept[i * n % 7919] = 'x' * (i * n % 3000)
threads = [threading.Thread(target=work, args=(n,)) for n in (3, 5, 7, 11)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]";

fn sqlite(folder: &Path) -> Result<Subject, String> {
    let script = write(folder, "script.sql", SQL)?;
    let program = Subject::new("sqlite3, table and index", &["sqlite3", ":memory:", &format!(".read {script}")]);
    Ok(Subject { settings: &["arena_max=1", "perturb=1", "hugetlb=1"], ..program })
}

const SQL: &str = "create table t(a integer primary key, b text);
with recursive c(x) as (select 1 union all select x+1 from c where x<100000) insert into t select x, hex(x*7919) from c;
create index i on t(b); select count(*) from t where b>'8'; delete from t where a%3=0; vacuum;\n";

const PERL: &str = "$h{$_} = 'x' x ($_ % 5000) for 1..20000; delete $h{$_} for 1..9000; print scalar keys %h";

/// Enough work for a compiler to fill some tens of megabytes.
fn functions(count: u32) -> String {
    let function = |i: u32| format!("int f{i}(int a,int b){{int s=0;for(int i=0;i<a;i++){{s+=i*b^{i};if(s>{})s-=b;}}return s;}}\n", i * 7);
    (0..count).map(function).collect()
}

fn records() -> String {
    let record = |i: u32| {
        let text = "x".repeat(i as usize % 90);
        format!("{{\"id\":{i},\"name\":\"n{}\",\"tags\":[\"t{}\",\"{text}\"],\"v\":{}.5}}", i * 7919 % 100_003, i % 17, i / 7)
    };
    format!("[{}]", (0..30_000).map(record).collect::<Vec<_>>().join(",\n"))
}

fn lines() -> String {
    let line = |i: u32| format!("{:08x} some words for the line {}\n", i.wrapping_mul(2_654_435_761), i % 1000);
    (0..300_000).map(line).collect()
}

fn git(name: &'static str, repository: &str, words: &[&str]) -> Subject {
    // The one of the system: a wrapper elsewhere in the PATH would be recorded in its place.
    let command = [&["/usr/bin/git", "--no-pager", "-C", repository], words].concat();
    Subject { environment: vec![("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")], ..Subject::new(name, &command) }
}

/// A repository that is the same wherever and whenever it is made.
fn repository(folder: &Path) -> Result<String, String> {
    let place = folder.join("repository");
    if place.is_dir() {
        std::fs::remove_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    }
    let place = place.display().to_string();
    let git = |words: &[&str]| {
        let mut git = Command::new("/usr/bin/git");
        git.args(words).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        git
    };
    command::run(&mut git(&["init", "--quiet", "--initial-branch=main", &place]))?;
    let history = folder.join("history");
    std::fs::write(&history, commits()).map_err(|error| error.to_string())?;
    let history = std::fs::File::open(history).map_err(|error| error.to_string())?;
    command::run(git(&["-C", &place, "fast-import", "--quiet"]).stdin(Stdio::from(history)))?;
    command::run(&mut git(&["-C", &place, "reset", "--quiet", "--hard", "main"]))?;
    Ok(place)
}

/// What `git fast-import` reads: 400 commits that change lines in some of 60 files.
fn commits() -> String {
    let mut text = String::new();
    for commit in 1..=400u32 {
        let date = 1_600_000_000 + u64::from(commit) * 3600;
        let message = format!("Step {commit}");
        let _ = write!(text, "commit refs/heads/main\ncommitter A <a@example.org> {date} +0000\ndata {}\n{message}\n", message.len());
        for file in (0..6).map(|i| (commit * 7 + i * 11) % 60) {
            let body: String = (0..80 + file).map(|line| format!("line {} of {file}\n", line * (commit / 20 + line % 5) % 1009)).collect();
            let _ = write!(text, "M 644 inline part{}/file{file}.txt\ndata {}\n{body}\n", file % 5, body.len());
        }
    }
    text
}

/// An image with something in it, for ImageMagick's convert.
fn convert(folder: &Path) -> Result<Subject, String> {
    let pixel = |at: u32| format!("{} {} {}\n", at % 251, at / 640 % 256, at.wrapping_mul(2_654_435_761) >> 24);
    let image = write(folder, "image.ppm", &format!("P3 640 480 255\n{}", (0..640 * 480).map(pixel).collect::<String>()))?;
    let words = ["/usr/bin/convert", &image, "-resize", "1200x900", "-blur", "0x3", "-quality", "80", "jpg:/dev/null"];
    Ok(Subject {
        environment: vec![("OMP_NUM_THREADS", "1"), ("MAGICK_THREAD_LIMIT", "1")],
        ..Subject::new("convert, resize and blur", &words)
    })
}

/// Arrays of which every third page is used, most of them freed again, so that later ones lie where earlier ones were.
fn sparse(folder: &Path) -> Result<Subject, String> {
    let source = write(folder, "sparse.c", SPARSE)?;
    let program = folder.join("sparse").display().to_string();
    command::run(Command::new("gcc").args(["-O1", "-fno-builtin", "-o", &program, &source]))?;
    Ok(Subject::new("sparse arrays", &[&program]))
}

const SPARSE: &str = "#include <stdlib.h>
int main(void)
{
    char *kept[40] = { 0 };
    for (unsigned i = 0; i < 400; i++) {
        unsigned long size = 20000 + i * 2654435761u % 900000;
        char *array = i % 2 ? malloc(size) : calloc(1, size);
        for (unsigned long at = 0; at < size; at += 3 * 4096) array[at] = 1;
        free(kept[i * 7 % 40]);
        kept[i * 7 % 40] = array;
    }
    return 0;
}
";

fn redis() -> Result<Subject, String> {
    let port = free_port()?;
    let server = ["redis-server", "--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    Ok(Subject { port: Some(port), ..Subject::new("redis-server under load", &server) })
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}
