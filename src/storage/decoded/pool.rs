//! A memory pool in which decoded columns give way to queries.

use std::fmt;
use std::sync::{Arc, Weak};

use datafusion::common::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

use super::{CONSUMER, DecodedTier};

/// A memory pool that asks a tier of decoded columns to give way before it refuses memory.
#[derive(Debug)]
pub struct YieldingPool {
    inner: Arc<dyn MemoryPool>,
    tier: Weak<DecodedTier>,
}

impl YieldingPool {
    /// The memory of `inner`, for queries first.
    pub fn new(inner: Arc<dyn MemoryPool>, tier: &Arc<DecodedTier>) -> Self {
        Self { inner, tier: Arc::downgrade(tier) }
    }

    /// Whether the bytes would fit if the tier held nothing: where they would not, it need not give way.
    fn could_hold(&self, additional: usize, kept: usize) -> bool {
        let others = self.inner.reserved().saturating_sub(kept);
        match self.inner.memory_limit() {
            MemoryLimit::Finite(limit) => others.saturating_add(additional) <= limit,
            _ => true,
        }
    }
}

impl fmt::Display for YieldingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl MemoryPool for YieldingPool {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.inner.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.inner.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.inner.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.inner.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut refused = match self.inner.try_grow(reservation, additional) {
            Err(refused) if reservation.consumer().name() != CONSUMER => refused,
            outcome => return outcome,
        };
        let Some(tier) = self.tier.upgrade() else { return Err(refused) };
        if !self.could_hold(additional, tier.figures().used_bytes) {
            return Err(refused);
        }
        // A share of the memory may be refused although the bytes would fit: more and more gives way.
        let mut bytes = additional.max(1);
        while tier.give_way(bytes) > 0 {
            match self.inner.try_grow(reservation, additional) {
                Ok(()) => return Ok(()),
                Err(error) => refused = error,
            }
            bytes = bytes.saturating_mul(2);
        }
        Err(refused)
    }

    fn reserved(&self) -> usize {
        self.inner.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.inner.memory_limit()
    }
}
