//! Tables of a real PostgreSQL: what they find, and what becomes of them when something fails.

#![allow(clippy::print_stderr, reason = "tests say why they are skipped")]

mod export;
mod places;
mod postgres;
mod refusals;
mod search;

fn main() {
    postgres::run_tests(&[search::TESTS, export::TESTS, refusals::TESTS].concat());
}
