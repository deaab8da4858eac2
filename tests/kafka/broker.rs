//! The broker that the other tests stand on does what they take for granted.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    producer::{BaseRecord, Producer as _, ThreadedProducer},
};

use crate::support::{
    broker::{self, Broker},
    kafka::{self, Given},
};

const BOUND: Duration = Duration::from_secs(30);

#[test]
fn what_is_given_is_taken_back() {
    let address = &broker::shared().address;
    kafka::create_topic(address, "given-taken", 2, &[]);
    let given = Given {
        partition: Some(1),
        key: Some(b"<a@example.com>".to_vec()),
        value: vec![0; 20_000_000],
        headers: vec![("server".to_owned(), b"mbx1.example.com".to_vec())],
        at: Some(1_700_000_000_000),
    };
    let place = kafka::produce(address, "given-taken", std::slice::from_ref(&given));
    assert_eq!(place, [(1, 0)]);

    let taken = kafka::read_all(address, "given-taken");
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].partition, taken[0].offset, taken[0].at), (1, 0, given.at));
    assert_eq!((&taken[0].key, taken[0].value.as_ref()), (&given.key, Some(&given.value)));
    assert_eq!(taken[0].header("server").as_deref(), Some("mbx1.example.com"));
    assert_eq!(kafka::end_offsets(address, "given-taken"), [0, 1]);
    assert_eq!(kafka::committed(address, "nobody", "given-taken"), [None, None]);
    assert!(!kafka::caught_up(address, "nobody", "given-taken"));
}

#[test]
fn an_open_or_aborted_transaction_is_not_read() {
    let address = &broker::shared().address;
    kafka::create_topic(address, "transactions", 1, &[]);
    let producer: ThreadedProducer<_> = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("transactional.id", "transactions")
        .create_with_context(rdkafka::producer::DefaultProducerContext)
        .unwrap();
    let write = |value: &str| {
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::<(), str>::to("transactions").payload(value)).unwrap();
        producer.flush(BOUND).unwrap();
    };
    producer.init_transactions(BOUND).unwrap();
    write("committed");
    producer.commit_transaction(BOUND).unwrap();
    write("aborted");
    producer.abort_transaction(BOUND).unwrap();
    write("open");

    let taken = kafka::read_all(address, "transactions");
    assert_eq!(taken.iter().map(|taken| taken.value.as_deref()).collect::<Vec<_>>(), [Some(&b"committed"[..])]);
    producer.abort_transaction(BOUND).unwrap();
}

#[test]
fn a_broker_comes_back_with_its_data() {
    let mut broker = Broker::start();
    kafka::create_topic(&broker.address, "kept", 1, &[("cleanup.policy", "compact")]);
    kafka::produce(&broker.address, "kept", &[Given { key: Some(b"1".to_vec()), ..Given::default() }]);
    broker.stop();
    assert_eq!(kafka::cluster_id(&broker.address), None);
    broker.restart();
    kafka::produce(&broker.address, "kept", &[Given { key: Some(b"2".to_vec()), ..Given::default() }]);
    broker.kill();
    broker.restart();
    assert_eq!(kafka::end_offsets(&broker.address, "kept"), [2]);
    broker.pause();
    assert_eq!(kafka::cluster_id(&broker.address), None);
    broker.resume();
    assert_eq!(kafka::read_all(&broker.address, "kept").len(), 2);
}
