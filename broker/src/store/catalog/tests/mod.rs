//! The catalog over the store in memory, which can crash anywhere.

mod crash;
mod damage;
mod format;
mod pinned;
mod rules;
mod world;
