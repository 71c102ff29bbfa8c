//! Folders that are no model: what is there instead.

use std::path::Path;

use crate::LoadError;
use crate::foreign::recognise;

/// Checks that `folder` is a folder with a file `needed`. What is there instead is an error that says so.
///
/// `purpose` says what the folder is for and what belongs in it.
pub(crate) fn check_folder(folder: &Path, needed: &str, purpose: &'static str) -> Result<(), LoadError> {
    let wrong = |found: String, remedy: String| LoadError::WrongFile { path: folder.to_owned(), expected: "a folder", found, remedy };
    if folder.is_file() {
        let foreign = begin(folder).as_deref().and_then(recognise);
        return Err(match (foreign, folder.parent()) {
            (Some(foreign), _) => wrong(foreign.found.into(), foreign.remedy.into()),
            (None, Some(parent)) if parent.join(needed).is_file() => {
                let parent = if parent == Path::new("") { Path::new(".") } else { parent };
                wrong("a file".into(), format!("name the folder it is in: {}", parent.display()))
            }
            (None, _) => wrong("a file".into(), purpose.into()),
        });
    }
    if !folder.is_dir() {
        return Err(LoadError::Missing { path: folder.to_owned(), what: "folder", remedy: purpose.into() });
    }
    if folder.join(needed).exists() {
        return Ok(());
    }
    let names = names(folder).map_err(|source| LoadError::Io { path: folder.to_owned(), source })?;
    let with = |end: &str| names.iter().find(|name| name.to_ascii_lowercase().ends_with(end));
    if names.is_empty() {
        return Err(wrong(format!("an empty folder, no such file as {needed}"), purpose.into()));
    }
    if let Some(name) = with(".gguf") {
        return Err(wrong(format!("a folder with {name} and without {needed}"), "import that GGUF file, and name the new folder".into()));
    }
    if let Some(inner) = names.iter().find(|name| folder.join(name).join(needed).is_file()) {
        let remedy = format!("name the folder in it: {}", folder.join(inner).display());
        return Err(wrong(format!("a folder without {needed}"), remedy));
    }
    // The cache of the Hugging Face hub has the files in `snapshots/COMMIT`.
    let snapshots = folder.join("snapshots");
    let snapshot = self::names(&snapshots).unwrap_or_default().into_iter().map(|name| snapshots.join(name));
    if let Some(inner) = snapshot.into_iter().find(|inner| inner.join(needed).is_file()) {
        return Err(wrong("a folder of the hub's cache".into(), format!("name the model's folder in it: {}", inner.display())));
    }
    Ok(())
}

/// Where to get weights in safetensors format, from what else a folder holds; `None` if it holds no weights in other formats.
pub(crate) fn other_weights(folder: &Path) -> Option<(String, &'static str)> {
    let names = names(folder).ok()?;
    let convert = "convert the weights to safetensors, for example with `save_pretrained` of transformers";
    [
        (".safetensors", "rename it to model.safetensors if it holds the whole model, else add the index of its shards"),
        (".bin", convert),
        (".pth", convert),
        (".pt", convert),
        (".ckpt", convert),
        (".h5", convert),
        (".msgpack", convert),
        (".gguf", "import that GGUF file, and name the new folder"),
        (".onnx", "fetch the weights in safetensors format"),
    ]
    .into_iter()
    .find_map(|(end, remedy)| {
        // Adapters and the parts of a sentence embedder are no weights of the model.
        let name = names.iter().find(|name| name.to_ascii_lowercase().ends_with(end) && !name.starts_with("adapter_model"))?;
        Some((name.clone(), remedy))
    })
}

/// The first bytes of a file.
fn begin(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(256).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The names in a folder, in order.
fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<std::io::Result<_>>()?;
    names.sort_unstable();
    Ok(names)
}
