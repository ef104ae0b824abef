//! Work that blocks a thread for a while, done aside so that nobody else waits.
//!
//! A runtime of a single thread has no aside: there the work is done at once. A simulated fortnight runs on one, and what
//! happens in it must not depend on how fast another thread is.

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::{JoinError, block_in_place, spawn_blocking},
};

/// Does the work on a thread of its own, or at once where there is but one.
///
/// # Errors
/// If the work panicked, or the runtime is shutting down.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    if has_one_thread() { Ok(work()) } else { spawn_blocking(work).await }
}

/// Does the work here, letting the thread's other tasks move elsewhere, where there is such a place.
pub fn run_here<T>(work: impl FnOnce() -> T) -> T {
    if has_one_thread() { work() } else { block_in_place(work) }
}

fn has_one_thread() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread
}
