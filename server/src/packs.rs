//! The endpoint `/packs`: which packs a caller may read, and which are mounted.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Request, StatusCode};
use mempack_format::Quality;
use mempack_runtime::{MountError, Mounted, PackSet};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::body;
use crate::error::ApiError;
use crate::fetch::FetchError;
use crate::name::Name;
use crate::openai::fields::Fields;
use crate::request::Tracked;
use crate::shelf::ShelfError;
use crate::state::State;
use crate::who::Caller;

/// The packs that a caller may read.
#[derive(Serialize, ToSchema)]
pub struct Packs {
    /// `list`.
    object: &'static str,
    /// The packs, in the order in which they were mounted.
    data: Vec<PackInfo>,
}

/// A mounted pack.
#[derive(Serialize, ToSchema)]
pub struct PackInfo {
    /// Its name.
    name: String,
    /// The id of its content.
    id: String,
    /// Bytes of its file; null for a key with a filter.
    bytes: Option<u64>,
    /// Its references that the key may read.
    references: u32,
    /// Its documents that the key may read.
    documents: u32,
    /// The codec of its memories.
    codec: String,
    /// The model that wrote them.
    model: String,
    /// What the codec loses, if the pack records it.
    quality: Option<PackQuality>,
    /// The ids of the keys whose signatures are right.
    signed_by: Vec<String>,
    /// The fields of its documents, for filters.
    fields: Vec<String>,
}

/// What a codec loses.
#[derive(Serialize, ToSchema)]
struct PackQuality {
    /// The squared error of keys and values over their variance, a mean over layers: 0 is lossless.
    memory_error: Option<f64>,
    /// The mean divergence (KL) of the model's predictions, in nats per token.
    divergence: Option<f64>,
}

/// Lists the packs that the caller may read.
///
/// # Errors
/// A caller without a valid key, or a damaged pack.
#[utoipa::path(get, path = "/packs", tag = "Packs", responses((status = 200, description = "The packs", body = Packs)))]
pub async fn list(Shared(state): Shared<Arc<State>>, headers: HeaderMap) -> Result<Json<Packs>, ApiError> {
    let tracked = Tracked::look(&state, &headers, "/packs")?;
    let listed = listed(&state, tracked.caller());
    tracked.end(listed.as_ref().err());
    Ok(Json(Packs { object: "list", data: listed? }))
}

fn listed(state: &State, caller: &Caller) -> Result<Vec<PackInfo>, ApiError> {
    let visible = state.catalog.visible(&caller.access);
    let filtered = match &caller.access.filter {
        Some(_) if !visible.packs().is_empty() => state.catalog.reading(&caller.access, None, None)?,
        _ => visible,
    };
    let whole = caller.access.filter.is_none();
    filtered.packs().iter().map(|mounted| info(mounted, whole)).collect()
}

/// What is told of a pack; its size only to those who may read the `whole` of it.
fn info(mounted: &Arc<Mounted>, whole: bool) -> Result<PackInfo, ApiError> {
    let pack = mounted.pack();
    let manifest = pack.manifest();
    let fields = PackSet::of(vec![Arc::clone(mounted)]).fields().map_err(|error| {
        tracing::error!(%error, "a pack cannot be listed");
        ApiError::damaged()
    })?;
    let right = pack.signatures().iter().filter(|signature| signature.check(pack.id()).is_ok());
    Ok(PackInfo {
        name: mounted.name().to_owned(),
        id: pack.id().to_string(),
        bytes: whole.then(|| pack.bytes()),
        references: mounted.references(),
        documents: mounted.documents(),
        codec: manifest.codec.to_string(),
        model: manifest.model.name.clone(),
        quality: pack.quality().map(quality),
        signed_by: right.map(|signature| signature.key_id().to_string()).collect(),
        fields,
    })
}

/// Means over the layers.
fn quality(quality: &Quality) -> PackQuality {
    let layers = quality.layers.len() as f64;
    let error = quality.layers.iter().map(|loss| (loss.keys + loss.values) / 2.0).sum::<f64>() / layers;
    PackQuality {
        memory_error: Some(error).filter(|error| error.is_finite()),
        divergence: quality.divergence.map(|divergence| divergence.nats),
    }
}

/// Where a pack is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// A path in the folder of packs.
    path: Option<String>,
    /// An address that the operator allows; the pack is stored in the folder.
    url: Option<String>,
}

/// Mounts a pack under a name, in place of the one that has it. All of its bytes are checked first; requests under way keep what they read.
///
/// # Errors
/// A caller who may not administer, a place that is not allowed, a file that is no whole pack, a pack that does not fit the others.
#[utoipa::path(put, path = "/packs/{name}", tag = "Packs", params(("name" = String, Path, description = "The name")), request_body = Place,
    responses((status = 200, description = "The pack", body = PackInfo), (status = "4XX", description = "It is refused", body = crate::error::ErrorBody)))]
pub async fn put(Shared(state): Shared<Arc<State>>, name: Name, request: Request<Body>) -> Result<Json<PackInfo>, ApiError> {
    let name = name.checked()?;
    let tracked = Tracked::look(&state, request.headers(), "/packs")?;
    let mounted = mount(&state, tracked.caller(), &name, request).await;
    tracked.end(mounted.as_ref().err());
    mounted.map(Json)
}

async fn mount(state: &Arc<State>, caller: &Caller, name: &str, request: Request<Body>) -> Result<PackInfo, ApiError> {
    caller.must_be_admin()?;
    let Place { path, url } = Fields::of(body::json(request, &state.limits).await?, &[&["path", "url"]])?.part()?;
    let (of_work, name_of_work) = (Arc::clone(state), name.to_owned());
    let work = move || -> Result<(), ApiError> {
        let (state, name) = (of_work, name_of_work);
        state.shelf.check_name(&name).map_err(refused)?;
        match (path, url) {
            (Some(path), None) => state.shelf.mount(&name, &path).map_err(refused)?,
            (None, Some(url)) => {
                let folder = state.shelf.folder().ok_or_else(|| refused(ShelfError::NoFolder))?;
                let part = state.fetcher.fetch(&url, &folder.join(format!("{name}.mpk"))).map_err(|error| not_fetched(&error))?;
                state.shelf.adopt(&name, part).map_err(refused)?
            }
            _ => return Err(ApiError::field("path", "give either `path` or `url`")),
        };
        state.catalog.forget_unmounted();
        Ok(())
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| ApiError::internal())??;
    tracing::info!(request = caller.id, pack = name, "mounted");
    let mounted = state.catalog.mounts().packs();
    mounted
        .get(name)
        .map(|mounted| info(mounted, true))
        .unwrap_or_else(|| Err(ApiError::conflict("pack_changed", "the pack was unmounted meanwhile")))
}

/// Unmounts a pack. Requests under way keep it.
///
/// # Errors
/// A caller who may not administer, a name that no pack has, a pack that was named when the service was started.
#[utoipa::path(delete, path = "/packs/{name}", tag = "Packs", params(("name" = String, Path, description = "The name")),
    responses((status = 204, description = "It is unmounted"), (status = "4XX", description = "It is not", body = crate::error::ErrorBody)))]
pub async fn delete(Shared(state): Shared<Arc<State>>, name: Name, headers: HeaderMap) -> Result<StatusCode, ApiError> {
    let name = name.checked()?;
    let tracked = Tracked::look(&state, &headers, "/packs")?;
    let unmounted = unmount(&state, tracked.caller(), &name).await;
    tracked.end(unmounted.as_ref().err());
    if unmounted.is_ok() {
        tracing::info!(pack = name, "unmounted");
    }
    unmounted.map(|()| StatusCode::NO_CONTENT)
}

async fn unmount(state: &Arc<State>, caller: &Caller, name: &str) -> Result<(), ApiError> {
    caller.must_be_admin()?;
    let (state, name) = (Arc::clone(state), name.to_owned());
    // The folder may be looked at meanwhile, which can take long.
    let work = move || {
        state.shelf.unmount(&name).map_err(refused)?;
        state.catalog.forget_unmounted();
        Ok(())
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| ApiError::internal())?
}

/// What an administrator is told.
fn refused(error: ShelfError) -> ApiError {
    let message = error.to_string();
    match error {
        ShelfError::NoFolder => ApiError::conflict("no_folder", message),
        ShelfError::Name { .. } => ApiError::field("name", message),
        ShelfError::Outside { .. } => ApiError::forbidden(message),
        ShelfError::Read { .. } => ApiError::not_found("file_not_found", message),
        ShelfError::Fixed { .. } => ApiError::conflict("pack_fixed", message),
        ShelfError::Mount(MountError::NotMounted { .. }) => ApiError::not_found("pack_not_found", message),
        ShelfError::Open(_) | ShelfError::Damaged { .. } => ApiError::conflict("pack_damaged", message),
        ShelfError::Mount(_) => ApiError::conflict("pack_refused", message),
        ShelfError::Remember { .. } => {
            tracing::error!(error = message, "what is mounted cannot be remembered");
            ApiError::internal()
        }
    }
}

fn not_fetched(error: &FetchError) -> ApiError {
    let message = error.to_string();
    match error {
        FetchError::NotAllowed { .. } => ApiError::forbidden(message),
        FetchError::Store(_) => {
            tracing::error!(error = message, "a pack cannot be stored");
            ApiError::internal()
        }
        _ => ApiError::conflict("pack_not_fetched", message),
    }
}
