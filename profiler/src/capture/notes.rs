//! Sentences for the reader of a trace, each said once however often it happened.

/// Most different notes that are kept: a recording of a thousand processes shall not end in a thousand complaints.
const MOST: usize = 32;

/// What a reader of the trace must know.
#[derive(Default)]
pub struct Notes {
    kept: Vec<(String, u64)>,
    left_out: u64,
}

impl Notes {
    /// Notes a full sentence.
    pub fn push(&mut self, note: String) {
        if let Some((_, times)) = self.kept.iter_mut().find(|(kept, _)| *kept == note) {
            *times += 1;
        } else if self.kept.len() < MOST {
            self.kept.push((note, 1));
        } else {
            self.left_out += 1;
        }
    }

    /// The sentences in the order of their first appearance.
    pub fn sentences(self) -> Vec<String> {
        let repeated = |(note, times): (String, u64)| if times == 1 { note } else { format!("{note} ({times} times)") };
        let left_out = (self.left_out > 0).then(|| format!("{} more such notes were left out.", self.left_out));
        self.kept.into_iter().map(repeated).chain(left_out).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_said_once_and_counted() {
        let mut notes = Notes::default();
        ["A.", "B.", "A."].into_iter().for_each(|note| notes.push(note.to_owned()));
        assert_eq!(notes.sentences(), ["A. (2 times)", "B."]);
    }

    #[test]
    fn many_notes_are_bounded() {
        let mut notes = Notes::default();
        (0..MOST + 5).for_each(|number| notes.push(format!("{number}.")));
        let sentences = notes.sentences();
        assert_eq!((sentences.len(), sentences[MOST].as_str()), (MOST + 1, "5 more such notes were left out."));
    }
}
