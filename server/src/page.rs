//! The page at `/`, whose files are in the program.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::error::ApiError;
use crate::state::State;

/// Nothing from elsewhere, no script or style in the page itself, in no frame.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// The files: name, media type, content.
const FILES: &[(&str, &str, &str)] = &[
    ("answer.css", "text/css; charset=utf-8", include_str!("../page/answer.css")),
    ("answer.js", "text/javascript; charset=utf-8", include_str!("../page/answer.js")),
    ("api.js", "text/javascript; charset=utf-8", include_str!("../page/api.js")),
    ("attention.js", "text/javascript; charset=utf-8", include_str!("../page/attention.js")),
    ("cited.js", "text/javascript; charset=utf-8", include_str!("../page/cited.js")),
    ("colors.css", "text/css; charset=utf-8", include_str!("../page/colors.css")),
    ("conversation.js", "text/javascript; charset=utf-8", include_str!("../page/conversation.js")),
    ("dom.js", "text/javascript; charset=utf-8", include_str!("../page/dom.js")),
    ("format.js", "text/javascript; charset=utf-8", include_str!("../page/format.js")),
    ("frame.css", "text/css; charset=utf-8", include_str!("../page/frame.css")),
    ("icon.svg", "image/svg+xml", include_str!("../page/icon.svg")),
    ("key.js", "text/javascript; charset=utf-8", include_str!("../page/key.js")),
    ("main.js", "text/javascript; charset=utf-8", include_str!("../page/main.js")),
    ("options.js", "text/javascript; charset=utf-8", include_str!("../page/options.js")),
    ("packs.css", "text/css; charset=utf-8", include_str!("../page/packs.css")),
    ("packs.js", "text/javascript; charset=utf-8", include_str!("../page/packs.js")),
    ("passages.js", "text/javascript; charset=utf-8", include_str!("../page/passages.js")),
    ("preview.js", "text/javascript; charset=utf-8", include_str!("../page/preview.js")),
    ("problems.js", "text/javascript; charset=utf-8", include_str!("../page/problems.js")),
    ("sse.js", "text/javascript; charset=utf-8", include_str!("../page/sse.js")),
    ("style.css", "text/css; charset=utf-8", include_str!("../page/style.css")),
    ("theme.js", "text/javascript; charset=utf-8", include_str!("../page/theme.js")),
    ("turn.js", "text/javascript; charset=utf-8", include_str!("../page/turn.js")),
];

const INDEX: &str = include_str!("../page/index.html");

/// The routes of the page.
pub fn router() -> Router<Arc<State>> {
    Router::new().route("/", get(async || file("text/html; charset=utf-8", INDEX))).route("/page/{name}", get(part))
}

async fn part(Path(name): Path<String>) -> Result<Response, ApiError> {
    let found = FILES.iter().find(|(file, _, _)| *file == name);
    found.map(|(_, kind, content)| file(kind, content)).ok_or_else(|| ApiError::not_found("unknown_url", "the page has no such file"))
}

fn file(kind: &'static str, content: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, POLICY), (header::REFERRER_POLICY, "no-referrer")];
    (headers.map(|(name, value)| (name, HeaderValue::from_static(value))), content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_all_files_that_it_names() {
        for (name, _, content) in FILES.iter().chain(&[("index.html", "", INDEX)]) {
            for named in content.split(['"', '\'']).filter_map(|word| word.strip_prefix("/page/").or_else(|| word.strip_prefix("./"))) {
                let known = FILES.iter().any(|(file, _, _)| *file == named);
                assert!(known, "{name} names {named}");
            }
        }
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        let files = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{error}")).count();
        assert_eq!(files, FILES.len() + 1, "every file of the folder is served");
    }
}
