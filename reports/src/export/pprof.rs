//! Call sites as a profile of pprof (`profile.proto`), which is protocol buffers and may be compressed or not; this one is not.
//!
//! ```text
//! Profile   1 sample_type*  2 sample*  4 location*  5 function*  6 string_table*  9 time_nanos  10 duration_nanos  14 default_sample_type
//! ValueType 1 type  2 unit                                 (positions in the string table, whose first string is empty)
//! Sample    1 location_id* (packed, innermost first)  2 value* (packed)
//! Location  1 id  4 line*          Line  1 function_id          Function  1 id  2 name  3 system_name
//! field     varint of (number << 3 | wire type): 0 varint, 2 length and bytes
//! ```

use crate::study::{CallSite, Study};

/// What samples count: type, unit, value.
type Kind = (&'static str, &'static str, fn(&CallSite) -> u64);

const KINDS: [Kind; 6] = [
    ("live_at_peak", "bytes", |site| site.live_at_peak_bytes),
    ("live_at_end", "bytes", |site| site.live_at_end_bytes),
    ("alloc_space", "bytes", |site| site.requested_bytes),
    ("alloc_objects", "count", |site| site.allocations),
    ("temporary_objects", "count", |site| site.temporary),
    ("page_faults", "count", |site| site.faults),
];

/// The profile's bytes. Places whose functions are unknown have a sample without locations.
pub fn pprof(study: &Study) -> Vec<u8> {
    let mut strings = vec![String::new()];
    let mut out = Message::default();
    for (kind, unit, _) in KINDS {
        let value_type = Message::default().number(1, intern(&mut strings, kind)).number(2, intern(&mut strings, unit));
        out = out.message(1, &value_type);
    }
    for site in &study.callsites {
        // Numbers of locations begin with 1; there is one for each function.
        let locations = site.stack.iter().map(|&name| u64::from(name) + 1);
        let sample = Message::default().packed(1, locations).packed(2, KINDS.iter().map(|kind| (kind.2)(site)));
        out = out.message(2, &sample);
    }
    for (at, name) in study.frames.iter().enumerate() {
        let id = at as u64 + 1;
        out = out.message(4, &Message::default().number(1, id).message(4, &Message::default().number(1, id)));
        let name = intern(&mut strings, name);
        out = out.message(5, &Message::default().number(1, id).number(2, name).number(3, name));
    }
    for text in &strings {
        out = out.bytes(6, text.as_bytes());
    }
    let began = study.recording.started_unix_s.saturating_mul(1_000_000_000);
    out.number(9, began).number(10, study.recording.duration_ns).number(14, 1).0
}

fn intern(strings: &mut Vec<String>, text: &str) -> u64 {
    let at = strings.iter().position(|known| known == text).unwrap_or(strings.len());
    if at == strings.len() {
        strings.push(text.to_owned());
    }
    at as u64
}

/// A message in the making.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn message(self, field: u64, message: &Message) -> Self {
        self.bytes(field, &message.0)
    }

    fn packed(self, field: u64, values: impl Iterator<Item = u64>) -> Self {
        let mut packed = Message::default();
        values.for_each(|value| packed.varint(value));
        self.bytes(field, &packed.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field as it was read back.
    #[derive(Debug)]
    enum Field<'a> {
        Number(u64),
        Bytes(&'a [u8]),
    }

    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return value;
            }
        }
        panic!("a number without an end")
    }

    fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            let number = varint(&mut bytes);
            let field = if tag & 7 == 0 {
                Field::Number(number)
            } else {
                let (inside, rest) = bytes.split_at(number as usize);
                bytes = rest;
                Field::Bytes(inside)
            };
            found.push((tag >> 3, field));
        }
        found
    }

    fn numbers(mut packed: &[u8]) -> Vec<u64> {
        let mut found = Vec::new();
        while !packed.is_empty() {
            found.push(varint(&mut packed));
        }
        found
    }

    #[test]
    fn what_is_written_reads_back() {
        let site =
            |stack: &[u32], live| CallSite { stack: stack.to_vec(), live_at_peak_bytes: live, allocations: 3, ..CallSite::default() };
        let study = Study {
            frames: vec!["leaf".into(), "main".into()],
            callsites: vec![site(&[0, 1], 300), site(&[1], 70_000)],
            ..Study::default()
        };
        let profile = pprof(&study);
        let fields = fields(&profile);
        let of = |number: u64| {
            fields
                .iter()
                .filter(move |field| field.0 == number)
                .map(|field| if let Field::Bytes(bytes) = field.1 { bytes } else { panic!() })
        };
        let strings: Vec<&str> = of(6).map(|text| std::str::from_utf8(text).unwrap()).collect();
        assert_eq!((strings[0], of(1).count(), of(4).count()), ("", KINDS.len(), 2));
        let samples: Vec<(Vec<u64>, Vec<u64>)> = of(2)
            .map(|sample| {
                let parts = super::tests::fields(sample);
                let part = |at: usize| if let Field::Bytes(bytes) = parts[at].1 { numbers(bytes) } else { panic!() };
                (part(0), part(1))
            })
            .collect();
        assert_eq!(samples[0].0, [1, 2]);
        assert_eq!(samples.iter().map(|sample| sample.1[0]).sum::<u64>(), 70_300);
        let functions: Vec<&str> = of(5)
            .map(|function| match super::tests::fields(function)[1] {
                (2, Field::Number(name)) => strings[name as usize],
                ref other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(functions, ["leaf", "main"]);
        assert_eq!(super::super::folded(&study), "main;leaf 300\nmain 70000\n");
    }
}
