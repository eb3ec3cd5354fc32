//! The licences of the dependencies.

use serde_json::Value;

use crate::command;

/// Licences that ask for no more than that their text goes along.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Dependencies whose licence is not allowed.
pub(super) fn check() -> Result<Vec<String>, String> {
    let output = command::cargo("metadata --format-version 1 --locked").output().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata names no packages")?;
    Ok(packages.iter().filter_map(refused).collect())
}

fn refused(package: &Value) -> Option<String> {
    let (name, version) = (&package["name"], &package["version"]);
    let licence = package["license"].as_str().unwrap_or("none");
    (!is_allowed(licence)).then(|| format!("Cargo.lock: {name} {version} has the licence {licence}, which is not on the list"))
}

/// Whether an SPDX expression can be met with the list. `/` is the old way to write OR.
fn is_allowed(expression: &str) -> bool {
    let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut rest = &words[..];
    any(&mut rest) && rest.is_empty()
}

fn any(words: &mut &[&str]) -> bool {
    let mut met = all(words);
    while words.first() == Some(&"OR") {
        *words = &words[1..];
        met |= all(words);
    }
    met
}

fn all(words: &mut &[&str]) -> bool {
    let mut met = one(words);
    while words.first() == Some(&"AND") {
        *words = &words[1..];
        met &= one(words);
    }
    met
}

fn one(words: &mut &[&str]) -> bool {
    let (length, met) = match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let met = any(words);
            (1, met && words.first() == Some(&")"))
        }
        [name, "WITH", exception, ..] => (3, ALLOWED.contains(&format!("{name} WITH {exception}").as_str())),
        [name, ..] => (1, ALLOWED.contains(name)),
        [] => (0, false),
    };
    *words = &words[length.min(words.len())..];
    met
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_understood() {
        for met in
            ["MIT", "GPL-3.0 OR MIT", "MIT/Apache-2.0", "(MIT OR GPL-2.0) AND Unicode-3.0", "Apache-2.0 WITH LLVM-exception OR GPL-2.0"]
        {
            assert!(is_allowed(met), "{met}");
        }
        for unmet in
            ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR GPL-2.0) AND AGPL-3.0", "GPL-2.0 WITH LLVM-exception", "", "none", "(MIT", "MIT MIT"]
        {
            assert!(!is_allowed(unmet), "{unmet}");
        }
    }
}
