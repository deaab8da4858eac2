//! All that runs: brokers, what lies between, three mailjournals, what they are given, and who reads what comes out.

use std::{
    fs,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    follower::{Follower, Place},
    leaders::Order,
    load::Load,
    support::{
        cluster::{BROKERS, Cluster},
        kafka::{self, Replicas},
        keeper::{self, Keeper},
        proxy::{Proxy, Weather},
        stream::Stream,
    },
};

pub const PARTITIONS: i32 = 6;

/// Those that always run, and the one that comes and goes.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
pub const RESIDENTS: usize = 3;
pub const GUEST: usize = 3;

/// `c` may hold so few messages in its client that every larger turn meets a full queue.
const SMALL_QUEUE: (usize, &str, &str) = (2, "MAILJOURNAL_KAFKA_CLIENT_QUEUE_BUFFERING_MAX_MESSAGES", "10");

/// From SIGTERM to the end of a process: what mailjournal promises, and a busy machine's delay.
const STOP_WITHIN: Duration = Duration::from_secs(7);

/// Copies are in sync again well before that, even where a broker has to read all of its log.
const WHOLE_WITHIN: Duration = Duration::from_secs(120);

pub struct World {
    // Ends before what it stands on.
    pub load: Load,
    pub follower: Follower,
    instances: Vec<Instance>,
    pub proxies: Vec<Proxy>,
    pub stream: Stream,
    pub cluster: Cluster,
    /// What went wrong although nothing had been asked for it.
    wrong: Vec<String>,
}

struct Instance {
    name: &'static str,
    keeper: Keeper,
    /// Its TMPDIR, where it notes that it runs on this machine.
    temporary: PathBuf,
    wanted: bool,
}

impl World {
    /// Returns once all three instances have taken part.
    pub fn start(seed: u64) -> World {
        let listeners: [_; BROKERS] = std::array::from_fn(|_| Proxy::listen());
        let cluster = Cluster::start([0, 1, 2].map(|index| listeners[index].1));
        let proxies: Vec<Proxy> = listeners
            .into_iter()
            .zip(cluster.client_ports)
            .map(|((listener, _), target)| Proxy::start(listener, target))
            .collect();
        let stream = Stream::new(&cluster.inside, "chaos", PARTITIONS);
        let outside: Vec<String> = proxies.iter().map(|proxy| format!("127.0.0.1:{}", proxy.port)).collect();
        let outside = outside.join(",");
        let instances = NAMES.iter().enumerate().map(|(index, name)| {
            let mut command = stream.command(name);
            command.arg("run").env("MAILJOURNAL_KAFKA_BROKERS", &outside);
            // What the client says of its connections is what a failure is understood by.
            command.env("RUST_LOG", "info,mailjournal=debug,librdkafka=debug");
            if index == SMALL_QUEUE.0 {
                command.env(SMALL_QUEUE.1, SMALL_QUEUE.2);
            }
            let folder = Keeper::folder();
            let temporary = folder.join("tmp");
            fs::create_dir(&temporary).expect("a folder");
            command.env("TMPDIR", &temporary);
            Instance { name, keeper: Keeper::of(folder, &command), temporary, wanted: false }
        });
        let instances = instances.collect();
        let follower = Follower::start(&cluster.inside, &stream.topic("").replace("journal.", ""));
        let load = Load::start(&stream, seed, PARTITIONS);
        let mut world = World { load, follower, instances, proxies, stream, cluster, wrong: Vec::new() };
        (0..RESIDENTS).for_each(|index| world.start_instance(index));
        world
    }

    pub fn start_instance(&mut self, index: usize) {
        self.instances[index].keeper.start();
        self.instances[index].wanted = true;
    }

    pub fn kill_instance(&mut self, index: usize) {
        self.instances[index].wanted = false;
        self.instances[index].keeper.kill();
    }

    /// As if it were to start on another machine, where nothing tells that its last process is gone.
    pub fn move_instance(&mut self, index: usize) {
        for entry in fs::read_dir(&self.instances[index].temporary).into_iter().flatten().flatten() {
            let _ = fs::remove_file(entry.path());
        }
    }

    pub fn pause_instance(&mut self, index: usize) {
        self.instances[index].keeper.pause();
    }

    pub fn resume_instance(&mut self, index: usize) {
        self.instances[index].keeper.resume();
    }

    /// SIGTERM, which it has to obey in time and with exit code 0 whatever else is broken.
    pub fn terminate_instance(&mut self, index: usize) {
        self.instances[index].wanted = false;
        let asked = Instant::now();
        let code = self.instances[index].keeper.stop();
        let took = asked.elapsed();
        if code != Some(0) || took > STOP_WITHIN {
            let name = self.instances[index].name;
            self.wrong.push(format!("{name} ended {took:?} after SIGTERM with exit code {code:?}"));
        }
    }

    pub fn weather(&self, broker: Option<usize>, weather: Weather) {
        for (index, proxy) in self.proxies.iter().enumerate() {
            if broker.is_none_or(|broker| broker == index) {
                proxy.set(weather);
            }
        }
    }

    pub fn cut(&self, broker: Option<usize>) {
        for (index, proxy) in self.proxies.iter().enumerate() {
            if broker.is_none_or(|broker| broker == index) {
                proxy.cut();
            }
        }
    }

    /// When the last of these became visible, once all are.
    pub fn visible(&self, places: &[Place]) -> Option<Instant> {
        let seen = self.follower.seen();
        places.iter().map(|place| Some(seen.rows.get(place)?.1)).collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// What went wrong so far, if anything did.
    pub fn check(&mut self) -> Result<(), String> {
        if self.load.has_failed() {
            self.wrong.push("the load ended: its message is above".into());
        }
        for instance in &mut self.instances {
            if instance.wanted && !instance.keeper.is_running() {
                instance.wanted = false;
                self.wrong.push(format!("{} ended by itself", instance.name));
            }
        }
        let wrong: Vec<String> = self.wrong.iter().chain(&self.follower.seen().wrong).take(20).cloned().collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    /// All partitions of all topics.
    pub fn replicas(&self) -> Vec<Replicas> {
        kafka::replicas(&self.cluster.inside).unwrap_or_default()
    }

    /// Waits until one of the orders is obeyed: those whose replica is behind may be refused.
    pub fn wait_led(&self, orders: &[Order]) -> Result<(), String> {
        let deadline = Instant::now() + WHOLE_WITHIN;
        let is_led = |one: &Replicas| {
            let of = |order: &&Order| (&order.topic, order.partition) == (&one.topic, one.partition);
            orders.iter().find(of).is_some_and(|order| order.replicas.first() == Some(&one.leader))
        };
        while !self.replicas().iter().any(is_led) {
            if Instant::now() > deadline {
                return Err(format!("no leader of {} partitions had moved after {WHOLE_WITHIN:?}", orders.len()));
            }
            sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Waits until every copy is in sync, so that the next broker may fail.
    pub fn wait_whole(&self) -> Result<(), String> {
        let deadline = Instant::now() + WHOLE_WITHIN;
        loop {
            let replicas = self.replicas();
            if !replicas.is_empty() && replicas.iter().all(|one| one.in_sync == one.nodes.len()) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let behind = replicas.iter().filter(|one| one.in_sync < one.nodes.len()).count();
                return Err(format!("{behind} partitions' copies were not in sync after {WHOLE_WITHIN:?}"));
            }
            sleep(Duration::from_millis(100));
        }
    }

    /// Each instance's and each broker's log.
    fn logs(&self) -> Vec<(String, String)> {
        let instances = self.instances.iter().map(|one| (format!("mailjournal {}", one.name), one.keeper.log()));
        let brokers = self.cluster.brokers.iter().zip(1..).map(|(one, id)| (format!("broker {id}"), one.log()));
        instances.chain(brokers).collect()
    }

    /// Puts the logs into a folder and returns their ends.
    pub fn keep_logs(&self, folder: &Path) -> String {
        let _ = fs::create_dir_all(folder);
        let mut ends = String::new();
        for (name, log) in self.logs() {
            let _ = fs::write(folder.join(format!("{}.log", name.replace(' ', "-"))), &log);
            ends += &format!("\n== the end of the log of {name}\n{}\n", keeper::tail(&log, 40));
        }
        ends
    }

    /// SIGTERM for all that run; each has to end well.
    pub fn end(&mut self) -> Result<(), String> {
        for index in 0..self.instances.len() {
            if self.instances[index].wanted {
                self.terminate_instance(index);
            }
        }
        self.check()
    }
}
