//! One request, from its receipt to what is sent back: recorded, disturbed if a fault is due,
//! carried out.

use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Version};

use crate::simulator::access::Credential;
use crate::simulator::answer::{Answer, Outcome, new_request_id};
use crate::simulator::behaviour::CredentialPlaces;
use crate::simulator::clock::{Clock, Moment};
use crate::simulator::errors::{ApiError, Code};
use crate::simulator::faults::{
    Aftermath, Course, Disturbed, Fault, FaultBook, LARGE_ID_FLOOR, Subject, add_members,
    add_token, add_token_field, claim_life,
};
use crate::simulator::operations::{Asked, perform};
use crate::simulator::record::{Answered, DEFAULT_CAPACITY, Received, Record};
use crate::simulator::routes::Route;
use crate::simulator::target::{Query, Target};
use crate::simulator::world::World;

/// All that the clones of a simulator share.
pub(crate) struct Inner {
    pub(crate) world: World,
    pub(crate) faults: FaultBook,
    pub(crate) record: Record,
    pub(crate) clock: Clock,
    started: Moment,
    connections: u64,
}

/// A request as it came off the wire.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query, nothing decoded.
    pub(crate) target: String,
    pub(crate) authority: Option<String>,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    /// `None`: larger than the simulator reads, or broken off.
    pub(crate) body: Option<Bytes>,
    pub(crate) connection: u64,
}

/// What is sent back, and the number under which the request stands in the record.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) number: u64,
    pub(crate) request_id: String,
    pub(crate) delivery: Delivery,
}

/// How an answer is sent, if it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Answer(Answer),
    Late(Duration, Answer),
    CutMidBody(Answer),
    Cut,
    Hang,
}

impl Inner {
    pub(crate) fn new() -> Self {
        let clock = Clock::start();
        Self {
            world: World::default(),
            faults: FaultBook::default(),
            record: Record::new(DEFAULT_CAPACITY),
            started: clock.now(),
            clock,
            connections: 0,
        }
    }

    /// The number of a new connection.
    pub(crate) fn next_connection(&mut self) -> u64 {
        self.connections = self.connections.saturating_add(1);
        self.connections
    }

    /// Records a request and does what it asks, unless a fault is due.
    pub(crate) fn exchange(&mut self, call: &Call) -> Exchange {
        let now = self.clock.now();
        let request_id = new_request_id();
        let target = Target::parse(&call.target, self.world.behaviour.dot_segments).ok();
        let route = target.as_ref().and_then(|target| Route::find(call.method.as_str(), target));
        let fault = self.faults.take(&Subject {
            method: call.method.as_str(),
            route: route.as_ref().map(Route::kind),
            path: &target.as_ref().map(Target::path).unwrap_or_default(),
        });
        let number = self.record.add(self.received(call, route.as_ref(), now));
        let token = call.token(target.as_ref().map(Target::query));
        let disturbed =
            Disturbed { target: &call.target, token: token.as_deref(), request_id: &request_id };
        let course = match &fault {
            Some(fault) => fault.course(&disturbed),
            None => Course::Act(Aftermath::AsItIs),
        };
        let delivery = match course {
            Course::Instead(answer) => Delivery::Answer(answer),
            Course::CutFirst => Delivery::Cut,
            Course::HangFirst => Delivery::Hang,
            Course::Act(aftermath) => {
                if fault == Some(Fault::LargeRecycledItemId) {
                    self.world.raise_recycled_ids(LARGE_ID_FLOOR);
                }
                let outcome = self.act(call, target.as_ref(), route.as_ref(), now);
                let answer = self.note_effects(number, outcome, &request_id);
                aftermath.deliver(answer, token.as_deref())
            }
        };
        if delivery == Delivery::Cut {
            self.record.amend(number, |received| received.answered = Answered::Cut);
        }
        Exchange { number, request_id, delivery }
    }

    fn act(
        &mut self,
        call: &Call,
        target: Option<&Target>,
        route: Option<&Route>,
        now: Moment,
    ) -> Result<Outcome, ApiError> {
        let target = target.ok_or(Code::BadRequest)?;
        let body = call.body.as_ref().ok_or(Code::RequestEntityTooLarge)?;
        let route = route.ok_or(Code::RouteNotFound)?;
        let asked = Asked { query: target.query(), authorization: call.authorization(), body, now };
        perform(&mut self.world, route, asked)
    }

    fn note_effects(
        &mut self,
        number: u64,
        outcome: Result<Outcome, ApiError>,
        request_id: &str,
    ) -> Answer {
        match outcome {
            Ok(Outcome { answer, effects }) => {
                self.record.amend(number, |received| received.effects = effects);
                answer
            }
            Err(error) => Answer::error(&error, request_id),
        }
    }

    fn received(&self, call: &Call, route: Option<&Route>, now: Moment) -> Received {
        let fields = call.headers.iter();
        Received {
            method: call.method.to_string(),
            target: call.target.clone(),
            authority: call.authority.clone(),
            version: call.version,
            headers: fields
                .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                .collect(),
            body: call.body.clone().unwrap_or_default(),
            route: route.map(Route::kind),
            answered: Answered::Nothing,
            effects: Vec::new(),
            time: now.wall,
            since_start: now.instant.saturating_duration_since(self.started.instant),
            connection: call.connection,
        }
    }
}

impl Aftermath {
    fn deliver(self, answer: Answer, token: Option<&str>) -> Delivery {
        let token = token.unwrap_or_default();
        match self {
            Self::AsItIs => Delivery::Answer(answer),
            Self::Late(wait) => Delivery::Late(wait, answer),
            Self::Instead(other) => Delivery::Answer(other),
            Self::AddFields(members) => Delivery::Answer(add_members(answer, members)),
            Self::AddToken => Delivery::Answer(add_token(answer, token)),
            Self::AddTokenField => Delivery::Answer(add_token_field(answer, token)),
            Self::ClaimLife(seconds) => Delivery::Answer(claim_life(answer, seconds)),
            Self::Cut => Delivery::Cut,
            Self::CutMidBody => Delivery::CutMidBody(answer),
            Self::Hang => Delivery::Hang,
        }
    }
}

impl Call {
    fn authorization(&self) -> Option<&str> {
        self.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok())
    }

    /// The credential of the request, wherever it stands: faults that leak one leak this.
    fn token(&self, query: Option<&Query>) -> Option<String> {
        let places = CredentialPlaces::default();
        match Credential::find(places, query?, self.authorization()).ok()? {
            Credential::Token(secret) | Credential::LibrarySecret(secret) => Some(secret),
        }
    }
}
