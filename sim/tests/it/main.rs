//! The simulator under test: its world with a toy machine, and its checkers against planted bugs.

mod toy;
