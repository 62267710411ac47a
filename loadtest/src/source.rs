//! The requests of one connection, in order: drawn when they are needed, or prepared before the run.

use crate::client::Target;
use crate::encode::{CURRENCY, Encoder, Names};
use crate::http::Request;
use crate::run::{Answers, Plan};
use crate::units;
use crate::workload::{Event, Grant, Step, Workload};
use std::sync::Arc;

/// Bytes of a request's head and of the vectors around it, more or less.
const OVERHEAD_BYTES: u64 = 400;

/// One request, and what its answer has to say.
#[derive(Clone, Debug)]
pub struct Work {
    /// What it is about.
    pub step: Step,
    /// Its events, if it is about events.
    pub events: Vec<Event>,
    /// Its bytes.
    pub request: Request,
}

/// One connection's requests.
#[derive(Debug)]
pub struct Source {
    workload: Workload,
    encoder: Encoder,
    names: Names,
    connection: u32,
    target: Arc<Target>,
    /// A request with events, empty.
    template: Request,
    live: Work,
    prepared: Vec<Work>,
    /// The prepared request that is current; at or beyond the end, the live one is.
    at: usize,
    next: usize,
}

impl Source {
    /// The requests of the connection with this number.
    pub fn new(plan: &Plan, target: &Arc<Target>, names: &Names, connection: u32) -> Self {
        let minimal = [("prefer", "return=minimal")];
        let headers = if plan.answers == Answers::Minimal { &minimal[..] } else { &[] };
        let template = Request::post(target.common(), "/v1/events", plan.format.content_type(plan.single), headers);
        Source {
            workload: Workload::new(plan.shape, connection),
            encoder: Encoder::new(plan.format, plan.single, names, connection),
            names: names.clone(),
            connection,
            target: Arc::clone(target),
            live: Work { step: Step::Events, events: Vec::new(), request: template.clone() },
            template,
            prepared: Vec::new(),
            at: 0,
            next: 0,
        }
    }

    /// About as many bytes as so many prepared events and requests take.
    pub fn bytes_about(&self, events: u64, requests: u64) -> u64 {
        self.encoder.bytes_about(events) + events * size_of::<Event>() as u64 + requests * OVERHEAD_BYTES
    }

    /// Draws the next request beforehand, with so many events if it is about events. Returns how many it carries.
    pub fn prepare(&mut self, count: usize) -> usize {
        self.draw(count);
        self.prepared.push(self.live.clone());
        self.live.events.len()
    }

    /// Moves on to the next request, with so many events if it is about events. Returns how many it carries.
    pub fn advance(&mut self, count: usize) -> usize {
        self.at = self.next;
        if self.at < self.prepared.len() {
            self.next += 1;
        } else {
            self.draw(count);
        }
        self.current().events.len()
    }

    /// The request that was last moved on to.
    pub fn current(&self) -> &Work {
        self.prepared.get(self.at).unwrap_or(&self.live)
    }

    fn draw(&mut self, count: usize) {
        let step = self.workload.step();
        let before = std::mem::replace(&mut self.live.step, step);
        match step {
            Step::Events => {
                if before != Step::Events {
                    self.live.request = self.template.clone();
                }
                let Work { events, request, .. } = &mut self.live;
                self.workload.fill(events, count);
                request.fill(|body| self.encoder.encode(events, body));
            }
            Step::Grant(grant) => {
                self.live.events.clear();
                self.live.request = self.grant(grant);
            }
            Step::Read { wallet } => {
                self.live.events.clear();
                let path = format!("/v1/wallets/{}/{CURRENCY}", self.names.customer(wallet));
                self.live.request = Request::get(self.target.common(), &path);
            }
        }
    }

    /// A small grant, to be spent before what the wallet was set up with: so the next events use it up and take from two grants at once.
    fn grant(&self, grant: Grant) -> Request {
        let key = self.names.grant(self.connection, grant.number);
        let headers = [("idempotency-key", key.as_str())];
        let mut request = Request::post(self.target.common(), "/v1/grants", "application/json", &headers);
        let customer = self.names.customer(grant.wallet);
        request.fill(|body| {
            let names = format!(r#"{{"customer":"{customer}","currency":"{CURRENCY}","source":"promotional""#);
            body.extend_from_slice(names.as_bytes());
            body.extend_from_slice(br#","category":"promotional","priority":0,"amount":""#);
            units::write(body, grant.units);
            body.extend_from_slice(br#""}"#);
        });
        request
    }
}
