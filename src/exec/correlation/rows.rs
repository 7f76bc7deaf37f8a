//! The values of each series as they came, in memory or, when memory is refused, in a temporary file.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::compute::{concat, sort_to_indices, take};
use datafusion::common::{Result, exec_datafusion_err, exec_err, internal_datafusion_err};
use datafusion::execution::TaskContext;
use datafusion::execution::disk_manager::RefCountedTempFile;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::sqlparser::ast::helpers as _;
use parking_lot::Mutex;

use super::bits::Bits;
use super::collect::{CollectedSeries, OneSeries};
use super::periods::{Period, Periods};
