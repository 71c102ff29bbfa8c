//! Fetches packs from addresses that the operator allows.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::Uri;
use ureq::Agent;

/// Why a pack was not fetched. The folder is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// An address that the operator does not allow.
    #[error("`{url}` is under no address that --allow-url names")]
    NotAllowed {
        /// The address.
        url: String,
    },
    /// The address does not answer with a file.
    #[error("`{url}` cannot be fetched: {source}")]
    Http {
        /// The address.
        url: String,
        /// The cause.
        source: Box<ureq::Error>,
    },
    /// The file cannot be written, or its bytes do not come.
    #[error("the pack cannot be stored: {0}")]
    Store(#[from] io::Error),
    /// The file is larger than allowed.
    #[error("the pack is larger than {most} bytes, the most that is fetched")]
    TooLarge {
        /// The limit.
        most: u64,
    },
}

/// Fetches packs.
pub struct Fetcher {
    /// What allowed addresses begin with.
    allowed: Vec<Uri>,
    /// Most bytes of a pack.
    most: u64,
    agent: Agent,
}

impl Fetcher {
    /// Fetches what is under one of these addresses, of at most `most` bytes.
    pub fn new(allowed: Vec<Uri>, most: u64) -> Self {
        // A redirection would lead away from what is allowed.
        let config = Agent::config_builder().max_redirects(0).timeout_connect(Some(Duration::from_secs(10)));
        let config = config.timeout_recv_response(Some(Duration::from_secs(30))).build();
        Self { allowed, most, agent: config.into() }
    }

    /// Stores the file at an address beside `target`, whose name it gets by [`Part::keep`].
    ///
    /// # Errors
    /// An address that is not allowed or does not answer, a file that is too large.
    pub fn fetch(&self, url: &str, target: &Path) -> Result<Part, FetchError> {
        let uri = url.parse::<Uri>().ok().filter(|uri| self.allowed.iter().any(|prefix| is_under(uri, prefix)));
        let uri = uri.ok_or_else(|| FetchError::NotAllowed { url: url.to_owned() })?;
        let part = Part::beside(target)?;
        let response = self.agent.get(uri).call().map_err(|source| FetchError::Http { url: url.to_owned(), source: Box::new(source) })?;
        let mut file = File::create(&part.path)?;
        let copied = io::copy(&mut response.into_body().into_reader().take(self.most.saturating_add(1)), &mut file)?;
        if copied > self.most {
            return Err(FetchError::TooLarge { most: self.most });
        }
        file.sync_all()?;
        Ok(part)
    }
}

/// A file that was fetched, and is removed if it does not get its name.
pub struct Part {
    path: PathBuf,
    target: PathBuf,
}

impl Part {
    fn beside(target: &Path) -> io::Result<Self> {
        let name = target.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let random = getrandom::u32().unwrap_or_else(|_| std::process::id());
        let path = target.with_file_name(format!(".{}.{random:08x}.part", name.to_string_lossy()));
        Ok(Self { path, target: target.to_owned() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Gives it its name, in place of the file that has it.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn keep(self) -> io::Result<()> {
        fs::rename(&self.path, &self.target)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It is gone if it got its name.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether an address is `prefix` itself or below it: the same scheme, host and port, and a path that begins with that of the prefix and has no step up.
fn is_under(uri: &Uri, prefix: &Uri) -> bool {
    let below = uri.path().strip_prefix(prefix.path().trim_end_matches('/'));
    let lower = uri.path().to_ascii_lowercase();
    let steps_up = uri.path().split('/').any(|step| step == "..") || lower.contains("%2e") || lower.contains("%2f") || lower.contains('\\');
    matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.scheme() == prefix.scheme()
        && uri.authority() == prefix.authority()
        && below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
        && !steps_up
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_allowed_below_a_prefix_alone() {
        let prefix: Uri = "https://packs.example/legal/".parse().unwrap_or_default();
        let allowed = |url: &str| url.parse::<Uri>().is_ok_and(|uri| is_under(&uri, &prefix));
        assert!(allowed("https://packs.example/legal/by.mpk"));
        assert!(allowed("https://packs.example/legal/2026/by.mpk?version=2"));
        for other in [
            "http://packs.example/legal/by.mpk",
            "https://packs.example/legality/by.mpk",
            "https://packs.example.org/legal/by.mpk",
            "https://packs.example:8443/legal/by.mpk",
            "https://user@packs.example/legal/by.mpk",
            "https://packs.example/legal/../secret/by.mpk",
            "https://packs.example/legal/%2e%2e/secret/by.mpk",
            "https://packs.example/legal/..%2Fsecret/by.mpk",
            "file:///legal/by.mpk",
            "/legal/by.mpk",
        ] {
            assert!(!allowed(other), "{other}");
        }
    }
}
