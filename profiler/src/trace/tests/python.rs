//! Standard tools open a trace.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{Folder, sample};
use crate::trace::{EVENTS, Manifest, Writer};

/// A Python that has this module: the one that `cargo xtask setup` made, or the system's.
fn python(module: &str) -> Option<PathBuf> {
    let prepared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin/python");
    let found = [prepared, "python3".into()].into_iter().find(|python| {
        let import = Command::new(python).args(["-c", &format!("import {module}")]).output();
        import.is_ok_and(|done| done.status.success())
    });
    if found.is_none() {
        eprintln!("skipped: no Python with the module {module}; `cargo xtask setup` prepares one");
    }
    found
}

fn run(python: &Path, script: &str, trace: &Path) -> String {
    let Output { status, stdout, stderr } = Command::new(python).arg("-c").arg(script).arg(trace.join(EVENTS)).output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

fn trace(name: &str) -> Folder {
    let folder = Folder::new(name);
    let mut writer = Writer::create(folder.as_ref(), &Manifest::default(), false).unwrap();
    for part in sample(160).chunks(64) {
        part.iter().for_each(|event| writer.push(event).unwrap());
        writer.flush().unwrap();
    }
    writer.finish(&Manifest::default()).unwrap();
    folder
}

/// What both are asked: rows; malloc calls; the first mmap's length and errno; sum of times; rows inside the heap.
const ANSWER: &str = "160 3 2097152 12 12720000 54\n";

#[test]
fn pyarrow_reads_it() {
    let Some(python) = python("pyarrow") else { return };
    let script = "
import sys, pyarrow.ipc, pyarrow.compute as pc
events = pyarrow.ipc.open_stream(sys.argv[1]).read_all()
events.validate(full=True)
mmap = events.filter(pc.equal(events['kind'], 'mmap'))
malloc = events.filter(pc.equal(events['kind'], 'malloc'))
print(len(events), len(malloc), mmap['size'][0], mmap['errno'][0], pc.sum(events['time_ns']), pc.sum(events['in_heap']))";
    assert_eq!(run(&python, script, trace("pyarrow").as_ref()), ANSWER);
}

#[test]
fn polars_reads_it() {
    let Some(python) = python("polars") else { return };
    let script = "
import sys, polars as pl
events = pl.read_ipc_stream(sys.argv[1])
mmap = events.filter(pl.col('kind') == 'mmap').row(0, named=True)
malloc = events.filter(pl.col('kind') == 'malloc')
print(len(events), len(malloc), mmap['size'], mmap['errno'], events['time_ns'].sum(), events['in_heap'].sum())";
    assert_eq!(run(&python, script, trace("polars").as_ref()), ANSWER);
}
