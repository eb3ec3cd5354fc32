//! The kernels of Debian releases, as their packages have them, below `target`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{output, root, run as run_command};
use crate::libcs::{apt, mirror, packages};

/// The package that depends on a release's newest kernel for virtual machines.
const NEWEST: &str = "linux-image-cloud-amd64";

/// The kernel of a release, fetched unless it is there.
///
/// # Errors
/// There is no mirror, or it has no such kernel.
pub(super) fn kernel(release: &str) -> Result<PathBuf, String> {
    let folder = root().join("target/kernels").join(release);
    let kernel = folder.join("vmlinuz");
    if kernel.is_file() {
        return Ok(kernel);
    }
    let mirror = mirror().ok_or("no mirror of Debian is set up here: kernels of other releases cannot be fetched")?;
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    crate::libcs::set_up(&crate::libcs::source(&mirror, release), &folder).map_err(failed)?;
    run_command(apt("apt-get", &folder).args(["--quiet=2", "update"]))?;
    let image = depends(&folder, NEWEST, "linux-image-").into_iter().next().ok_or(format!("{release} has no package {NEWEST}"))?;
    // Newer packages have the kernel itself in another one.
    let binary = depends(&folder, &image, "linux-binary-");
    run_command(apt("apt-get", &folder).args(["--quiet=2", "download"]).arg(&image).args(binary))?;
    let unpacked = folder.join("root");
    for package in packages(&folder).map_err(failed)? {
        run_command(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&unpacked))?;
        fs::remove_file(package).map_err(failed)?;
    }
    let found = find(&unpacked).ok_or(format!("no kernel in the packages of {release}"))?;
    // Renamed in the end: what is there is complete.
    fs::copy(found, folder.join("copied")).map_err(failed)?;
    ["root", "lists", "cache"].iter().try_for_each(|name| fs::remove_dir_all(folder.join(name))).map_err(failed)?;
    fs::rename(folder.join("copied"), &kernel).map_err(failed)?;
    Ok(kernel)
}

/// What a package depends on, of the names that begin so.
fn depends(folder: &Path, package: &str, start: &str) -> Vec<String> {
    let said = apt("apt-cache", folder).args(["depends", package]).output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let names = said.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.filter(|name| name.starts_with(start)).map(str::to_owned).collect()
}

fn find(folder: &Path) -> Option<PathBuf> {
    let files = output("find", &[&folder.to_string_lossy(), "-type", "f", "-name", "vmlinuz*"])?;
    files.lines().next().map(PathBuf::from)
}
