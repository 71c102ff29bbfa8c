//! Files that are something else than their name says: what is often found in place of a model's files, by its first bytes.

use mempack_format::MAGIC;

/// What a file is instead, and how to get the right one.
pub(crate) struct Foreign {
    pub found: &'static str,
    pub remedy: &'static str,
}

/// What the bytes of a file are, if they are one of the kinds that are often found in place of JSON or safetensors.
pub(crate) fn recognise(bytes: &[u8]) -> Option<Foreign> {
    const FETCH: &str = "fetch the file again";
    let is = |found, remedy| Some(Foreign { found, remedy });
    match bytes {
        [b'v', b'e', b'r', ..] if bytes.starts_with(b"version https://git-lfs.github.com/spec/") => {
            is("a git-LFS pointer, which stands for a file that was not downloaded", "run `git lfs pull` in the model's folder")
        }
        [b'G', b'G', b'U', b'F', ..] => is("a GGUF file", "import it to a folder, and name that folder as the model"),
        _ if bytes.starts_with(&MAGIC) => is("a memory pack", "name the folder of a model, not a pack"),
        [0x1f, 0x8b, ..] => is("a gzip archive", "unpack it"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => is("a zstd archive", "unpack it"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => is("an xz archive", "unpack it"),
        [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', ..] => is("a bzip2 archive", "unpack it"),
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => is("a 7z archive", "unpack it"),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => is(
            "a zip archive, or PyTorch weights in pickle format",
            "unpack it; if it holds PyTorch weights, convert them to safetensors, for example with `save_pretrained` of transformers",
        ),
        // Pickle protocols 2 to 5 begin with their number; what follows is an opcode, which no safetensors length has here.
        [0x80, 2..=5, b'}' | b']' | b'(' | b'c' | b'X' | 0x8a | 0x95, ..] => {
            is("PyTorch weights in pickle format", "convert them to safetensors, for example with `save_pretrained` of transformers")
        }
        [0x89, b'H', b'D', b'F', ..] => is("TensorFlow weights in HDF5 format", "use the weights in safetensors format"),
        [b'%', b'P', b'D', b'F', b'-', ..] => is("a PDF", FETCH),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => is("text in UTF-16", "save it as UTF-8"),
        _ => text(bytes.strip_prefix(BOM).unwrap_or(bytes)),
    }
}

/// The byte order mark in UTF-8. Windows programs write it; JSON has none.
pub(crate) const BOM: &[u8] = b"\xef\xbb\xbf";

/// Pages and messages of web servers, which downloads save under the name of the file.
fn text(bytes: &[u8]) -> Option<Foreign> {
    let text = bytes.trim_ascii_start();
    let begins = |with: &str| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()));
    let remedy = "fetch the file again, and log in where the model asks for it";
    if ["<!doctype", "<html", "<head", "<?xml", "<!--"].into_iter().any(begins) {
        return Some(Foreign { found: "a web page", remedy });
    }
    if ["Entry not found", "Access to model", "Invalid username or password", "Repository not found", "Not Found", "404"]
        .into_iter()
        .any(begins)
    {
        return Some(Foreign { found: "the message of a web server", remedy });
    }
    None
}

/// Whether bytes begin as a safetensors file does: a length below 4 GiB, and a JSON object.
pub(crate) fn is_safetensors(bytes: &[u8]) -> bool {
    matches!(bytes, [_, _, _, _, 0, 0, 0, 0, b'{', ..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn kinds_are_recognised() {
        for (bytes, found) in [
            (&b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"[..], Some("git-LFS")),
            (b"GGUF\x03\0\0\0", Some("GGUF")),
            (&MAGIC, Some("pack")),
            (b"\x1f\x8b\x08\0", Some("gzip")),
            (b"PK\x03\x04\x14", Some("zip")),
            (b"\x80\x02}q\0", Some("pickle")),
            (b"\x80\x02\x8a\nl\xfc", Some("pickle")),
            (b"\xff\xfe{\0", Some("UTF-16")),
            (b"\n <!DOCTYPE html>", Some("web page")),
            (b"\xef\xbb\xbf<html>", Some("web page")),
            (b"Entry not found", Some("server")),
            (b"{\"model_type\": \"llama\"}", None),
            (b"\xef\xbb\xbf{}", None),
            // The lengths of safetensors headers.
            (b"\x80\x02\0\0\0\0\0\0{\"a\"", None),
            (b"\x1f\0\0\0\0\0\0\0{", None),
            (b"", None),
        ] {
            assert_eq!(recognise(bytes).is_some_and(|f| f.found.contains(found.unwrap_or("?"))), found.is_some(), "{found:?}");
        }
        assert!(is_safetensors(b"\x10\x02\0\0\0\0\0\0{\"__"));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = recognise(&bytes);
        }

        /// No header of a safetensors file is taken for something else, but for one whose length happens to be gzip's magic.
        #[test]
        fn safetensors_are_not_recognised(length in 2_u64..100_000_000) {
            let bytes = [&length.to_le_bytes()[..], b"{\"a\": 1"].concat();
            prop_assert!(recognise(&bytes).is_none() || bytes.starts_with(b"\x1f\x8b") || bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff"));
        }
    }
}
