//! `system.devices`.

use datafusion::arrow::array::RecordBatch;
use serde_json::Value;

use super::records::{JsonColumn, JsonType, json_batch};
use crate::error::Result;

pub(super) const DEVICE_COLUMNS: &[JsonColumn] = &[
    JsonColumn("device", JsonType::Integer, &["device"]),
    JsonColumn("name", JsonType::Text, &["name"]),
    JsonColumn("compute_capability", JsonType::Text, &["compute_capability"]),
    JsonColumn("memory_bytes", JsonType::Integer, &["memory_bytes"]),
    JsonColumn("free_bytes", JsonType::Integer, &["free_bytes"]),
    JsonColumn("driver_version", JsonType::Text, &["driver_version"]),
    JsonColumn("usable", JsonType::Boolean, &["usable"]),
    JsonColumn("reason", JsonType::Text, &["reason"]),
];

/// `system.devices`: without a driver one row that says so.
pub(super) fn devices() -> Result<RecordBatch> {
    let of_device = |device: crate::gpu::DeviceReport| {
        let version = |(major, minor): (u32, u32)| format!("{major}.{minor}");
        serde_json::json!({
            "device": device.index,
            "name": device.name,
            "compute_capability": version(device.compute_capability),
            "memory_bytes": device.memory_bytes,
            "free_bytes": device.free_bytes,
            "driver_version": version(device.driver_version),
            "usable": device.usable(),
            "reason": device.reason,
        })
    };
    let records: Vec<Value> = match crate::gpu::devices() {
        Ok(devices) => devices.into_iter().map(of_device).collect(),
        Err(reason) => vec![serde_json::json!({ "usable": false, "reason": reason.to_string() })],
    };
    json_batch(DEVICE_COLUMNS, &records)
}
