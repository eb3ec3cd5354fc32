//! The heap programs where one cannot serve all functions: copies, each of which gets one cookie when it is first needed.

use aya::Ebpf;
use aya::maps::{Array, MapData};
use profiler_ebpf::{self as wire, Cookie};

use super::attach::uprobe;
use crate::error::{Context, Error, Kind, Result};

/// The copies that are in use.
pub struct Copies {
    cookies: Array<MapData, u64>,
    enter: Vec<Cookie>,
    free: Vec<Cookie>,
}

impl Copies {
    /// None in use.
    ///
    /// # Errors
    /// `Failed` when the built object has no place for cookies.
    pub fn new(ebpf: &mut Ebpf) -> Result<Copies> {
        let map = ebpf.take_map(wire::COOKIES).ok_or_else(|| Error::new(Kind::Failed, "the built object has no map of cookies"))?;
        let cookies = Array::try_from(map).context(Kind::Unsupported, wire::COOKIES)?;
        Ok(Copies { cookies, enter: Vec::new(), free: Vec::new() })
    }

    /// The name of the copy of `program` that serves this cookie, loaded.
    ///
    /// # Errors
    /// `Unsupported` when all copies serve others, or when the kernel refuses one.
    pub fn of(&mut self, ebpf: &mut Ebpf, program: &str, cookie: Cookie) -> Result<String> {
        let (used, numbers) = match program {
            wire::HEAP_FREE => (&mut self.free, wire::HEAP_FREE_COPIES),
            _ => (&mut self.enter, wire::HEAP_ENTER_COPIES),
        };
        if let Some(index) = used.iter().position(|other| *other == cookie) {
            return Ok(format!("{program}_{index}"));
        }
        let index = used.len() as u32;
        let number = numbers.start + index;
        if number >= numbers.end {
            let text = format!("all {} copies of {program} are in use, and this kernel has no attach cookies", numbers.len());
            return Err(Error::new(Kind::Unsupported, text));
        }
        let name = format!("{program}_{index}");
        self.cookies.set(number, cookie.0, 0).context(Kind::Failed, format!("cannot set the cookie of {name}"))?;
        uprobe(ebpf, &name)?.load().context(Kind::Unsupported, format!("the kernel refuses the program {name}"))?;
        used.push(cookie);
        Ok(name)
    }
}
