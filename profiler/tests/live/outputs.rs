//! Places that cannot be written, and programs that cannot be recorded.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::{possible, recorder};
use crate::programs;
use crate::support::{Folder, Trace, heapcast, said};

#[test]
fn an_unknown_program_is_named() {
    let Some(_alone) = possible() else { return };
    let folder = Folder::new("unknown-program");
    let said = said(recorder(&folder.join("trace"), &["--", "no-such-program-here"]).stderr(Stdio::piped())).exits(5);
    assert!(said.err.contains("no-such-program-here") && said.out.is_empty(), "{}", said.err);
}

#[test]
fn a_file_that_is_no_program_is_named() {
    let Some(_alone) = possible() else { return };
    let folder = Folder::new("no-program");
    let file = folder.join("text");
    std::fs::write(&file, "no program").expect("a file");
    let refused = |trace: &str| said(recorder(&folder.join(trace), &["--"]).arg(&file)).exits(5).err;
    let error = refused("not-executable");
    assert!(error.contains("not an executable file") && error.contains("text"), "{error}");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).expect("ours");
    let error = refused("no-format");
    assert!(error.contains("could not be executed"), "{error}");
}

#[test]
fn a_place_that_cannot_be_written_is_found_before_the_program_runs() {
    let Some(_alone) = possible() else { return };
    let folder = Folder::new("unwritable");
    let (file, ran) = (folder.join("file"), folder.join("ran"));
    std::fs::write(&file, "in the way").expect("a file");
    let touch = |verb: &str| {
        let mut command = heapcast(&[verb, "-q", "-o"]);
        said(command.arg(file.join("below")).arg("--").arg("touch").arg(&ran)).exits(7)
    };
    for verb in ["record", "run"] {
        let said = touch(verb);
        assert!(said.err.contains("below") && said.out.is_empty(), "{verb}: {}", said.err);
        assert!(!ran.exists(), "{verb}: the program has run for nothing");
    }
}

#[test]
fn nothing_is_overwritten_unless_asked() {
    let Some(_alone) = possible() else { return };
    let folder = Folder::new("overwrite");
    let trace = folder.join("trace");
    said(recorder(&trace, &["--", "true"]).stdout(Stdio::piped())).exits(0);
    let events = || std::fs::read(trace.join("events.arrow")).expect("events");
    let before = events();
    let refused = said(&mut recorder(&trace, &["--", "true"])).exits(7);
    assert!(refused.err.contains("--force"), "{}", refused.err);
    assert_eq!(events(), before);
    said(&mut recorder(&trace, &["--force", "--", "sh", "-c", "exit 3"])).exits(0);
    let trace = Trace::open(&trace);
    assert_eq!(trace.manifest.processes[0].ending.as_deref(), Some("exited 3"));
}

/// A file system of so many bytes, in memory, that goes with the value.
struct SmallDisk<'a>(&'a Folder);

impl SmallDisk<'_> {
    fn mounted<'a>(folder: &'a Folder, size: &str) -> Option<SmallDisk<'a>> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(folder.path());
        mount.status().is_ok_and(|status| status.success()).then_some(SmallDisk(folder))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[test]
fn a_full_disk_costs_what_comes_after() {
    let Some(_alone) = possible() else { return };
    let program = match programs::compile("burst") {
        Ok(program) => program,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let folder = Folder::new("full-disk");
    // Room for one batch of events and not for all.
    let Some(_disk) = SmallDisk::mounted(&folder, "512k") else { return println!("skipped: no file system can be mounted here") };
    let trace = folder.join("trace");
    let said = said(recorder(&trace, &["--"]).arg(program).args(["100000", "2"])).exits(7);
    assert!(said.err.contains("No space left") && said.err.contains("events.arrow"), "{}", said.err);
    let trace = Trace::open(&trace);
    assert!(trace.count("malloc") > 100, "{} calls", trace.count("malloc"));
    assert!(trace.damage.is_some() && !trace.manifest.complete);
}
