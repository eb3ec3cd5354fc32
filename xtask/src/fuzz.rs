//! Fuzzing with the stable compiler: libFuzzer needs no more than counters in the code, which a pass of LLVM adds.

use std::path::Path;

use crate::command;

const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// Feeds a target of `fuzz/targets` for so many seconds; what breaks it is left in `fuzz/artifacts`.
pub(crate) fn run(args: &[&str]) -> Result<(), String> {
    let (target, seconds) = match *args {
        [target] => (target, "60"),
        [target, seconds] => (target, seconds),
        _ => return Err(format!("usage: cargo xtask fuzz TARGET [SECONDS]; targets: {}", targets()?.join(", "))),
    };
    let folder = command::root().join("fuzz");
    for kind in ["corpus", "artifacts"] {
        let place = folder.join(kind).join(target);
        std::fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    }
    // A target that is named, even if it is this machine: otherwise the flags are those of build scripts too, which do not link with them.
    let host = host().ok_or("rustc does not say for what it compiles")?;
    let limits = format!("-max_total_time={seconds} -timeout=10 -rss_limit_mb=2048");
    let mut build = command::cargo(&format!("run --locked --target {host} --bin {target} -- {limits}"));
    build.arg(format!("-artifact_prefix=artifacts/{target}/")).arg(Path::new("corpus").join(target));
    command::run(build.current_dir(&folder).env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", folder.join("target")))
}

fn host() -> Option<String> {
    let version = command::output("rustc", &["-vV"])?;
    version.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_string)
}

fn targets() -> Result<Vec<String>, String> {
    let folder = command::root().join("fuzz/targets");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<String> = entries.filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    Ok(names)
}
