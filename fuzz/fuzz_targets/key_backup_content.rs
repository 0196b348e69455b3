//! See `Target::KeyBackupContent`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use strongroom_testkit::fuzz::Target;

fuzz_target!(|input: &[u8]| Target::KeyBackupContent.run(input));
