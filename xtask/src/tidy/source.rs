//! Rust source as far as the rules need it: code without comments, texts and tests, and the paths that it names.

use std::ops::Range;

/// A text and two views of it; all three have the same bytes at the same places, blanks in place of what does not belong.
pub(super) struct Source {
    pub(super) text: String,
    /// Without comments and the insides of strings.
    pub(super) code: String,
    /// Comments only.
    pub(super) comments: String,
}

impl Source {
    pub(super) fn new(text: &str) -> Source {
        let (mut code, mut comments) = (blank(text.as_bytes()), blank(text.as_bytes()));
        for (part, range) in parts(text.as_bytes()) {
            match part {
                Part::Code => code[range.clone()].copy_from_slice(&text.as_bytes()[range]),
                Part::Comment => comments[range.clone()].copy_from_slice(&text.as_bytes()[range]),
                Part::Literal => {}
            }
        }
        Source { text: text.to_string(), code: lossy(code), comments: lossy(comments) }
    }

    /// Line of a place, counted from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        1 + self.text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count()
    }

    /// The code without what is compiled for tests only, and the modules in other files of which that is said: file name if given, name.
    pub(super) fn without_tests(&self) -> (String, Vec<(Option<String>, String)>) {
        const MARK: &str = "#[cfg(test)]";
        let (mut code, mut modules) = (self.code.clone().into_bytes(), Vec::new());
        for (start, _) in self.code.match_indices(MARK) {
            let end = item_end(self.code.as_bytes(), start + MARK.len());
            let words = tokens(&self.code[start + MARK.len()..end]);
            let name = words.windows(3).find(|words| words[0].1 == "mod" && words[2].1 == ";").map(|words| words[1].1.to_string());
            modules.extend(name.map(|name| (path_attribute(&self.text[start..end]), name)));
            let blanks = blank(&code[start..end]);
            code[start..end].copy_from_slice(&blanks);
        }
        (lossy(code), modules)
    }
}

fn path_attribute(item: &str) -> Option<String> {
    let (_, rest) = item.split_once("#[path = \"")?;
    rest.split_once('"').map(|(file, _)| file.to_string())
}

/// Blanks of the same length; lines stay.
fn blank(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }).collect()
}

/// Views are cut at the edges of ASCII characters, so nothing is lost.
fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

enum Part {
    Code,
    Comment,
    Literal,
}

/// The text in parts that follow each other.
fn parts(text: &[u8]) -> Vec<(Part, Range<usize>)> {
    let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
    while at < text.len() {
        let Some((part, end)) = special(text, at) else {
            at += 1;
            continue;
        };
        parts.push((Part::Code, start..at));
        parts.push((part, at..end));
        (start, at) = (end, end);
    }
    parts.push((Part::Code, start..text.len()));
    parts
}

/// The comment or literal that begins at this place, and its end.
fn special(text: &[u8], at: usize) -> Option<(Part, usize)> {
    let rest = &text[at..];
    let in_word = at > 0 && is_word(text[at - 1]);
    match rest {
        [b'/', b'/', ..] => Some((Part::Comment, at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()))),
        [b'/', b'*', ..] => Some((Part::Comment, at + block_comment(rest))),
        [b'"', ..] => Some((Part::Literal, at + quoted(rest, b'"'))),
        [b'r', b'"' | b'#', ..] if !in_word || text[at - 1] == b'b' => raw_string(rest).map(|length| (Part::Literal, at + length)),
        [b'\'', ..] => character(rest).map(|length| (Part::Literal, at + length)),
        _ => None,
    }
}

fn block_comment(text: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let (change, length) = match &text[at..] {
            [b'/', b'*', ..] => (1, 2),
            [b'*', b'/', ..] => (-1, 2),
            _ => (0, 1),
        };
        (depth, at) = (depth + change, at + length);
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(text: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != quote {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// None for a raw identifier.
fn raw_string(text: &[u8]) -> Option<usize> {
    let hashes = text[1..].iter().take_while(|byte| **byte == b'#').count();
    let open = hashes + 2;
    (text.get(hashes + 1) == Some(&b'"')).then_some(())?;
    let close = [vec![b'"'], vec![b'#'; hashes]].concat();
    let length = text[open..].windows(close.len()).position(|window| window == close);
    Some(length.map_or(text.len(), |length| open + length + close.len()))
}

/// None for a lifetime.
fn character(text: &[u8]) -> Option<usize> {
    match text {
        [_, b'\\', ..] => Some(quoted(text, b'\'')),
        [_, first, ..] => {
            let length = 1 + [0xc0, 0xe0, 0xf0].iter().filter(|lead| *first >= **lead).count();
            (text.get(1 + length) == Some(&b'\'')).then_some(length + 2)
        }
        _ => None,
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where the item that starts here ends: behind its `;` or its closing brace.
fn item_end(code: &[u8], start: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.iter().enumerate().skip(start) {
        match byte {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth -= 1,
            _ => {}
        }
        // A closing bracket may be that of a further attribute.
        if depth == 0 && matches!(byte, b';' | b'}') {
            return at + 1;
        }
    }
    code.len()
}

/// Words, `::` and single other characters, with their places.
pub(super) fn tokens(code: &str) -> Vec<(usize, &str)> {
    let (bytes, mut tokens, mut at) = (code.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let length = match &bytes[at..] {
            [b':', b':', ..] => 2,
            [byte, ..] if is_word(*byte) => bytes[at..].iter().take_while(|byte| is_word(**byte)).count(),
            _ => code[at..].chars().next().map_or(1, char::len_utf8),
        };
        if !bytes[at].is_ascii_whitespace() {
            tokens.push((at, &code[at..at + length]));
        }
        at += length;
    }
    tokens
}

/// Every path in this code: its place and segments. The trees of `use` items are spread out.
pub(super) fn paths(code: &str) -> Vec<(usize, Vec<String>)> {
    let tokens = tokens(code);
    let (mut paths, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if tokens[at].1 == "use" {
            at = use_tree(&tokens, at + 1, &[], &mut paths);
        } else if is_word(tokens[at].1.as_bytes()[0]) {
            let (segments, end) = plain_path(&tokens, at);
            if segments.len() > 1 {
                paths.push((tokens[at].0, segments));
            }
            at = end;
        } else {
            at += 1;
        }
    }
    paths
}

fn plain_path(tokens: &[(usize, &str)], mut at: usize) -> (Vec<String>, usize) {
    let mut segments = vec![tokens[at].1.to_string()];
    while let [(_, "::"), (_, word), ..] = &tokens[at + 1..] {
        if !is_word(word.as_bytes()[0]) {
            break;
        }
        segments.push((*word).to_string());
        at += 2;
    }
    (segments, at + 1)
}

/// Spreads the tree that begins at this token; gives the token behind it.
fn use_tree(tokens: &[(usize, &str)], mut at: usize, prefix: &[String], paths: &mut Vec<(usize, Vec<String>)>) -> usize {
    let mut segments = prefix.to_vec();
    let place = tokens.get(at).map_or(0, |token| token.0);
    while let Some((_, token)) = tokens.get(at) {
        match *token {
            "{" => return use_group(tokens, at + 1, &segments, paths),
            "," | "}" | ";" => break,
            "as" => at += 1,
            "::" => {}
            word => segments.push(word.to_string()),
        }
        at += 1;
    }
    if segments.len() > prefix.len() {
        paths.push((place, segments));
    }
    at
}

fn use_group(tokens: &[(usize, &str)], mut at: usize, prefix: &[String], paths: &mut Vec<(usize, Vec<String>)>) -> usize {
    while let Some((_, token)) = tokens.get(at) {
        match *token {
            "}" => return at + 1,
            "," => at += 1,
            _ => at = use_tree(tokens, at, prefix, paths),
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(code: &str) -> Vec<String> {
        paths(code).into_iter().map(|(_, segments)| segments.join("::")).collect()
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = "let a = \"x // \\\" y\"; // use b\n/* c /* d */ e */ f('\\'', 'g', '\u{e4}', r#\"h\"\"#, &'i str);";
        let source = Source::new(text);
        assert_eq!(source.code.split_whitespace().collect::<String>(), "leta=;f(,,,,&'istr);");
        assert_eq!(source.comments.split_whitespace().collect::<Vec<_>>(), ["//", "use", "b", "/*", "c", "/*", "d", "*/", "e", "*/"]);
        assert_eq!(source.line(text.find("f(").unwrap()), 2);
    }

    #[test]
    fn paths_are_spread_out() {
        assert_eq!(shown("use crate::{a::{b, self as c}, d::*};"), ["crate::a::b", "crate::a::self", "crate::d::*"]);
        assert_eq!(shown("pub use x; fn f() -> std::io::Result<()> { a::b(c::<D>()) }"), ["x", "std::io::Result", "a::b"]);
    }

    #[test]
    fn tests_are_cut_out() {
        let source = Source::new(
            "use a::b;\n#[cfg(test)]\n#[allow(x)]\nmod tests { use c::d; }\nuse e::f;\n#[cfg(test)]\n#[path = \"g_tests.rs\"]\nmod h;",
        );
        let (code, modules) = source.without_tests();
        assert_eq!(shown(&code), ["a::b", "e::f"]);
        assert_eq!(modules, [(Some("g_tests.rs".to_string()), "h".to_string())]);
    }
}
