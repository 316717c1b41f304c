//! The OpenAPI document, made of the table of routes.

use super::problem::Kind;
use super::route::{Access, Route};
use super::routes::routes;
use serde_json::{Map, Value, json};

/// The interface as an OpenAPI 3.1 document.
pub(crate) fn document() -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for route in routes() {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.to_ascii_lowercase()] = operation(route);
        if let Some(schema) = route.request {
            schemas.insert(schema.name.into(), schema.document());
        }
    }
    schemas.insert("Problem".into(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Telegraph identity manager",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Accounts, keys, addresses and presence. Managers never see messages. \
                            Successes are {\"message\": …, \"status\": 200}.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "session": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "summary": route.about,
        "parameters": parameters(route),
        "responses": responses(route),
    });
    if route.access == Access::Session {
        operation["security"] = json!([{ "session": [] }]);
    }
    if let Some(schema) = route.request {
        let reference = format!("#/components/schemas/{}", schema.name);
        operation["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": { "$ref": reference } } },
        });
    }
    operation
}

fn parameters(route: &Route) -> Vec<Value> {
    let parameter = |name: &str, place: &str, kind: &str| {
        let (required, schema) = (place == "path", json!({ "type": kind }));
        json!({ "name": name, "in": place, "required": required, "schema": schema })
    };
    let in_path =
        route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| parameter(name, "path", "string"));
    let in_query = route.query.iter().map(|(name, kind)| parameter(name, "query", kind));
    in_path.chain(in_query).collect()
}

/// One response per status: problems of the same status share it, told apart by `type`.
fn responses(route: &Route) -> Value {
    let mut responses = Map::new();
    responses.insert("200".into(), json!({ "description": route.reply }));
    let problems = route.problems();
    let mut statuses: Vec<u16> = problems.iter().map(|kind| kind.status().as_u16()).collect();
    statuses.dedup();
    for status in statuses {
        let kinds: Vec<&str> = problems
            .iter()
            .filter(|kind| kind.status().as_u16() == status)
            .map(|kind| kind.slug())
            .collect();
        let problem = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
        responses.insert(
            status.to_string(),
            json!({
                "description": kinds.join(", "),
                "content": { "application/problem+json": problem },
            }),
        );
    }
    responses.into()
}

fn problem() -> Value {
    let kinds: Vec<String> =
        Kind::ALL.iter().map(|kind| format!("/problems/{}", kind.slug())).collect();
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "request_id"],
        "properties": {
            "type": { "type": "string", "enum": kinds },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "request_id": { "type": "string" },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_and_every_schema_it_names_is_in_the_document() {
        let document = document();
        for route in routes() {
            let operation = &document["paths"][route.path][route.method.to_ascii_lowercase()];
            assert!(operation["summary"].is_string(), "{} {}", route.method, route.path);
            let secured = operation["security"].is_array();
            assert_eq!(secured, route.access == Access::Session, "{}", route.path);
            if let Some(schema) = route.request {
                assert!(document["components"]["schemas"][schema.name].is_object());
            }
        }
        let reconnect = &document["paths"]["/users/reconnect/{ip}/{username}"]["put"];
        assert_eq!(reconnect["parameters"].as_array().map(Vec::len), Some(2));
        let peers = &document["paths"]["/peers"]["get"]["parameters"];
        assert_eq!((&peers[1]["name"], &peers[1]["in"]), (&json!("limit"), &json!("query")));
        assert!(reconnect["responses"]["409"]["description"].is_string());
    }
}
