//! The membership against a scripted world, and against itself over a network.

mod cluster;
mod crowd;
mod evidence;
mod interop;
mod net;
mod partitions;
mod rules;
mod world;
