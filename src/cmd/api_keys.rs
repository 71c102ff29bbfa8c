//! `mempack api-keys`: the file of keys with which clients use a server.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use mempack_keys::{Filter, Key, KeyName, KeyState, Keys, KeysError, NewKey, PackScope, Quota, Secret, Timestamp, moment, pack_name};
use serde_json::{Value, json};

use crate::failure::{Failure, Kind};
use crate::terminal::{errln, one_line, outln, print_json};

/// Keys are in a TOML file, which `mempack serve --keys FILE` reads and follows while it runs. Of a secret the file has a hash alone: the
/// secret is printed once, when it is made. Packs, quota and filter of a key can be changed in the file.
#[derive(clap::Args)]
#[command(disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Add a key and print its secret; the file is made if there is none
    Add(AddArgs),
    /// List all keys, without their secrets
    List(FileArgs),
    /// Revoke a key: it is refused from now on, and stays in the file
    Revoke(NamedArgs),
    /// Give a key another secret and print it; the old one is refused from now on
    Rotate(RotateArgs),
}

#[derive(clap::Args)]
struct FileArgs {
    /// The file of keys
    #[arg(long = "keys", value_name = "FILE")]
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct NamedArgs {
    /// The key's name, which logs and metrics show: letters, digits, and . _ - between them
    name: KeyName,
    #[command(flatten)]
    file: FileArgs,
}

#[derive(clap::Args)]
struct AddArgs {
    #[command(flatten)]
    named: NamedArgs,
    /// The packs that the key sees, by the names that the server gives them (default: all)
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = listed_pack)]
    packs: Option<Vec<String>>,
    /// How often it may ask, such as 60/min; with /s, /min, /h or /day (default: without limit)
    #[arg(long, value_name = "QUOTA")]
    quota: Option<Quota>,
    /// A filter that all its searches obey, such as 'jurisdiction == "BY"'; no request can widen it
    #[arg(long = "where", value_name = "EXPRESSION")]
    filter: Option<Filter>,
    /// The key may mount and remove packs, and see the metrics of all keys
    #[arg(long)]
    admin: bool,
    /// From when on it is refused: a date, which is its first moment in UTC, or a date with time, such as 2027-01-31T12:00:00Z
    #[arg(long, value_name = "DATE", value_parser = moment)]
    expires: Option<Timestamp>,
}

#[derive(clap::Args)]
struct RotateArgs {
    #[command(flatten)]
    named: NamedArgs,
    /// Another date from when on it is refused (default: the key's)
    #[arg(long, value_name = "DATE", value_parser = moment)]
    expires: Option<Timestamp>,
}

/// A value of `--packs`. The file has `all` for all packs, and a pack of that name must not be taken for them.
fn listed_pack(word: &str) -> Result<String, String> {
    match pack_name(word) {
        Ok(name) if name == "all" => Err("leave --packs out for all packs; a pack that is named `all` can be put into the file".into()),
        result => result.map_err(|error| error.to_string()),
    }
}

pub fn run(args: Args) -> Result<(), Failure> {
    match args.action {
        Action::Add(args) => add(args),
        Action::List(args) => list(&args),
        Action::Revoke(args) => revoke(&args),
        Action::Rotate(args) => rotate(&args),
    }
}

fn add(args: AddArgs) -> Result<(), Failure> {
    let AddArgs { named: NamedArgs { name, file }, packs, quota, filter, admin, expires } = args;
    let packs = packs.map_or(PackScope::All, |names| PackScope::Named(names.into_iter().collect()));
    let new = NewKey { packs, quota, filter, admin, expires, ..NewKey::new(name.clone()) };
    let (secret, keys) = Keys::create_or_update(&file.path, |keys| keys.add(new)).map_err(failure)?;
    show_secret(&secret, &name, &keys, &file);
    Ok(())
}

fn rotate(args: &RotateArgs) -> Result<(), Failure> {
    let NamedArgs { name, file } = &args.named;
    let (secret, keys) = Keys::update(&file.path, |keys| keys.rotate(name.as_str(), args.expires)).map_err(failure)?;
    show_secret(&secret, name, &keys, file);
    Ok(())
}

fn revoke(args: &NamedArgs) -> Result<(), Failure> {
    let NamedArgs { name, file } = args;
    let (since, keys) = Keys::update(&file.path, |keys| keys.revoke(name.as_str())).map_err(failure)?;
    warn(&keys, " until now; it is for its owner alone now");
    match of_name(&keys, name) {
        Some(key) if file.json => print_json(&row(key)),
        _ => outln!("{name}: revoked at {since}, in {}", file.path.display()),
    }
    Ok(())
}

fn list(args: &FileArgs) -> Result<(), Failure> {
    let keys = Keys::read(&args.path).map_err(failure)?;
    warn(&keys, "");
    if args.json {
        print_json(&json!({"keys": keys.list().iter().map(row).collect::<Vec<_>>()}));
    } else if keys.list().is_empty() {
        outln!("{}: no keys", args.path.display());
    } else {
        print_table(keys.list());
    }
    Ok(())
}

/// Standard output has the secret alone, for scripts.
fn show_secret(secret: &Secret, name: &KeyName, keys: &Keys, file: &FileArgs) {
    warn(keys, " until now; it is for its owner alone now");
    match of_name(keys, name) {
        Some(key) if file.json => {
            let mut row = row(key);
            row["secret"] = json!(secret.reveal());
            print_json(&row);
        }
        _ => outln!("{}", secret.reveal()),
    }
    errln!("{name}: this secret is shown once and is stored nowhere; its hash is in {}", file.path.display());
}

fn of_name<'a>(keys: &'a Keys, name: &KeyName) -> Option<&'a Key> {
    keys.list().iter().find(|key| key.name == *name)
}

fn warn(keys: &Keys, until: &str) {
    for warning in keys.warnings() {
        errln!("warning: {warning}{until}");
    }
}

fn row(key: &Key) -> Value {
    let state = match key.state() {
        KeyState::Active => "active",
        KeyState::Revoked(_) => "revoked",
        KeyState::Expired(_) => "expired",
    };
    let packs = match &key.packs {
        PackScope::All => json!("all"),
        PackScope::Named(names) => json!(names),
    };
    let date = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string());
    json!({
        "name": key.name.as_str(), "state": state, "packs": packs, "quota": key.quota.map(|quota| quota.to_string()),
        "where": key.filter.as_ref().map(Filter::text), "admin": key.admin, "created": key.created.to_string(),
        "expires": date(key.expires), "revoked": date(key.revoked),
    })
}

fn print_table(keys: &[Key]) {
    let rows = keys.iter().map(|key| {
        let state = match key.state() {
            KeyState::Active => key.expires.map_or_else(|| "active".into(), |at| format!("active until {at}")),
            KeyState::Revoked(at) => format!("revoked at {at}"),
            KeyState::Expired(at) => format!("expired at {at}"),
        };
        let packs = match &key.packs {
            PackScope::All => "all".into(),
            PackScope::Named(names) if names.is_empty() => "none".into(),
            PackScope::Named(names) => names.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
        };
        let quota = key.quota.map_or_else(|| "none".into(), |quota| quota.to_string());
        let filter = key.filter.as_ref().map_or("none", Filter::text);
        [key.name.to_string(), state, if key.admin { "yes" } else { "no" }.into(), quota, packs, filter.to_owned()]
            .map(|cell| one_line(&cell))
    });
    let head = ["name", "state", "admin", "quota", "packs", "where"].map(String::from);
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3, 4].map(width);
    for [name, state, admin, quota, packs, filter] in &rows {
        let [a, b, c, d, e] = widths;
        outln!("{name:<a$}  {state:<b$}  {admin:<c$}  {quota:<d$}  {packs:<e$}  {filter}");
    }
}

fn failure(error: KeysError) -> Failure {
    let kind = if matches!(error, KeysError::ExpiresEarly { .. }) { Kind::Usage } else { Kind::Work };
    let hint = match &error {
        KeysError::Exists { revoked: false, .. } => Some("use mempack api-keys rotate to give the key another secret"),
        KeysError::Exists { revoked: true, .. } => Some("choose another name, so that logs can tell the two apart"),
        KeysError::Expired { .. } => Some("use --expires DATE to name a later date"),
        KeysError::Io { path, action: "read", source } if source.kind() == ErrorKind::NotFound => missing(path),
        _ => None,
    };
    Failure::new(kind, error).with_hint(hint)
}

fn missing(path: &Path) -> Option<&'static str> {
    let folder = path.parent().is_none_or(|folder| folder.as_os_str().is_empty() || folder.is_dir());
    folder.then_some("mempack api-keys add makes the file")
}
