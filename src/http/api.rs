//! The four calls to the instance that make a device known and keep it so.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::agent::{Agent, CALL_TIMEOUT, CallLimits};
use super::answer::{Answer, MediaType};
use super::instance::Instance;
use super::problem::Problem;
use super::registration::{Registration, RegistrationAnswer};
use super::request::{Method, Request};
use super::time::{Lifetime, ServerTime};
use super::word::{Asked, is_own_word, somebody_else};
use crate::net::host::Host;
use crate::secret::Secret;
use crate::{Error, Result};

pub(crate) const PROVISIONING_TOKEN: &str = "Provisioning Token";
pub(crate) const REGISTRATION_TOKEN: &str = "Registration Token";

/// A Provisioning Operation that waits for an operator's approval.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewOperation {
    #[serde(rename = "provisioningOperationId")]
    pub id: String,
    pub verification_code: String,
    /// As the Platform wrote it (RFC 3339).
    pub expiration_time: String,
}

/// What became of a Provisioning Operation.
#[derive(Debug)]
pub(crate) enum Completion {
    Approved(IssuedToken),
    Pending,
    Expired,
    Refused,
}

/// A Registration Token fresh from the Platform.
#[derive(Debug)]
pub(crate) struct IssuedToken {
    pub registration_token: Secret,
    pub lifetime: Lifetime,
}

/// The instance's HTTP API. Every method blocks for up to the time limit.
#[derive(Clone)]
pub(crate) struct Api {
    agent: Agent,
    host: Host,
    limits: CallLimits,
}

impl Api {
    pub fn new(instance: &Instance, agent: Agent) -> Api {
        Api {
            agent,
            host: instance.host().clone(),
            limits: CallLimits::within(CALL_TIMEOUT),
        }
    }

    /// The same API with another time limit for each call.
    #[cfg(any(test, feature = "tool"))]
    pub(crate) fn within(self, timeout: Duration) -> Api {
        let limits = CallLimits::within(timeout);
        Api { limits, ..self }
    }

    /// The same API for calls that wait for it to be back, after it has been out of reach for so long.
    pub fn after(&self, outage: Duration) -> Api {
        let limits = CallLimits {
            outage: Some(outage),
            ..self.limits
        };
        Api {
            limits,
            ..self.clone()
        }
    }

    /// Starts a Provisioning Operation for the device ID, or for the one in the token.
    pub fn init_provisioning(
        &self,
        provisioning_token: &Secret,
        device_id: Option<&str>,
    ) -> Result<NewOperation> {
        let call = Call {
            action: "start a Provisioning Operation",
            method: Method::Post,
            path: "/provisioning-operations/init",
            token: provisioning_token,
            token_name: PROVISIONING_TOKEN,
            body: match device_id {
                Some(id) => json!({ "deviceId": id }),
                None => json!({}),
            },
            other_secret: None,
        };
        let answer = self.send(&call)?;
        call.success(&answer)
    }

    /// Asks whether the operator has approved the operation.
    pub fn complete_provisioning(
        &self,
        provisioning_token: &Secret,
        operation_id: &str,
    ) -> Result<Completion> {
        let call = Call {
            action: "complete the Provisioning Operation",
            method: Method::Put,
            path: "/provisioning-operations/complete",
            token: provisioning_token,
            token_name: PROVISIONING_TOKEN,
            body: json!({ "provisioningOperationId": operation_id }),
            other_secret: None,
        };
        let answer = self.send(&call)?;
        Ok(match answer.status {
            202 => Completion::Pending,
            410 if !is_own_word(Asked::Instance, &answer) => return Err(call.refusal(&answer)),
            410 if Problem::parse(&answer.body).is_operation_cancelled() => Completion::Refused,
            410 => Completion::Expired,
            _ => Completion::Approved(call.issued_token(&answer)?),
        })
    }

    /// Gets what it takes to connect to the hub.
    pub fn register(&self, registration_token: &Secret) -> Result<Registration> {
        let call = Call {
            action: "register the device",
            method: Method::Put,
            path: "/devices/register",
            token: registration_token,
            token_name: REGISTRATION_TOKEN,
            body: json!({ "connectionStringType": "SharedAccessSignature" }),
            other_secret: None,
        };
        let answer = self.send(&call)?;
        let registration: RegistrationAnswer = call.success(&answer)?;
        registration
            .interpret(answer.time)
            .map_err(|problem| Error::protocol(call.action, problem))
    }

    /// Exchanges a Registration Token for a newer one.
    pub fn refresh(
        &self,
        provisioning_token: &Secret,
        registration_token: &Secret,
    ) -> Result<IssuedToken> {
        let call = Call {
            action: "refresh the Registration Token",
            method: Method::Put,
            path: "/devices/registration-tokens/refresh",
            token: provisioning_token,
            token_name: PROVISIONING_TOKEN,
            body: json!({ "registrationToken": registration_token.expose() }),
            other_secret: Some(registration_token),
        };
        let answer = self.send(&call)?;
        call.issued_token(&answer)
    }

    fn send(&self, call: &Call) -> Result<Answer> {
        // No other can be a valid token, nor be told from what follows it.
        if !call.token.expose().bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::InvalidToken {
                token: call.token_name,
            });
        }
        let authorization = format!("DeviceToken {}", call.token.expose());
        let body = call.body.to_string();
        let request = Request {
            method: call.method,
            host: &self.host,
            target: call.path.into(),
            headers: &[
                ("authorization", &authorization),
                ("content-type", "application/json"),
                ("accept", "application/json"),
            ],
            body: body.as_bytes(),
        };
        self.agent.call(call.action, &request, self.limits)
    }
}

/// One call: what is sent, and how its answer is told.
struct Call<'a> {
    action: &'static str,
    method: Method,
    path: &'static str,
    token: &'a Secret,
    token_name: &'static str,
    body: Value,
    /// One in the body, which the Platform might repeat when it explains a refusal.
    other_secret: Option<&'a Secret>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenAnswer {
    registration_token: String,
    #[serde(default)]
    expiration_time: Option<String>,
}

impl Call<'_> {
    /// The content of an answer that says success; the error of any other.
    fn success<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T> {
        if !matches!(answer.status, 200 | 201) {
            return Err(self.refusal(answer));
        }
        // serde_json's text would repeat the value it stumbled over, which can be a token.
        serde_json::from_slice(&answer.body).map_err(|error| {
            if answer.media_type != MediaType::Json {
                return somebody_else(self.action, answer);
            }
            let problem = format!("not the expected JSON in column {}", error.column());
            Error::protocol(self.action, problem)
        })
    }

    fn issued_token(&self, answer: &Answer) -> Result<IssuedToken> {
        let issued: TokenAnswer = self.success(answer)?;
        if issued.registration_token.is_empty() {
            return Err(Error::protocol(self.action, "an empty Registration Token"));
        }
        let expires_at = issued
            .expiration_time
            .as_deref()
            .and_then(ServerTime::from_rfc3339);
        Ok(IssuedToken {
            registration_token: Secret::new(issued.registration_token),
            lifetime: match issued.expiration_time {
                None => Lifetime::Unlimited,
                Some(_) => Lifetime::until(expires_at, answer.time),
            },
        })
    }

    fn refusal(&self, answer: &Answer) -> Error {
        if !is_own_word(Asked::Instance, answer) {
            return somebody_else(self.action, answer);
        }
        let (action, status) = (self.action, answer.status);
        let secrets = [Some(self.token), self.other_secret];
        let secrets: Vec<&str> = secrets.into_iter().flatten().map(Secret::expose).collect();
        let detail = Problem::parse(&answer.body).text(&secrets);
        match status {
            401 => Error::InvalidToken {
                token: self.token_name,
            },
            408 | 423 | 429 | 500..=599 => Error::Unavailable {
                action,
                status,
                detail,
            },
            400..=499 => Error::Refused {
                action,
                status,
                detail,
            },
            _ => Error::protocol(action, format!("HTTP status {status}")),
        }
    }
}

#[cfg(test)]
mod tests;
