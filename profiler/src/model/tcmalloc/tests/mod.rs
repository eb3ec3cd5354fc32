//! Against the real library, and in small scenes.

mod observed;
mod programs;
mod scenes;
mod vectors;
