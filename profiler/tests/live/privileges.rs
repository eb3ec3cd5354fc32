//! Without privileges: recording says what is missing, replaying works.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::possible;
use crate::support::{Folder, Said, heapcast, said};

const NOBODY: u32 = 65534;

/// A copy of the program where everybody may execute it, which the build folder need not be.
struct Nobody(Folder);

impl Nobody {
    fn new(name: &str) -> Nobody {
        let folder = Folder::below(&std::env::temp_dir(), name);
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).expect("ours");
        let copy = folder.join("heapcast");
        // By another process: what this one has open for writing, a child that another test forks meanwhile has, too, and nobody may execute it.
        let install = Command::new("install").args(["-m", "755", env!("CARGO_BIN_EXE_heapcast")]).arg(&copy).status();
        assert!(install.expect("it is part of every system").success());
        Nobody(folder)
    }

    fn says(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(self.0.join("heapcast"));
        said(command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null()).uid(NOBODY).gid(NOBODY))
    }
}

#[test]
fn recording_says_what_is_missing() {
    let Some(_alone) = possible() else { return };
    let nobody = Nobody::new("heapcast-nobody-records");
    for words in [vec!["record", "--", "true"], vec!["record", "--pid", "1"], vec!["run", "--", "true"]] {
        let said = nobody.says(&words).exits(3);
        assert!(said.err.contains("CAP_BPF") && said.err.contains("sudo"), "{words:?}: {}", said.err);
        assert!(said.out.is_empty());
    }
    let said = nobody.says(&["doctor"]).exits(3);
    assert!(said.out.contains("privileges") && said.err.contains("CAP_BPF"), "{}{}", said.out, said.err);
}

#[test]
fn recording_inside_a_process_namespace_is_refused() {
    let Some(_alone) = possible() else { return };
    let program = heapcast(&["record", "--quiet", "--force", "--output"]);
    let folder = Folder::new("inside-a-namespace");
    let mut command = Command::new("unshare");
    command.args(["--mount-proc", "--pid", "--fork"]).arg(program.get_program()).args(program.get_args());
    let said = said(command.arg(folder.join("trace")).args(["--", "true"])).exits(4);
    assert!(said.err.contains("namespace") && said.err.contains("--pid"), "{}", said.err);
}

#[test]
fn replaying_needs_no_privileges() {
    let Some(_alone) = possible() else { return };
    let nobody = Nobody::new("heapcast-nobody-replays");
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/each_call");
    let trace: PathBuf = nobody.0.join("trace");
    std::fs::create_dir(&trace).expect("ours");
    for file in ["events.arrow", "manifest.json"] {
        std::fs::copy(stored.join(file), trace.join(file)).expect("a stored trace");
        std::fs::set_permissions(trace.join(file), PermissionsExt::from_mode(0o644)).expect("ours");
    }
    std::fs::set_permissions(&trace, PermissionsExt::from_mode(0o755)).expect("ours");
    let said = nobody.says(&["replay", "trace", "-o", "report"]).exits(0);
    assert!(said.out.contains("recorded") && nobody.0.join("report/summary.csv").is_file());
    nobody.says(&["inspect", "trace"]).exits(0);
}
