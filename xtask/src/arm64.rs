//! Whether the program compiles for arm64, with Debian's compiler and its arm64 library, which is unpacked below `target` and never installed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::command::{cargo, find, output, root, run as run_command};
use crate::debian::{self, Apt};

const COMPILER: &str = "/usr/bin/rustc";
/// For the libraries in C that dependencies bring.
const C_COMPILER: &str = "aarch64-linux-gnu-gcc";
const TARGET: &str = "aarch64-unknown-linux-gnu";
const LIBRARY: &str = "libstd-rust-web-dev";
const ARM64: [&str; 4] = ["-o", "APT::Architecture=arm64", "-o", "APT::Architectures=arm64"];

/// `cargo xtask arm64`. It takes some minutes, most of them for `polars`.
pub(crate) fn run() -> Result<(), String> {
    find(C_COMPILER).ok_or(format!("there is no {C_COMPILER}: Debian's package gcc-aarch64-linux-gnu"))?;
    let sysroot = sysroot(&root().join("target/arm64-library"))?;
    let mut check = cargo("check --locked --package profiler --target-dir target/arm64 --target");
    check.arg(TARGET).env("RUSTC", COMPILER).env_remove("RUSTUP_TOOLCHAIN");
    run_command(check.env("CARGO_ENCODED_RUSTFLAGS", format!("--sysroot={}", sysroot.display())))
}

/// A folder with the libraries of this machine, for build scripts, and of arm64.
fn sysroot(folder: &Path) -> Result<PathBuf, String> {
    let sysroot = folder.join("sysroot");
    if sysroot.is_dir() {
        return Ok(sysroot);
    }
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let own = output(COMPILER, &["--print=sysroot"]).ok_or(format!("there is no {COMPILER}: Debian's package rustc-web"))?;
    let unpacked = fetch(folder)?;
    let place = folder.join("begun/lib/rustlib");
    fs::create_dir_all(&place).map_err(failed)?;
    for entry in fs::read_dir(Path::new(own.trim()).join("lib/rustlib")).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        symlink(entry.path(), place.join(entry.file_name())).map_err(failed)?;
    }
    symlink(unpacked.join("usr/lib/rustlib").join(TARGET), place.join(TARGET)).map_err(failed)?;
    // Renamed in the end: what is there is complete.
    fs::rename(folder.join("begun"), &sysroot).map_err(failed)?;
    Ok(sysroot)
}

/// The library and what it needs, of the version of this machine's, from wherever that came. Answers with the folder that they were unpacked into.
fn fetch(folder: &Path) -> Result<PathBuf, String> {
    let version = output("dpkg-query", &["--show", "--showformat=${Version}", LIBRARY]).ok_or(format!("{LIBRARY} is not installed"))?;
    let targets = output("apt-get", &["indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages", "Component: main"]);
    let sources = targets.unwrap_or_default();
    let sources: String =
        sources.lines().filter_map(|line| line.split_once(' ')).map(|(release, mirror)| debian::source(mirror, release)).collect();
    if sources.is_empty() {
        return Err("no mirror of Debian is set up here".to_owned());
    }
    let apt = Apt::new(folder, &ARM64, &sources)?;
    let shared = apt.depends(&format!("{LIBRARY}={version}"), "libstd-rust")?;
    let wanted: Vec<String> = shared.into_iter().chain([LIBRARY.to_owned()]).map(|name| format!("{name}={version}")).collect();
    apt.download(&wanted)?;
    apt.unpack()
}
