mod consuming;
mod hostile;
mod lifetimes;
mod producing;
mod random;
mod retention;
mod stores;
mod world;
