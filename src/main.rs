//! The binary: everything is in the library, so that tests and benches use the same code.

use std::process::ExitCode;

/// Many small allocations on every thread: mimalloc holds its pace where the system's allocator contends.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pombo::cli::main()
}
