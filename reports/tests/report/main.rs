//! Reports of made-up studies: golden files, the page's promises, and the page in a real browser.

mod browser;
mod devtools;
mod golden;
mod made_up;
mod page;
mod schema;
mod timings;
