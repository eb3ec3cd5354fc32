//! The kernels of Debian releases, as their packages have them, below `target`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{output, root};
use crate::debian::{self, Apt};

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
    let apt = Apt::new(&folder, &[], &debian::source(&debian::mirror()?, release))?;
    let image = apt.depends(NEWEST, "linux-image-")?.into_iter().next().ok_or(format!("{release} has no package {NEWEST}"))?;
    // Newer packages have the kernel itself in another one.
    let binary = apt.depends(&image, "linux-binary-")?;
    apt.download(&[vec![image], binary].concat())?;
    let unpacked = apt.unpack()?;
    let found = find(&unpacked).ok_or(format!("no kernel in the packages of {release}"))?;
    // Renamed in the end: what is there is complete.
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::copy(found, folder.join("copied")).map_err(failed)?;
    fs::remove_dir_all(unpacked).map_err(failed)?;
    apt.packages()?.iter().try_for_each(fs::remove_file).map_err(failed)?;
    apt.forget_lists()?;
    fs::rename(folder.join("copied"), &kernel).map_err(failed)?;
    Ok(kernel)
}

fn find(folder: &Path) -> Option<PathBuf> {
    let files = output("find", &[&folder.to_string_lossy(), "-type", "f", "-name", "vmlinuz*"])?;
    files.lines().next().map(PathBuf::from)
}
