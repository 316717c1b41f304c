//! The bodies of requests, described for programs that read `/openapi.json`; a test holds the
//! description against `telegraph_proto::rest`.

use serde_json::{Value, json};

/// A JSON object that a route takes.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// Its name in the document.
    pub name: &'static str,
    /// Its fields.
    pub(super) fields: &'static [Field],
}

/// One field of a body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) required: bool,
    pub(super) about: &'static str,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Password,
    Bytes,
    Port,
    Names,
}

impl Schema {
    /// The schema as OpenAPI 3.1 writes it.
    pub(super) fn document(&self) -> Value {
        let required: Vec<&str> =
            self.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
        let properties: serde_json::Map<String, Value> = self
            .fields
            .iter()
            .map(|field| {
                let mut form = form(field.form);
                form["description"] = field.about.into();
                (field.name.to_owned(), form)
            })
            .collect();
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": required,
            "properties": properties,
        })
    }
}

fn form(form: Form) -> Value {
    match form {
        Form::Text => json!({ "type": "string" }),
        Form::Password => json!({ "type": "string", "format": "password", "maxLength": 71 }),
        Form::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Form::Port => json!({ "type": "integer", "minimum": 1, "maximum": 65535 }),
        Form::Names => json!({ "type": "array", "items": { "type": "string" }, "maxItems": 100 }),
    }
}

const fn needed(name: &'static str, form: Form, about: &'static str) -> Field {
    Field { name, form, required: true, about }
}

const fn optional(name: &'static str, form: Form, about: &'static str) -> Field {
    Field { name, form, required: false, about }
}

const USERNAME: Field = needed("username", Form::Text, "2 to 32 of a-z 0-9 . _ -");
const PASSWORD: Field = needed("password", Form::Password, "What stands for the password.");
const DEVICE: Field = needed("device_id", Form::Text, "32 hexadecimal digits.");

/// `POST /register`.
pub(super) const REGISTER: Schema = Schema {
    name: "RegisterRequest",
    fields: &[
        USERNAME,
        PASSWORD,
        needed("public_key", Form::Bytes, "The account's Ed25519 key."),
        needed("sealed_by_password", Form::Bytes, "The secret key, sealed under the password."),
        needed("sealed_by_recovery_code", Form::Bytes, "The same under the recovery code."),
        needed("statement", Form::Bytes, "A REGISTER statement over name, key, sealed keys' hash."),
        DEVICE,
    ],
};

/// `POST /login`.
pub(super) const LOGIN: Schema = Schema {
    name: "LoginRequest",
    fields: &[
        USERNAME,
        PASSWORD,
        DEVICE,
        optional("device_name", Form::Text, "For the list of sessions; at most 64 bytes."),
        optional("ip", Form::Text, "Where the client listens; with port and statement."),
        optional("port", Form::Port, "Port of ip."),
        optional("address_statement", Form::Bytes, "An ADDRESS statement that names ip and port."),
    ],
};

/// `POST /heartbeat`.
pub(super) const HEARTBEAT: Schema = Schema {
    name: "HeartbeatRequest",
    fields: &[USERNAME, optional("watch", Form::Names, "Whose presence the caller waits for.")],
};

/// `PUT /users/reconnect/{ip}/{username}`.
pub(super) const RECONNECT: Schema = Schema {
    name: "ReconnectRequest",
    fields: &[
        needed("port", Form::Port, "Port of the IP in the path."),
        needed("address_statement", Form::Bytes, "An ADDRESS statement that names ip and port."),
    ],
};

/// `POST /account/password`.
pub(super) const PASSWORD_CHANGE: Schema = Schema {
    name: "PasswordRequest",
    fields: &[
        needed("old_password", Form::Password, "What stood for the old password."),
        needed("new_password", Form::Password, "What stands for the new one."),
        needed("sealed_by_password", Form::Bytes, "The secret key, sealed under the new one."),
        needed("sealed_by_recovery_code", Form::Bytes, "The same under the recovery code."),
        needed("statement", Form::Bytes, "A PASSWORD statement over the sealed keys' hash."),
    ],
};

/// `DELETE /account`.
pub(super) const DELETE: Schema = Schema {
    name: "DeleteRequest",
    fields: &[PASSWORD, needed("statement", Form::Bytes, "A DELETE statement.")],
};

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Serialize, de::DeserializeOwned};
    use telegraph_proto::rest;

    /// A body of the described fields is one of the type, and none may be missing or added.
    fn holds<T: Serialize + DeserializeOwned>(schema: &Schema) {
        let value = |field: &Field| match field.form {
            Form::Text | Form::Password => json!("a"),
            Form::Bytes => json!("YQ=="),
            Form::Port => json!(1),
            Form::Names => json!([]),
        };
        let all: serde_json::Map<String, Value> =
            schema.fields.iter().map(|field| (field.name.into(), value(field))).collect();
        let read: T = serde_json::from_value(all.clone().into()).unwrap();
        let mut written = serde_json::to_value(read).unwrap();
        assert_eq!(written.as_object_mut().unwrap().len(), all.len(), "{}", schema.name);
        for field in schema.fields {
            let mut without = all.clone();
            without.remove(field.name);
            let read = serde_json::from_value::<T>(without.into());
            assert_eq!(read.is_err(), field.required, "{} {}", schema.name, field.name);
        }
    }

    #[test]
    fn the_described_bodies_are_the_bodies_that_are_read() {
        holds::<rest::RegisterRequest>(&REGISTER);
        holds::<rest::LoginRequest>(&LOGIN);
        holds::<rest::HeartbeatRequest>(&HEARTBEAT);
        holds::<rest::ReconnectRequest>(&RECONNECT);
        holds::<rest::PasswordRequest>(&PASSWORD_CHANGE);
        holds::<rest::DeleteRequest>(&DELETE);
    }
}
