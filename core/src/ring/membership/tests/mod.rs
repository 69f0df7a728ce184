//! The membership against a scripted world, and against itself over a network.

mod cluster;
mod net;
mod partitions;
mod world;
