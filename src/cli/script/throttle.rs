//! `--cpu-limit PERCENT` and `--nice`.
//!
//! The limit is a share of all cores. It works in two steps: the program starts no more worker threads than the share needs, rounded up; and on
//! every worker a governor blocks its thread whenever the processor time of the whole process (all threads, not only the workers) runs ahead
//! of the share. A query's tasks give way between batches, so pauses fall there; what a single batch takes is caught up by the next pause.
//! Over a second or more the measured share stays at or below the limit.

use std::time::{Duration, Instant};

use crate::cli::failure::{Failure, Result};
use crate::cli::workers::{Task, Workers};

/// Time between two looks at the clock.
const PERIOD: Duration = Duration::from_millis(20);
/// Longest pause at a time, so that the end of the work is not slept through.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Cores of this machine.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Worker threads that `percent` of all cores need.
pub(crate) fn threads_for(percent: u8) -> usize {
    (cores() * usize::from(percent)).div_ceil(100).max(1)
}

/// Keeps the process at or below a share of all cores while it lives.
pub(crate) struct Throttle {
    began: Instant,
    used_before: Duration,
    /// The governors; dropping them ends them.
    _governors: Vec<Task<()>>,
}

impl Throttle {
    /// Starts one governor per worker thread.
    ///
    /// # Errors
    /// This system does not tell the processor time of a process.
    pub(crate) fn start(percent: u8, threads: usize, workers: &Workers) -> Result<Self> {
        let used_before = processor_time().ok_or_else(|| Failure::usage("--cpu-limit is not available on this system"))?;
        let share = f64::from(percent) / 100.0 * cores() as f64;
        let governors = (0..threads).map(|_| workers.spawn(govern(share))).collect();
        Ok(Self { began: Instant::now(), used_before, _governors: governors })
    }

    /// What was used since the start, for the summary: `processor time 0.52 s in 2.61 s, 10 % of 2 cores`.
    pub(crate) fn used(&self) -> String {
        let used = processor_time().unwrap_or_default().saturating_sub(self.used_before).as_secs_f64();
        let (elapsed, cores) = (self.began.elapsed().as_secs_f64(), cores());
        let percent = 100.0 * used / (elapsed * cores as f64).max(f64::MIN_POSITIVE);
        format!("processor time {used:.2} s in {elapsed:.2} s, {percent:.0} % of {cores} cores")
    }
}

/// Blocks the thread it runs on for as long as the process is ahead of its share.
async fn govern(share: f64) {
    let (began, used_before) = (Instant::now(), processor_time().unwrap_or_default());
    loop {
        tokio::time::sleep(PERIOD).await;
        let used = processor_time().unwrap_or_default().saturating_sub(used_before);
        let due = used.div_f64(share);
        let ahead = due.saturating_sub(began.elapsed());
        if !ahead.is_zero() {
            // Blocking is the point: no other task may run on this worker meanwhile.
            std::thread::sleep(ahead.min(LONGEST_PAUSE));
        }
    }
}

/// Processor time of all threads of this process so far.
#[cfg(unix)]
pub(crate) fn processor_time() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
}

/// Processor time of all threads of this process so far.
#[cfg(not(unix))]
pub(crate) fn processor_time() -> Option<Duration> {
    None
}

/// Lowers the priority of this thread and of every thread it starts from now on.
///
/// # Errors
/// This system has no priorities of that kind.
#[cfg(unix)]
pub(crate) fn be_nice() -> Result<()> {
    const NICENESS: i32 = 10;
    rustix::process::setpriority_process(None, NICENESS).map_err(|error| Failure::usage(format!("--nice: {error}")))
}

/// Lowers the priority of this thread and of every thread it starts from now on.
///
/// # Errors
/// This system has no priorities of that kind.
#[cfg(not(unix))]
pub(crate) fn be_nice() -> Result<()> {
    Err(Failure::usage("--nice is not available on this system"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_needs_whole_threads() {
        assert_eq!(threads_for(100), cores());
        assert_eq!(threads_for(1), 1);
    }
}
