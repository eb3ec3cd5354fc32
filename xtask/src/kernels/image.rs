//! The file system that a machine starts with: heapcast, programs to record, the libraries of both, and a first process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Program;
use crate::command::{output, root, run as run_command};

const INIT: &str = include_str!("init.sh");

/// Packs everything into one file.
///
/// # Errors
/// A compiler or a tool is missing.
pub(super) fn build(folder: &Path, programs: &[Program]) -> Result<PathBuf, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let tree = folder.join("image");
    if tree.is_dir() {
        fs::remove_dir_all(&tree).map_err(failed)?;
    }
    ["bin", "programs", "proc", "sys", "dev", "tmp"].iter().try_for_each(|name| fs::create_dir_all(tree.join(name))).map_err(failed)?;
    let recorder = tree.join("bin/heapcast");
    run_command(Command::new("strip").arg("-o").arg(&recorder).arg(root().join("target/debug/heapcast")))?;
    fs::copy("/bin/busybox", tree.join("bin/busybox")).map_err(failed)?;
    install(&tree.join("init"), INIT).map_err(failed)?;
    let mut list = String::new();
    for program in programs {
        let built = tree.join("programs").join(program.name);
        let source = root().join("profiler/tests/targets").join(program.name).with_extension("c");
        run_command(Command::new("gcc").args(["-std=gnu11", "-O1", "-fno-builtin", "-pthread"]).arg(source).arg("-o").arg(&built))?;
        list += &format!("{} {}\n", program.name, program.arguments);
    }
    fs::write(tree.join("programs/list"), list).map_err(failed)?;
    for library in libraries(&recorder)? {
        let place = tree.join(library.strip_prefix('/').unwrap_or(&library));
        fs::create_dir_all(place.parent().unwrap_or(&tree)).map_err(failed)?;
        fs::copy(&library, place).map_err(failed)?;
    }
    let pack = format!("find . | cpio --quiet --create --format=newc > ../{}", IMAGE);
    run_command(Command::new("sh").args(["-c", &pack]).current_dir(&tree))?;
    Ok(folder.join(IMAGE))
}

const IMAGE: &str = "image.cpio";

fn install(file: &Path, text: &str) -> std::io::Result<()> {
    fs::write(file, text)?;
    fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o755))
}

/// The libraries that a program is started with, the loader among them.
fn libraries(program: &Path) -> Result<Vec<String>, String> {
    let said = output("ldd", &[&program.to_string_lossy()]).ok_or("ldd cannot be run")?;
    let paths = said.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(paths.map(str::to_owned).collect())
}
