//! Three brokers that hold three copies of everything, two of which suffice.

use std::path::Path;

use super::broker::{self, Broker};

pub const BROKERS: usize = 3;

/// Three times this must fit beside what is tested.
const JVM: &[&str] = &["-Xms256m", "-Xmx448m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// A running Apache Kafka of three. Each is broker and controller; node ids are 1, 2 and 3.
pub struct Cluster {
    pub brokers: Vec<Broker>,
    /// The port of each at which it takes clients and tells them to come back to what it advertises.
    pub client_ports: [u16; BROKERS],
    /// `kafka.brokers` for who is not to come by what is advertised.
    pub inside: String,
}

impl Cluster {
    /// Starts three that advertise these ports of 127.0.0.1 to clients, and their own to each other.
    pub fn start(advertised: [u16; BROKERS]) -> Cluster {
        let libs = broker::libs();
        let cluster_id = broker::new_cluster_id();
        let ports: [u16; 3 * BROKERS] = broker::free_ports();
        let [inside, client_ports, controllers] =
            [0, 1, 2].map(|part| <[u16; BROKERS]>::try_from(&ports[BROKERS * part..][..BROKERS]).expect("a third"));
        let mut brokers: Vec<Broker> = (0..BROKERS)
            .map(|index| {
                let node = Node { index, inside: inside[index], clients: client_ports[index] };
                let settings = |folder: &Path| node.properties(folder, advertised[index], controllers);
                Broker::prepare_with(&libs, JVM, &cluster_id, inside[index], settings)
            })
            .collect();
        brokers.iter_mut().for_each(Broker::begin);
        for broker in &mut brokers {
            broker.await_ready().unwrap_or_else(|reason| panic!("{reason}"));
        }
        Cluster { brokers, client_ports, inside: inside.map(|port| format!("127.0.0.1:{port}")).join(",") }
    }
}

struct Node {
    index: usize,
    inside: u16,
    clients: u16,
}

impl Node {
    /// The times are Kafka's own but for the session of a broker, so that its death is noticed in 3 s instead of 9 and
    /// its successor may register as soon, and for the return of leaders to where they belong, which is otherwise looked
    /// at every 5 min.
    fn properties(&self, folder: &Path, advertised: u16, controllers: [u16; BROKERS]) -> String {
        let Node { index, inside, clients } = self;
        let voters: Vec<String> =
            controllers.iter().zip(1..).map(|(port, id)| format!("{id}@127.0.0.1:{port}")).collect();
        format!(
            "\
process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=INSIDE://127.0.0.1:{inside},CLIENTS://127.0.0.1:{clients},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=INSIDE://127.0.0.1:{inside},CLIENTS://127.0.0.1:{advertised}
inter.broker.listener.name=INSIDE
listener.security.protocol.map=INSIDE:PLAINTEXT,CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/data
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
leader.imbalance.check.interval.seconds=30
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=3
message.max.bytes=52428800
log.cleaner.dedupe.buffer.size=16777216
",
            id = index + 1,
            voters = voters.join(","),
            controller = controllers[*index],
            folder = folder.display(),
        )
    }
}
