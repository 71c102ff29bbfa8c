//! From an address to a store.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig};
use url::{Position, Url};

use crate::error::StoreError;
use crate::remote::{Guard, Requests, Store};

/// How a store is opened.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// Keys and values as the crate `object_store` has them, such as `aws_region`; others are ignored.
    pub settings: Vec<(String, String)>,
    /// Write also to stores that do not write on a condition.
    pub allow_unconditional: bool,
    /// How requests are made.
    pub requests: Requests,
}

impl ConnectOptions {
    /// The settings that the environment has: `AWS_...`, `GOOGLE_...`, `AZURE_...`. Others, such as `TOKEN` or `REGION`, may be meant for
    /// other programs.
    pub fn from_environment() -> Self {
        let known = |name: &str| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|start| name.starts_with(start));
        Self { settings: std::env::vars().filter(|(name, _)| known(name)).collect(), ..Self::default() }
    }
}

/// Makes ring what the process encrypts connections with, unless something else is already. Every client of the crate `reqwest` needs one as
/// soon as this crate is part of a program, also a client that speaks without encryption.
pub fn prepare_tls() {
    // An error says that there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Whether a text is the address of a store, rather than a path.
pub fn is_address(text: &str) -> bool {
    const SCHEMES: [&str; 11] = ["file", "s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss", "http", "https"];
    text.split_once("://").is_some_and(|(scheme, _)| SCHEMES.contains(&scheme))
}

/// Opens the store at an address. Nothing is read yet, and of a disk no folder is made.
///
/// # Errors
/// If the address or a setting makes no sense.
pub fn connect(address: &str, options: &ConnectOptions) -> Result<Store, StoreError> {
    let refused = |reason: String| StoreError::Url { url: address.to_owned(), reason };
    let url = Url::parse(address).map_err(|error| refused(error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(StoreError::Url {
            url: "...".to_owned(),
            reason: "credentials in an address are seen by others; put them into the environment".to_owned(),
        });
    }
    let failed = |error: object_store::Error| refused(error.to_string());
    let (scheme, path) = ObjectStoreScheme::parse(&url).map_err(|error| refused(error.to_string()))?;
    prepare_tls();
    let (requests, settings) = (options.requests, &options.settings);
    // Of this crate's attempts each is made in a short time; its own wait in between covers more.
    let retry = RetryConfig { max_retries: 2, retry_timeout: Duration::from_secs(30), ..RetryConfig::default() };
    let client = ClientOptions::new().with_timeout(requests.timeout).with_connect_timeout(Duration::from_secs(15));

    macro_rules! open {
        ($builder:ty) => {{
            let builder = <$builder>::new().with_client_options(client).with_url(address);
            let builder = settings.iter().fold(builder, |builder, (key, value)| match key.to_ascii_lowercase().parse() {
                Ok(key) => builder.with_config(key, value),
                Err(_) => builder,
            });
            Arc::new(builder.with_retry(retry).build().map_err(failed)?) as Arc<dyn ObjectStore>
        }};
    }
    let mut guard = if options.allow_unconditional { Guard::None } else { Guard::Conditional };
    let (inner, root): (Arc<dyn ObjectStore>, Path) = match scheme {
        ObjectStoreScheme::Local => {
            let folder = url.to_file_path().map_err(|()| refused("it is no path of this machine".to_owned()))?;
            let root = Path::from_absolute_path(&folder).map_err(|error| refused(error.to_string()))?;
            if guard == Guard::Conditional {
                guard = Guard::Folder(folder);
            }
            (Arc::new(LocalFileSystem::new().with_fsync(true)), root)
        }
        ObjectStoreScheme::AmazonS3 => (open!(AmazonS3Builder), path),
        ObjectStoreScheme::GoogleCloudStorage => (open!(GoogleCloudStorageBuilder), path),
        ObjectStoreScheme::MicrosoftAzure => (open!(MicrosoftAzureBuilder), path),
        ObjectStoreScheme::Http => {
            let host = &url[..Position::BeforePath];
            let builder = HttpBuilder::new().with_client_options(client.with_allow_http(true)).with_url(host).with_retry(retry);
            (Arc::new(builder.build().map_err(failed)?), path)
        }
        _ => return Err(refused("this kind of store is not known".to_owned())),
    };
    Ok(Store::new(inner, root, address.trim_end_matches('/').to_owned(), guard, requests))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_paths() {
        for address in ["s3://bucket/banks", "file:///tmp/banks", "gs://a", "az://a/b", "https://example.org/banks"] {
            assert!(is_address(address), "{address}");
        }
        for path in ["bank", "packs/legal.mpk", "C:\\packs", "a://b", "./s3:/x"] {
            assert!(!is_address(path), "{path}");
        }
    }

    #[test]
    fn what_is_no_store_is_refused() {
        for (address, named) in [
            ("nonsense", "no address"),
            ("ftp://example.org/banks", "no address"),
            ("file://host/banks", "no address"),
            ("s3://user:secret@bucket/banks", "put them into the environment"),
        ] {
            let error = connect(address, &ConnectOptions::default()).unwrap_err().to_string();
            assert!(error.contains(named) && !error.contains("secret"), "{address}: {error}");
        }
    }

    #[test]
    fn each_kind_has_its_guard() {
        let settings = [
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SECRET_ACCESS_KEY", "b"),
            ("AZURE_STORAGE_ACCOUNT_NAME", "c"),
        ];
        let mut options =
            ConnectOptions { settings: settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into(), ..Default::default() };
        assert_eq!(*connect("s3://bucket/banks/", &options).unwrap().guard(), Guard::Conditional);
        assert_eq!(*connect("file:///tmp/a%20b", &options).unwrap().guard(), Guard::Folder("/tmp/a b".into()));
        options.allow_unconditional = true;
        assert_eq!(*connect("s3://bucket/banks", &options).unwrap().guard(), Guard::None);
        assert_eq!(*connect("file:///tmp/banks", &options).unwrap().guard(), Guard::None);
        assert_eq!(*connect("https://example.org/banks", &options).unwrap().guard(), Guard::None);
    }
}
