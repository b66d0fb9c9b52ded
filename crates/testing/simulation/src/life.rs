//! One life of a server: from its start until it is killed.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;

use crate::node::Node;

/// One life of a server.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) node: Arc<Node>,
    /// Its API, once it has started.
    pub(crate) app: Arc<Mutex<Option<Router>>>,
}

impl Life {
    pub(crate) fn app(&self) -> Option<Router> {
        self.app
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
