//! A process that dies, and a disk that fills up, with real files and real kills.
//!
//! The tests start this test binary again as their child; what the child does is an ignored test of its own.

#[cfg(test)]
mod child;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod kill;
