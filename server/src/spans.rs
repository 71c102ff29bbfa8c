//! Spans of requests for a collector of OpenTelemetry, over OTLP. They are sent if `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`
//! is set; the other variables of OpenTelemetry's exporters hold too.

use std::time::{Duration, SystemTime};

/// The variables that name a collector.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

/// A request that has ended.
#[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "nothing is sent"))]
pub struct Ended<'a> {
    /// Its address.
    pub endpoint: &'static str,
    /// How it ended, in a word.
    pub outcome: &'static str,
    /// The status of the reply.
    pub status: u16,
    /// Its id.
    pub id: &'a str,
    /// The name of its key.
    pub key: &'a str,
    /// When it arrived.
    pub began: SystemTime,
    /// How long it took to the first text of its answer.
    pub first_token: Option<Duration>,
    /// How long it took.
    pub total: Duration,
    /// Tokens of prompt and answer.
    pub tokens: [u64; 2],
    /// The caller's trace (W3C Trace Context), if it has one.
    pub traceparent: Option<&'a str>,
}

/// Whether a collector is named.
fn is_wanted() -> bool {
    ENDPOINTS.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

#[cfg(feature = "otel")]
pub use exported::Spans;
#[cfg(not(feature = "otel"))]
pub use missing::Spans;

#[cfg(not(feature = "otel"))]
mod missing {
    use super::{Ended, is_wanted};

    /// Sends nothing: this build has no OpenTelemetry.
    pub struct Spans;

    impl Spans {
        /// Nothing, unless a collector is named.
        ///
        /// # Errors
        /// If one is.
        pub fn from_env() -> Result<Option<Self>, String> {
            if is_wanted() { Err("this build has no OpenTelemetry; build it with the feature `otel`".into()) } else { Ok(None) }
        }

        /// Does nothing.
        pub fn request(&self, _: &Ended<'_>) {}
    }
}

#[cfg(feature = "otel")]
mod exported {
    use std::collections::HashMap;

    use opentelemetry::propagation::TextMapPropagator as _;
    use opentelemetry::trace::{Span as _, SpanKind, Status, Tracer as _, TracerProvider as _};
    use opentelemetry::{Context, KeyValue};
    use opentelemetry_otlp::SpanExporter;
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

    use super::{Ended, is_wanted};

    /// Sends spans in the background, in groups.
    pub struct Spans {
        provider: SdkTracerProvider,
        tracer: SdkTracer,
    }

    impl Spans {
        /// For the collector that the environment names; `None` if it names none.
        ///
        /// # Errors
        /// An address or another variable that the exporter refuses.
        pub fn from_env() -> Result<Option<Self>, String> {
            if !is_wanted() {
                return Ok(None);
            }
            let exporter = SpanExporter::builder().with_http().build().map_err(|error| error.to_string())?;
            // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES come first.
            let name = std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| "mempack".into());
            let resource = Resource::builder().with_service_name(name).build();
            let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
            let tracer = provider.tracer("mempack");
            Ok(Some(Self { provider, tracer }))
        }

        /// Sends the span of a request, in the caller's trace if it has one.
        pub fn request(&self, ended: &Ended<'_>) {
            let Ended { endpoint, outcome, status, id, key, began, first_token, total, tokens, traceparent } = *ended;
            let carrier: HashMap<String, String> =
                traceparent.map(|parent| ("traceparent".to_owned(), parent.to_owned())).into_iter().collect();
            let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
            let [tokens_in, tokens_out] = tokens.map(|number| i64::try_from(number).unwrap_or(i64::MAX));
            // OpenTelemetry's semantic conventions where they have a name.
            let attributes = vec![
                KeyValue::new("http.route", endpoint),
                KeyValue::new("http.response.status_code", i64::from(status)),
                KeyValue::new("mempack.outcome", outcome),
                KeyValue::new("mempack.request", id.to_owned()),
                KeyValue::new("mempack.key", key.to_owned()),
                KeyValue::new("gen_ai.usage.input_tokens", tokens_in),
                KeyValue::new("gen_ai.usage.output_tokens", tokens_out),
            ];
            let builder = self.tracer.span_builder(endpoint).with_kind(SpanKind::Server).with_start_time(began).with_attributes(attributes);
            let mut span = self.tracer.build_with_context(builder, &parent);
            if let Some(first_token) = first_token {
                span.add_event_with_timestamp("first token", began + first_token, Vec::new());
            }
            if status >= 500 {
                span.set_status(Status::error(outcome));
            }
            span.end_with_timestamp(began + total);
        }
    }

    impl Drop for Spans {
        fn drop(&mut self) {
            // Sends what waits. A collector that does not answer is told in the log by the exporter.
            let _ = self.provider.shutdown();
        }
    }
}
