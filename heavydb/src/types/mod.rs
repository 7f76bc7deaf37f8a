//! HeavyDB's types: their Arrow forms, the texts that they read, the values that casts give.

mod cast_texts;
pub mod casts;
#[cfg(test)]
mod casts_tests;
pub mod heavy_type;
pub mod interval;
pub mod literals;
