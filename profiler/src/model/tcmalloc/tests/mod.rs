//! Against the real library, and in small scenes.

mod programs;
mod vectors;
