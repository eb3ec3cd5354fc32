//! Words that mean that something is not done.

use std::path::Path;

use super::source::{Source, tokens};

/// In code: macros and attributes that put something off.
const IN_CODE: &[&[&str]] = &[&["todo", "!"], &["unimplemented", "!"], &["#", "[", "ignore"]];
/// In comments.
const IN_COMMENTS: &[&str] = &["FIXME", "XXX"];

/// The places in this file that put something off.
pub(super) fn check(path: &Path, source: &Source) -> Vec<String> {
    let code = tokens(&source.code);
    let put_off = IN_CODE.iter().flat_map(|words| {
        let found = code.windows(words.len()).filter(|window| window.iter().map(|token| token.1).eq(words.iter().copied()));
        found.map(|window| (window[0].0, words.concat()))
    });
    let remarks = IN_COMMENTS.iter().flat_map(|word| source.comments.match_indices(word).map(|(at, word)| (at, word.to_string())));
    put_off
        .chain(remarks)
        .map(|(at, word)| format!("{}:{}: {word}: finish it, or open an issue", path.display(), source.line(at)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        check(Path::new("a.rs"), &Source::new(text)).len()
    }

    #[test]
    fn unfinished_work_is_found() {
        assert_eq!(found("fn f() { todo!() }"), 1);
        assert_eq!(found("#[ignore = \"slow\"]\nfn f() { unimplemented!(\"later\") }"), 2);
        assert_eq!(found(concat!("// FIX", "ME: later\n/* XX", "X */")), 2);
    }

    #[test]
    fn talking_about_it_is_not_doing_it() {
        assert_eq!(found("const WORDS: &str = \"todo!() XXX\"; // no todo!\nlet todo = ignore;"), 0);
    }
}
