//! The C libraries of other Debian releases, unpacked below `target` and never installed: for the tests that compare the model of malloc with them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::command::{output, root, run as run_command};

/// With 2.31 and 2.41. The release of this machine needs no copy.
const RELEASES: [&str; 2] = ["bullseye", "trixie"];
/// The library, and what programs are linked with.
const PACKAGES: [&str; 2] = ["libc6", "libc6-dev"];
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// `cargo xtask libcs`.
pub(crate) fn run() -> Result<(), String> {
    let mirror = mirror().ok_or("no mirror of Debian is set up here: the C libraries of other releases cannot be fetched")?;
    RELEASES.iter().try_for_each(|release| fetch(&mirror, release, &root().join("target/libcs").join(release)))
}

/// Where this machine gets Debian's packages from.
pub(crate) fn mirror() -> Option<String> {
    let format = "$(ORIGIN) $(COMPONENT) $(CODENAME) $(REPO_URI)";
    let targets = output("apt-get", &["indextargets", "--format", format, "Created-By: Packages"])?;
    let fields = targets.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let release = |codename: &str| !codename.contains('-');
    fields.into_iter().find_map(|fields| match fields[..] {
        ["Debian", "main", codename, uri] if release(codename) => Some(uri.to_owned()),
        _ => None,
    })
}

/// Leaves `root/`, and `version`, which is written last: without it the folder is not complete.
fn fetch(mirror: &str, release: &str, folder: &Path) -> Result<(), String> {
    let version_file = folder.join("version");
    if version_file.is_file() {
        return Ok(());
    }
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    set_up(&source(mirror, release), folder).map_err(failed)?;
    run_command(apt("apt-get", folder).args(["--quiet=2", "update"]))?;
    run_command(apt("apt-get", folder).args(["--quiet=2", "download"]).args(PACKAGES))?;
    let mut version = None;
    for package in packages(folder).map_err(failed)? {
        run_command(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(folder.join("root")))?;
        version = output("dpkg-deb", &["--field", &package.to_string_lossy(), "Version"]);
    }
    ["lists", "cache"].iter().try_for_each(|name| fs::remove_dir_all(folder.join(name))).map_err(failed)?;
    let version = version.and_then(|text| Some(text.split_once('-')?.0.to_owned())).ok_or("the package names no version")?;
    println!("{release}: glibc {version} in {}", folder.display());
    fs::write(version_file, version).map_err(failed)
}

/// Prepares a folder for [`apt`] with these sources.
pub(crate) fn set_up(sources: &str, folder: &Path) -> std::io::Result<()> {
    ["lists/partial", "cache/archives/partial"].iter().try_for_each(|name| fs::create_dir_all(folder.join(name)))?;
    fs::write(folder.join("sources.list"), sources)
}

/// One release of a mirror, as a line of `sources.list`.
pub(crate) fn source(mirror: &str, release: &str) -> String {
    format!("deb [signed-by={KEYS}] {mirror} {release} main\n")
}

/// `apt-get` or `apt-cache` with lists, sources and downloads in a folder of its own; nothing of the machine changes.
pub(crate) fn apt(program: &str, folder: &Path) -> Command {
    let mut apt = Command::new(program);
    let places = [("Etc::SourceList", "sources.list"), ("State::Lists", "lists"), ("Cache", "cache")];
    for (key, name) in places {
        apt.arg("-o").arg(format!("Dir::{key}={}", folder.join(name).display()));
    }
    let others = ["Dir::Etc::SourceParts=/dev/null", "Dir::State::Status=/dev/null", "Acquire::Languages=none", "APT::Sandbox::User=root"];
    others.iter().for_each(|option| _ = apt.args(["-o", option]));
    apt.current_dir(folder);
    apt
}

/// The packages that were downloaded into a folder.
pub(crate) fn packages(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let files = entries.into_iter().map(|entry| entry.path());
    Ok(files.filter(|file| file.extension().is_some_and(|extension| extension == "deb")).collect())
}
