//! The directory against a scripted world, and against itself over a network.

mod announcing;
mod contests;
mod fetching;
mod legacy;
mod net;
mod rules;
mod together;
mod world;
