//! The C libraries of other Debian releases, unpacked below `target` and never installed: for the tests that compare the model of malloc with them.

use std::{fs, path::Path};

use crate::command::{output, root};
use crate::debian::{self, Apt};

/// With 2.31 and 2.41. The release of this machine needs no copy.
const RELEASES: [&str; 2] = ["bullseye", "trixie"];
/// The library, and what programs are linked with.
const PACKAGES: [&str; 2] = ["libc6", "libc6-dev"];

/// `cargo xtask libcs`.
pub(crate) fn run() -> Result<(), String> {
    let mirror = debian::mirror()?;
    RELEASES.iter().try_for_each(|release| fetch(&mirror, release, &root().join("target/libcs").join(release)))
}

/// Leaves `root/`, and `version`, which is written last: without it the folder is not complete.
fn fetch(mirror: &str, release: &str, folder: &Path) -> Result<(), String> {
    let version_file = folder.join("version");
    if version_file.is_file() {
        return Ok(());
    }
    let apt = Apt::new(folder, &[], &debian::source(mirror, release))?;
    apt.download(&PACKAGES)?;
    apt.unpack()?;
    let version = apt.packages()?.iter().find_map(|package| output("dpkg-deb", &["--field", &package.to_string_lossy(), "Version"]));
    apt.forget_lists()?;
    let version = version.and_then(|text| Some(text.split_once('-')?.0.to_owned())).ok_or("the package names no version")?;
    println!("{release}: glibc {version} in {}", folder.display());
    fs::write(version_file, version).map_err(|error| format!("{}: {error}", folder.display()))
}
