//! Scripts of operations, and random ones that mean the same everywhere: what models are asked in their tests, and the real allocators in
//! `tests/differential`.

pub(super) mod profiles;
pub(super) mod script;
