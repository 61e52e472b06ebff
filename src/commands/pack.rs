//! `topfive pack`: a data set in shards.

use std::fs;
use std::sync::atomic::Ordering;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Outcome, say_stored, watch_signals, workers};
use crate::cli::Pack;
use crate::data::shards::index;
use crate::pack::plan::Plan;
use crate::pack::shrink::Shrink;
use crate::pack::{Options, Packing, sources};
use crate::processes::Processes;
use crate::report::Report;
use crate::report::records::write_json;
use crate::report::table::grouped;

/// Packs.
pub fn run(args: Pack) -> Result<Outcome> {
    let report = Report::new(args.output.quiet, args.output.json.as_deref())?;
    let interrupted = watch_signals()?;
    let parts = sources::open(&args.data)?;
    parts.iter().for_each(|part| say_stored(&part.dataset, report));
    let options = Options {
        seed: args.seed,
        shard_images: args.shard_images as usize,
        shard_bytes: u64::from(args.shard_size) * 1_000_000,
        shrink: args.shorter_side.map(|shorter_side| Shrink { shorter_side, quality: args.quality }),
    };
    let mut packing = Packing::start(parts, &args.out, options, workers(args.workers, &Processes::alone()))?;
    let kept = packing.plans.iter().flat_map(|plan| &plan.shards).filter(|shard| shard.is_kept).count();
    if kept > 0 {
        report.note(format!("{}: keeping {kept} complete shards of an earlier run", args.out.display()));
    }
    let images = packing.images();
    let mut bar = report.bar(images as u64, "packing");
    while let Some(written) = packing.step()? {
        bar.at(written as u64, "");
        if interrupted.load(Ordering::Relaxed) {
            bar.clear();
            report.note(format!("interrupted after {written} of {images} images; the same command goes on with the shards that are complete"));
            return Ok(Outcome::Interrupted);
        }
    }
    bar.clear();
    packing.finish()?;
    packing.unreadable.iter().for_each(|(name, reason)| report.warn(format!("{name}: {reason}; left out")));
    let packed = packing.plans.iter().map(packed).collect::<Result<Vec<Packed>>>()?;
    let shown = packed.iter().try_for_each(|packed| report.result(packed.text()));
    if let Some(path) = &args.output.json {
        let unreadable = packing.unreadable.iter().map(|(path, error)| json!({ "path": path, "error": error }));
        let parts = packed.iter().map(Packed::json).collect::<Vec<_>>();
        let out = args.out.to_string_lossy();
        write_json(path, &json!({ "out": out, "parts": parts, "unreadable": unreadable.collect::<Vec<_>>() }))?;
    }
    shown?;
    Ok(if packing.unreadable.is_empty() { Outcome::Done } else { Outcome::SomeBad })
}

/// What a part was packed into.
struct Packed<'a> {
    plan: &'a Plan,
    images: usize,
    bytes: u64,
}

fn packed(plan: &Plan) -> Result<Packed<'_>> {
    let (mut images, mut bytes) = (0, 0);
    for planned in &plan.shards {
        images += index::open(&planned.path)?.shard.len();
        bytes += fs::metadata(&planned.path)?.len();
    }
    Ok(Packed { plan, images, bytes })
}

impl Packed<'_> {
    fn text(&self) -> String {
        let (images, classes, shards) =
            (grouped(self.images as i64), self.plan.dataset.classes.len(), self.plan.shards.len());
        let (shards, megabytes) =
            (if shards == 1 { "1 shard".to_string() } else { format!("{shards} shards") }, self.bytes / 1_000_000);
        format!("{}: {images} images of {classes} classes in {shards}, {megabytes} MB", self.plan.pattern())
    }

    fn json(&self) -> Value {
        let files = self.plan.shards.iter().map(|shard| shard.path.to_string_lossy());
        json!({
            "name": self.plan.name, "pattern": self.plan.pattern(), "images": self.images, "bytes": self.bytes,
            "classes": self.plan.dataset.classes, "shards": files.collect::<Vec<_>>(),
            "kept": self.plan.shards.iter().filter(|shard| shard.is_kept).count(),
        })
    }
}
