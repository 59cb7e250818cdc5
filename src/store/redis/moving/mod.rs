//! All that is in Redis, told to another store in pages (`tell`), and taken from one (`take`).

mod take;
mod tell;

pub use self::take::restore;
pub use self::tell::{Reached, page};
