//! `mempack gc`: deletes from an object store what no published bank needs.

use std::time::Duration;

use mempack_store::{GcOptions, gc};
use serde_json::json;

use super::objects::{self, Watcher};
use crate::failure::Failure;
use crate::output::{bytes, thousands};
use crate::terminal::{self, outln};

#[derive(clap::Args)]
pub struct Args {
    /// The store: the address that banks are pushed to
    url: String,
    /// Delete what an earlier gc found to be needed by nothing at least so long ago: 90s, 30m, 24h or 7d. Less than an hour may delete what a
    /// push that is under way needs
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_time)]
    older_than: Duration,
    /// How many of the newest banks under every name stay
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    keep: u16,
    /// Only tell what would be deleted
    #[arg(long)]
    dry_run: bool,
    /// Clean up a store that cannot replace an object only if no one else has. Nothing may be pushed meanwhile
    #[arg(long)]
    allow_unconditional: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let store = objects::open(&args.url, args.allow_unconditional)?;
    let watcher = Watcher::new();
    let options = GcOptions { older_than: args.older_than, keep: args.keep.into(), dry_run: args.dry_run };
    let report = objects::run(gc(&store, &options, &watcher))?;
    watcher.end();
    if args.json {
        terminal::print_json(&json!({
            "dry_run": args.dry_run,
            "needed": { "objects": report.needed, "bytes": report.needed_bytes },
            "waiting": { "objects": report.waiting, "bytes": report.waiting_bytes },
            "deleted": { "objects": report.deleted, "bytes": report.deleted_bytes },
        }));
    } else {
        outln!(
            "{}: {} {} objects, {}; {} objects, {}, wait to be deleted by a later gc; {} objects, {}, are needed",
            store.url(),
            if args.dry_run { "would delete" } else { "deleted" },
            thousands(report.deleted),
            bytes(report.deleted_bytes),
            thousands(report.waiting),
            bytes(report.waiting_bytes),
            thousands(report.needed),
            bytes(report.needed_bytes),
        );
    }
    Ok(())
}

/// A number with a unit: `90s`, `30m`, `24h`, `7d`.
fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a number with a unit: 90s, 30m, 24h or 7d".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text.strip_suffix(unit).and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        let seconds = ["0s", "90s", "30m", "24h", "7d"].map(|text| parse_time(text).unwrap().as_secs());
        assert_eq!(seconds, [0, 90, 1_800, 86_400, 604_800]);
        for wrong in ["", "24", "h", "-1h", "1.5h", "24 h", "99999999999999999999d", "1w"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
