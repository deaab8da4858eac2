//! What is broken, how, for how long, and how it is mended.

use std::time::Duration;

use mailjournal::sample::random::Random;

use crate::{
    disk, leaders,
    leaders::Order,
    support::{cluster::BROKERS, proxy::Weather},
    world::{GUEST, RESIDENTS, World},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    KilledAndRestarted,
    KilledAndMoved,
    KilledAndTakenOver,
    Paused,
    Terminated,
    JoinedAndLeft,
    BrokerKilled,
    BrokerStopped,
    BrokerPaused,
    LeadersMoved,
    ConnectionsCut,
    NetworkSlow,
    BuffersHalved,
    BrokersDeaf,
    ClientsDeaf,
    NetworkHole,
    BrokersRefuse,
    QueuesFull,
    DiskFull,
}

/// Two faults at once are of different classes, so that each can be mended without the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Instance,
    Broker,
    Network,
    Alone,
}

const ALL: [Kind; 19] = [
    Kind::KilledAndRestarted,
    Kind::KilledAndMoved,
    Kind::KilledAndTakenOver,
    Kind::Paused,
    Kind::Terminated,
    Kind::JoinedAndLeft,
    Kind::BrokerKilled,
    Kind::BrokerStopped,
    Kind::BrokerPaused,
    Kind::LeadersMoved,
    Kind::ConnectionsCut,
    Kind::NetworkSlow,
    Kind::BuffersHalved,
    Kind::BrokersDeaf,
    Kind::ClientsDeaf,
    Kind::NetworkHole,
    Kind::BrokersRefuse,
    Kind::QueuesFull,
    Kind::DiskFull,
];

/// Of 1,000 faults: how many come with a second one.
const PAIRED_PER_MILLE: usize = 350;

/// Arrivals given at once where queues are to fill: more than `c` may hold, many times.
const BURST: usize = 300;

/// Partitions whose leaders move at once.
const LEADERS_MOVED: usize = 12;

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::KilledAndRestarted => "instance: kill -9, restarted in place",
            Kind::KilledAndMoved => "instance: kill -9, started on another machine",
            Kind::KilledAndTakenOver => "instance: kill -9, taken over by the others",
            Kind::Paused => "instance: SIGSTOP beyond its session, SIGCONT",
            Kind::Terminated => "instance: SIGTERM, restarted",
            Kind::JoinedAndLeft => "instance: a fourth joins and leaves",
            Kind::BrokerKilled => "broker: kill -9, restarted",
            Kind::BrokerStopped => "broker: SIGTERM, restarted",
            Kind::BrokerPaused => "broker: SIGSTOP, SIGCONT",
            Kind::LeadersMoved => "broker: leaders moved",
            Kind::ConnectionsCut => "network: connections cut",
            Kind::NetworkSlow => "network: every buffer delayed",
            Kind::BuffersHalved => "network: buffers halved, then cut",
            Kind::BrokersDeaf => "network: requests lost",
            Kind::ClientsDeaf => "network: answers lost",
            Kind::NetworkHole => "network: all lost",
            Kind::BrokersRefuse => "network: connections refused",
            Kind::QueuesFull => "client queues full, slow network",
            Kind::DiskFull => "files shell: disk full",
        }
    }

    fn class(self) -> Class {
        match self {
            Kind::KilledAndRestarted | Kind::Paused | Kind::Terminated | Kind::JoinedAndLeft => Class::Instance,
            Kind::BrokerKilled | Kind::BrokerStopped | Kind::BrokerPaused | Kind::LeadersMoved => Class::Broker,
            Kind::ConnectionsCut
            | Kind::NetworkSlow
            | Kind::BuffersHalved
            | Kind::BrokersDeaf
            | Kind::ClientsDeaf
            | Kind::NetworkHole
            | Kind::BrokersRefuse => Class::Network,
            // What take-over costs is a figure of its own; the others need quiet around them.
            Kind::KilledAndMoved | Kind::KilledAndTakenOver | Kind::QueuesFull | Kind::DiskFull => Class::Alone,
        }
    }

    /// How long it lasts, milliseconds; what is not mended, but passes, lasts no time.
    fn lasts(self) -> (i64, i64) {
        match self {
            Kind::KilledAndRestarted
            | Kind::KilledAndMoved
            | Kind::LeadersMoved
            | Kind::ConnectionsCut
            | Kind::DiskFull => (0, 1),
            // Until the others have taken over, in any case.
            Kind::KilledAndTakenOver => (0, 1),
            // The session is 6 s.
            Kind::Paused => (7_000, 10_000),
            Kind::Terminated => (0, 2_000),
            Kind::JoinedAndLeft => (2_000, 8_000),
            Kind::BrokerKilled | Kind::BrokerStopped => (500, 6_000),
            Kind::BrokerPaused => (1_000, 8_000),
            Kind::NetworkSlow | Kind::BuffersHalved | Kind::QueuesFull => (2_000, 6_000),
            Kind::BrokersDeaf | Kind::ClientsDeaf | Kind::NetworkHole | Kind::BrokersRefuse => (1_000, 9_000),
        }
    }
}

/// One fault as drawn. All of it follows from the seed.
#[derive(Clone, Debug)]
pub struct Fault {
    pub kind: Kind,
    instance: usize,
    /// One, or all.
    broker: Option<usize>,
    pub lasts: Duration,
    random: Random,
}

/// Faults without end: every kind once, in random order, then again in another.
pub struct Faults {
    random: Random,
    deck: Vec<Kind>,
}

impl Faults {
    pub fn of(seed: u64) -> Faults {
        Faults { random: Random::new(seed, 1), deck: Vec::new() }
    }

    /// One, or two at once.
    pub fn draw(&mut self) -> Vec<Fault> {
        let first = self.next_kind();
        let mut kinds = vec![first];
        if first.class() != Class::Alone && self.random.chance(PAIRED_PER_MILLE) {
            let suits = |kind: &Kind| kind.class() != Class::Alone && kind.class() != first.class();
            let others: Vec<Kind> = ALL.into_iter().filter(suits).collect();
            kinds.push(*self.random.pick(&others));
        }
        kinds.into_iter().map(|kind| self.fault(kind)).collect()
    }

    fn next_kind(&mut self) -> Kind {
        if self.deck.is_empty() {
            self.deck = ALL.to_vec();
        }
        let place = self.random.below(self.deck.len());
        self.deck.swap_remove(place)
    }

    fn fault(&mut self, kind: Kind) -> Fault {
        let (low, high) = kind.lasts();
        let random = &mut self.random;
        let millis = random.millis(low, high).unsigned_abs();
        Fault {
            kind,
            instance: random.below(RESIDENTS),
            broker: Some(random.below(BROKERS + 1)).filter(|broker| *broker < BROKERS),
            lasts: Duration::from_millis(millis),
            random: Random::new(random.number(), 0),
        }
    }
}

impl Fault {
    pub fn describe(&self) -> String {
        let name = self.kind.name();
        let lasts =
            if self.lasts.is_zero() { String::new() } else { format!(", for {:.1} s", self.lasts.as_secs_f64()) };
        let on = match (self.kind.class(), self.broker) {
            (Class::Network, None) => "all brokers".to_owned(),
            (Class::Network, Some(broker)) => format!("broker {}", broker + 1),
            (Class::Broker, _) if self.kind != Kind::LeadersMoved => format!("broker {}", self.one_broker() + 1),
            (Class::Instance, _) if self.kind != Kind::JoinedAndLeft => ["a", "b", "c"][self.instance].to_owned(),
            _ if matches!(self.kind, Kind::KilledAndMoved | Kind::KilledAndTakenOver) => {
                ["a", "b", "c"][self.instance].to_owned()
            }
            _ => return format!("{name}{lasts}"),
        };
        format!("{name} ({on}){lasts}")
    }

    fn one_broker(&self) -> usize {
        self.broker.unwrap_or(0)
    }

    pub fn begin(&mut self, world: &mut World) -> Result<(), String> {
        let broker = self.one_broker();
        match self.kind {
            Kind::KilledAndRestarted => {
                world.kill_instance(self.instance);
                world.start_instance(self.instance);
            }
            Kind::KilledAndMoved => {
                world.kill_instance(self.instance);
                world.move_instance(self.instance);
                world.start_instance(self.instance);
            }
            Kind::KilledAndTakenOver => world.kill_instance(self.instance),
            Kind::Paused => world.pause_instance(self.instance),
            Kind::Terminated => world.terminate_instance(self.instance),
            Kind::JoinedAndLeft => world.start_instance(GUEST),
            Kind::BrokerKilled => world.cluster.brokers[broker].kill(),
            Kind::BrokerStopped => world.cluster.brokers[broker].stop(),
            Kind::BrokerPaused => world.cluster.brokers[broker].pause(),
            Kind::LeadersMoved => return self.move_leaders(world),
            Kind::ConnectionsCut => world.cut(self.broker),
            Kind::NetworkSlow => {
                let delay = Duration::from_millis(self.random.millis(20, 400).unsigned_abs());
                world.weather(self.broker, Weather::Slow(delay));
            }
            Kind::BuffersHalved => world.weather(self.broker, Weather::Halving),
            Kind::BrokersDeaf => world.weather(self.broker, Weather::DeafToClients),
            Kind::ClientsDeaf => world.weather(self.broker, Weather::DeafToBroker),
            Kind::NetworkHole => world.weather(self.broker, Weather::Hole),
            Kind::BrokersRefuse => world.weather(self.broker, Weather::Closed),
            Kind::QueuesFull => {
                world.weather(None, Weather::Slow(Duration::from_millis(100)));
                world.load.burst(BURST);
            }
            Kind::DiskFull => return disk::fill(&mut self.random),
        }
        Ok(())
    }

    pub fn end(&mut self, world: &mut World) {
        let broker = self.one_broker();
        match self.kind {
            Kind::KilledAndTakenOver | Kind::Terminated => world.start_instance(self.instance),
            Kind::Paused => world.resume_instance(self.instance),
            Kind::JoinedAndLeft if self.random.chance(500) => world.terminate_instance(GUEST),
            Kind::JoinedAndLeft => world.kill_instance(GUEST),
            Kind::BrokerKilled | Kind::BrokerStopped => world.cluster.brokers[broker].restart(),
            Kind::BrokerPaused => world.cluster.brokers[broker].resume(),
            Kind::NetworkSlow
            | Kind::BuffersHalved
            | Kind::BrokersDeaf
            | Kind::ClientsDeaf
            | Kind::NetworkHole
            | Kind::BrokersRefuse => world.weather(self.broker, Weather::Fair),
            Kind::QueuesFull => world.weather(None, Weather::Fair),
            Kind::KilledAndRestarted
            | Kind::KilledAndMoved
            | Kind::LeadersMoved
            | Kind::ConnectionsCut
            | Kind::DiskFull => {}
        }
    }

    /// Whether a broker was away, so that the others have to wait until its copies are in sync.
    pub fn is_of_a_broker(&self) -> bool {
        self.kind.class() == Class::Broker
    }

    /// Has some partitions led by another of their replicas: ours, and those where Kafka keeps positions and transactions.
    fn move_leaders(&mut self, world: &World) -> Result<(), String> {
        let mut replicas = world.replicas();
        let mut orders: Vec<Order> = Vec::new();
        while orders.len() < LEADERS_MOVED && !replicas.is_empty() {
            let place = self.random.below(replicas.len());
            let one = replicas.swap_remove(place);
            let mut nodes = one.nodes;
            nodes.rotate_left(1);
            orders.push(Order { topic: one.topic, partition: one.partition, replicas: nodes });
        }
        let address = &world.cluster.brokers[self.one_broker()].address;
        leaders::lead(address, &orders)?;
        world.wait_led(&orders)
    }
}
