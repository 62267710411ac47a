use super::book::SETTLED_KEPT;
use super::*;
use crate::journal::webhook::EndpointRecord;

fn endpoint(id: &str, change: EndpointChange) -> WebhookRecord {
    WebhookRecord::Endpoint(Box::new(EndpointRecord {
        id: id.to_owned(),
        url: "https://example.com".to_owned(),
        events: vec!["*".to_owned()],
        customer: None,
        currency: None,
        description: String::new(),
        metadata: crate::catalog::Metadata::new(),
        disabled: None,
        deleted: change == EndpointChange::Deleted,
        secrets: Vec::new(),
        destroyed: Vec::new(),
        change,
        from: Place::start(100),
        created_at: Timestamp::EPOCH,
        enabled_at: Timestamp::EPOCH,
        updated_at: Timestamp::EPOCH,
    }))
}

fn delivery(lsn: u64, state: DeliveryState, at_ms: u64) -> WebhookRecord {
    let at = Timestamp::from_millis(at_ms);
    WebhookRecord::Delivery(Box::new(DeliveryRecord {
        endpoint: "we_1".to_owned(),
        at: Place { lsn, index: 0, frame: lsn - 8 },
        event: format!("evt_{lsn}-0"),
        kind: "debit.applied".to_owned(),
        lane: LaneKey::default(),
        state,
        manual: false,
        failed: 1,
        attempts: Vec::new(),
        created_at: at,
        updated_at: at,
    }))
}

fn lane(customer: &str, at: Option<u64>) -> WebhookRecord {
    let lane = LaneKey { customer: customer.to_owned(), currency: "credits".to_owned() };
    WebhookRecord::Lane(LaneRecord { endpoint: "we_1".to_owned(), lane, at: at.map(Place::start) })
}

fn cursor(lsn: u64) -> WebhookRecord {
    WebhookRecord::Cursor(CursorRecord { endpoint: "we_1".to_owned(), at: Place::start(lsn), failing_since_ms: None })
}

fn book(records: impl IntoIterator<Item = WebhookRecord>) -> Book {
    let mut book = Book::default();
    records.into_iter().for_each(|record| book.enter(record));
    book
}

#[test]
fn patterns_want_names_and_prefixes() {
    let wants = |pattern: &str, kind| super::wants(&[pattern.to_owned()], kind);
    assert!(wants("*", "hold.created") && wants("hold.*", "hold.created") && wants("hold.created", "hold.created"));
    assert!(
        !wants("hold.*", "holder.created") && !wants("hold", "hold.created") && !wants("hold.created", "hold.createds")
    );
}

/// A snapshot's book goes on as the engine's does: cut anywhere, written out and read back, it comes to the same.
#[test]
fn a_book_that_is_written_out_in_the_middle_comes_to_the_same() {
    let mut story =
        vec![endpoint("we_1", EndpointChange::Created), cursor(120), lane("a", Some(110)), lane("b", Some(115))];
    let retrying = |lsn| delivery(lsn, DeliveryState::Retrying(Timestamp::from_millis(9)), 1);
    story.extend((0..SETTLED_KEPT as u64 + 40).map(|number| retrying(1_000 + number)));
    // Settled in another order than told.
    story.extend((0..SETTLED_KEPT as u64 + 40).rev().map(|number| {
        let state = if number % 3 == 0 { DeliveryState::Failed } else { DeliveryState::Delivered };
        delivery(1_000 + number, state, 50_000 - number)
    }));
    story.extend([lane("a", None), cursor(900), endpoint("we_1", EndpointChange::Updated), retrying(1_001)]);
    story.extend([endpoint("we_2", EndpointChange::Created), endpoint("we_2", EndpointChange::Deleted)]);
    let whole = book(story.clone()).records();
    for cut in (0..story.len()).step_by(7) {
        let mut half = book(story[..cut].to_vec());
        half = book(half.records());
        story[cut..].iter().for_each(|record| half.enter(record.clone()));
        assert_eq!(half.records(), whole, "cut at {cut}");
    }
    let book = book(story);
    let entry = book.get("we_1").expect("there");
    assert_eq!(entry.needed(), Place::start(115), "the lane that is behind");
    let settled = entry.deliveries.values().filter(|one| !matches!(one.state, DeliveryState::Retrying(_))).count();
    assert!((SETTLED_KEPT - 1..=SETTLED_KEPT).contains(&settled), "{settled}");
    assert!(book.get("we_2").is_none() && book.knows("we_2"));
}

#[test]
fn what_is_said_of_an_endpoint_that_is_gone_is_about_nothing() {
    let gone = book([endpoint("we_1", EndpointChange::Created), endpoint("we_1", EndpointChange::Deleted)]);
    let mut later = gone.clone();
    for record in [cursor(500), lane("a", Some(400)), delivery(400, DeliveryState::Failed, 1)] {
        later.enter(record);
    }
    assert_eq!(later.records(), gone.records());
}

/// An attempt may end behind its endpoint's deletion. What was shown of it stayed in memory for good.
#[test]
fn nothing_is_kept_of_what_arrives_at_an_endpoint_that_is_deleted() {
    let mut config = crate::engine::EngineConfig::default();
    config.log.segment_bytes = 1 << 20;
    config.log.max_frame_bytes = 1 << 17;
    config.log.max_unsynced_bytes = 1 << 20;
    let clock = Arc::new(crate::engine::ManualClock::new(Timestamp::from_millis(1)));
    let medium = Arc::new(drawdown_wal::Heap::new());
    let (engine, _) = crate::engine::Engine::open_on(medium, config, clock).expect("an empty log");
    let spec =
        EndpointSpec { url: "https://example.com".to_owned(), events: vec!["*".to_owned()], ..EndpointSpec::default() };
    drop(engine.create_webhook_endpoint("we_1", spec, &[7; 32]).expect("an endpoint"));
    let arrives = || {
        let WebhookRecord::Delivery(arrived) = delivery(100, DeliveryState::Delivered, 1) else { unreachable!() };
        engine.show_arrived(*arrived);
        engine.inner.webhooks.arrived().get("we_1").map(VecDeque::len)
    };
    assert_eq!(arrives(), Some(1));
    drop(engine.delete_webhook_endpoint("we_1").expect("it is there"));
    assert_eq!(arrives(), None);
}
