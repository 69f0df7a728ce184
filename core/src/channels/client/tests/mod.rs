//! The client against scripted coordinators and nodes.

extern crate std;

mod bounds;
mod consuming;
mod hostile;
mod producing;
mod table;
mod watching;
mod world;
