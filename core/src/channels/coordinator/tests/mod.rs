//! Named after the lines of what an implementation must do (`line_`), and of what it should do better (`better_`).

mod assigning;
mod clients;
mod failures;
mod foreign;
mod leaderships;
mod leaving;
mod ledger;
mod loads;
mod moving;
mod worker;
mod world;
