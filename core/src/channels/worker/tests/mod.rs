mod consuming;
mod hostile;
mod lifetimes;
mod producing;
mod random;
mod stores;
mod world;
