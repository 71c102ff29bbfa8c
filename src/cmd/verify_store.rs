//! `mempack verify` of an address: checks what is published in an object store.

use mempack_store::{StoreError, VerifyOptions, verify};
use serde_json::json;

use super::objects::{self, Watcher};
use crate::failure::{Failure, Kind};
use crate::output::{bytes, thousands};
use crate::terminal::{self, outln};

/// Reads what is published at an address, or this share of its chunks and the seed that chooses them. Lists at most `max` damaged objects.
pub fn run(address: &str, sample: Option<(f64, u64)>, max: usize, as_json: bool) -> Result<(), Failure> {
    let store = objects::open(address, false)?;
    let watcher = Watcher::new();
    let mut listed: Vec<String> = Vec::new();
    let options = VerifyOptions { name: None, sample };
    let mut on_damage = |damage: &StoreError| {
        if listed.len() < max {
            listed.push(damage.to_string());
        }
    };
    let report = objects::run(verify(&store, &options, &mut on_damage, &watcher))?;
    watcher.end();
    if as_json {
        terminal::print_json(&json!({
            "store": address,
            "whole": report.damages == 0,
            "names": report.names,
            "banks": report.editions,
            "bytes": report.bytes,
            "read": report.read_bytes,
            "sample": sample.map(|(share, seed)| json!({ "share": share, "seed": seed })),
            "objects": report.objects,
            "damages": report.damages,
            "listed": listed,
        }));
    } else {
        for damage in &listed {
            outln!("{address}: {damage}");
        }
        let rest = report.damages - listed.len() as u64;
        if rest > 0 {
            outln!("{address}: {} more damaged objects; --all lists them", thousands(rest));
        }
        if report.damages == 0 {
            outln!(
                "{address}: whole{}: {} banks under {} names, {} objects and {} of {} read",
                sample.map_or(String::new(), |(share, seed)| format!(" in a sample of {}% (seed {seed})", share * 100.0)),
                thousands(report.editions),
                thousands(report.names),
                thousands(report.objects),
                bytes(report.read_bytes),
                bytes(report.bytes),
            );
        }
    }
    match report.damages {
        0 => Ok(()),
        1 => Err(Failure::new(Kind::Damaged, format!("{address}: one object is damaged"))),
        damages => Err(Failure::new(Kind::Damaged, format!("{address}: {} objects are damaged", thousands(damages)))),
    }
}
