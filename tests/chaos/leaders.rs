//! Leader moves, as an operator's tools ask for them. The Kafka client has no call for them, so the two requests are
//! written by hand, as Kafka's protocol guide has them.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

/// One partition and the order that its replicas are to have: the first leads.
pub struct Order {
    pub topic: String,
    pub partition: i32,
    pub replicas: Vec<i32>,
}

const ALTER_PARTITION_REASSIGNMENTS: (i16, i16) = (45, 0);
const ELECT_LEADERS: (i16, i16) = (43, 2);
const PREFERRED: u8 = 0;
const BROKER_TIMEOUT_MS: i32 = 10_000;
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// Has each partition led by the first of its replicas. `address` is any broker's.
pub fn lead(address: &str, orders: &[Order]) -> Result<(), String> {
    let mut body = BROKER_TIMEOUT_MS.to_be_bytes().to_vec();
    array(&mut body, orders, |body, order| {
        text(body, &order.topic);
        array(body, &[order], |body, order| {
            body.extend(order.partition.to_be_bytes());
            array(body, &order.replicas, |body, id| body.extend(id.to_be_bytes()));
            no_tags(body);
        });
        no_tags(body);
    });
    no_tags(&mut body);
    ask(address, ALTER_PARTITION_REASSIGNMENTS, &body)?;

    let mut body = vec![PREFERRED];
    array(&mut body, orders, |body, order| {
        text(body, &order.topic);
        array(body, &[order.partition], |body, partition| body.extend(partition.to_be_bytes()));
        no_tags(body);
    });
    body.extend(BROKER_TIMEOUT_MS.to_be_bytes());
    no_tags(&mut body);
    ask(address, ELECT_LEADERS, &body)
}

/// Sends a request whose answer begins with the throttle time and an error code.
fn ask(address: &str, (api, version): (i16, i16), body: &[u8]) -> Result<(), String> {
    let mut request = Vec::new();
    request.extend(api.to_be_bytes());
    request.extend(version.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(5_i16.to_be_bytes());
    request.extend(b"chaos");
    no_tags(&mut request);
    request.extend(body);
    let exchange = || -> std::io::Result<Vec<u8>> {
        let mut broker = TcpStream::connect(address)?;
        broker.set_read_timeout(Some(ANSWER_WITHIN))?;
        broker.write_all(&i32::try_from(request.len()).expect("small").to_be_bytes())?;
        broker.write_all(&request)?;
        let mut size = [0; 4];
        broker.read_exact(&mut size)?;
        let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap_or(0)];
        broker.read_exact(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(|error| format!("request {api} to {address}: {error}"))?;
    // Correlation id (4), tags (1), throttle time (4), error code (2).
    match answer.get(9..11) {
        Some([0, 0]) => Ok(()),
        code => Err(format!("request {api} to {address} was answered with error {code:?}")),
    }
}

/// A compact array: its length plus one, then its items.
fn array<T>(body: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    length(body, items.len() + 1);
    for item in items {
        write(body, item);
    }
}

fn text(body: &mut Vec<u8>, text: &str) {
    length(body, text.len() + 1);
    body.extend(text.as_bytes());
}

/// Seven bits a byte, the lowest first.
fn length(body: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        body.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    body.push(length as u8);
}

fn no_tags(body: &mut Vec<u8>) {
    body.push(0);
}
