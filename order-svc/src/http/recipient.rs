//! To whom an order's emails go: the one place that tells the address, to whoever sends them.

use axum::Json;
use axum::extract::State;
use runtime::http::docs::{Responses, documented};
use runtime::http::read::{IdInPath, ReadError, faults};
use schema::ids::OrderId;
use schema::scope;
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use super::orders::{NOT_FOUND, refused_ids};
use crate::App;
use crate::store::orders;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_recipient))
}

/// To whom an order's emails go.
#[derive(Serialize, ToSchema)]
struct Recipient {
    /// The customer's address.
    #[schema(format = Email, example = "ada@example.com")]
    email: String,
}

/// To whom do an order's emails go?
///
/// For notify-svc, right before it sends one: the address is in no event. Gateways don't lead here.
#[utoipa::path(
    get,
    path = "/api/orders/{id}/recipient",
    tag = "orders",
    security(("bearer" = [scope::RECIPIENTS])),
    params(("id" = Uuid, Path, description = "The order", example = "019aab1e-5c3a-7d52-9e1f-3f2b8c6d4a10")),
    responses((status = 200, description = "The customer's address", body = Recipient), Problems)
)]
async fn get_recipient(State(app): State<App>, IdInPath(id): IdInPath) -> Result<Json<Recipient>, ApiError> {
    let order = orders::find(&app.pool, OrderId(id)).await.map_err(ReadError::from)?.ok_or(NOT_FOUND)?;
    let email = order.email.ok_or(ApiError::Erased)?;
    Ok(Json(Recipient { email }))
}

struct Problems;

impl IntoResponses for Problems {
    fn responses() -> Responses {
        documented(refused_ids().into_iter().chain([ApiError::Erased.problem()]).chain(faults()))
    }
}
