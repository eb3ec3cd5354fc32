//! Kernel headers for memleak, which compiles its programs where it runs.
//!
//! The kernel's own, or Debian's of any version: those come in two folders and must be one.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Bench;
use crate::command;

/// Where they are; made once.
pub(super) fn merged(bench: &Bench) -> Result<PathBuf, String> {
    let release = command::output("uname", &["-r"]).unwrap_or_default();
    let own = Path::new("/lib/modules").join(release.trim()).join("build");
    if own.is_dir() {
        return Ok(own);
    }
    let place = bench.folder.join("headers");
    if place.is_dir() {
        return Ok(place);
    }
    let common = common()?;
    let own = PathBuf::from(common.to_string_lossy().replace("-common", "-amd64"));
    for part in [&common, &own] {
        command::run(Command::new("cp").arg("--recursive").arg("--no-target-directory").arg(part).arg(&place))?;
    }
    Ok(place)
}

fn common() -> Result<PathBuf, String> {
    let entries = std::fs::read_dir("/usr/src").map_err(|error| format!("/usr/src: {error}"))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let found = paths.filter(|path| path.to_string_lossy().ends_with("-common")).max();
    found.ok_or_else(|| "no kernel headers for it (package linux-headers-amd64)".to_owned())
}
