//! A build without the feature `otlp`: there is no exporter, so nobody can hold one.

use std::sync::Arc;

use crate::metrics::TraceMetrics;
use crate::traces::{Context, Span, TraceId, TracesPlan};

/// Cannot be made.
pub enum Exporter {}

#[expect(missing_docs, reason = "as those of the exporter that there could be")]
impl Exporter {
    #[must_use]
    pub fn start(_: TracesPlan, _: &TraceMetrics) -> Option<Arc<Self>> {
        None
    }

    #[must_use]
    pub fn plan(&self) -> &TracesPlan {
        match *self {}
    }

    #[must_use]
    pub fn begin(&self, _: Option<&Context>) -> Option<TraceId> {
        match *self {}
    }

    pub fn take(&self, _: TraceId, _: &[Span<'_>], _: bool) {
        match *self {}
    }

    pub async fn finish(&self) {
        match *self {}
    }
}
