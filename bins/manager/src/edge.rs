//! The edge: where requests of the outside become calls of the `Api`, and answers become JSON.

pub(crate) mod convert;
pub(crate) mod door;
pub(crate) mod extract;
pub(crate) mod grpc;
pub(crate) mod guard;
pub(crate) mod openapi;
pub(crate) mod operations;
pub(crate) mod problem;
pub(crate) mod rest;
pub(crate) mod route;
pub(crate) mod routes;
pub(crate) mod schema;
pub(crate) mod state;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use problem::{Failure, Kind};
use state::Edge;

/// The routes, inside their limits.
pub(crate) fn router(edge: Edge) -> Router {
    let mut router = Router::new();
    for route in routes::routes() {
        router = router.route(route.path, (route.handler)());
    }
    router
        .fallback(async || Failure::new(Kind::NotFound, "there is no such route"))
        .method_not_allowed_fallback(async || {
            Failure::new(Kind::MethodNotAllowed, "the route does not take this method")
        })
        .layer(DefaultBodyLimit::max(extract::MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(edge.clone(), guard::guard))
        .with_state(edge)
}
