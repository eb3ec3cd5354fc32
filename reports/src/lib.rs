//! Turns a heapcast study into CSV tables, JSON and a self-contained HTML page.
//!
//! [`study`] is the data; [`tables`] declares every table once; [`csv`] and [`html`] render them, [`terminal()`] prints the summary;
//! [`write()`] puts it all into a folder. [`diff`] compares two studies, [`check`] holds one against limits,
//! [`export`] writes it for other tools, [`schema`] describes `study.json`. [`answer`] and [`reading`] hold the sentences that the page and the terminal share.

pub mod answer;
pub mod chart;
pub mod check;
pub mod csv;
pub mod diff;
pub mod export;
pub mod html;
pub mod reading;
pub mod schema;
pub mod study;
pub mod tables;
mod terminal;
mod text;
pub mod words;
mod write;

pub use terminal::{explanation, terminal};
pub use write::{WriteError, file_names, write};
