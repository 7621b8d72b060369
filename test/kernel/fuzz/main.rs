//! The kernel on jobs that libFuzzer draws, guided by what they reach: npm run fuzz:kernel.
#![no_main]

#[path = "../any.rs"]
mod any;
#[path = "../case.rs"]
mod case;
#[path = "../check.rs"]
mod check;
#[path = "../formula.rs"]
mod formula;
#[path = "../numbers.rs"]
mod numbers;
#[path = "../oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(
    // Its hook ends the process before a failed check has said what it was about.
    init: drop(std::panic::take_hook()),
    |bytes: &[u8]| any::check(bytes, usize::MAX)
);
