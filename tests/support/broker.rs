//! A single-node Apache Kafka for as long as a value lives.

use std::{
    collections::hash_map::RandomState,
    fs,
    hash::BuildHasher,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    kafka,
    keeper::{self, Keeper},
    proxy::Proxy,
};

/// Kafka needs 3 s alone, and many times that where a build takes every core.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// What Kafka needs for little data: a small heap, and the compiler that starts fastest.
const SMALL: &[&str] = &["-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
/// What Kafka needs to be fast for minutes.
const FAST: &[&str] = &["-Xms1g", "-Xmx1g", "-XX:+UseG1GC"];

/// A running Kafka. Dropped, it is gone with its data; so it is when this process ends in whatever way.
pub struct Broker {
    /// `127.0.0.1:PORT`, the same after a restart.
    pub address: String,
    port: u16,
    cluster_id: String,
    keeper: Keeper,
}

/// The broker that all tests of one binary share. Tests that stop a broker start their own.
pub fn shared() -> &'static Broker {
    static SHARED: OnceLock<Broker> = OnceLock::new();
    SHARED.get_or_init(Broker::start)
}

impl Broker {
    /// Starts an empty Kafka on free ports of 127.0.0.1 and waits until it answers.
    pub fn start() -> Broker {
        Broker::start_with(SMALL, None)
    }

    /// As [`Broker::start`], tuned for minutes of load.
    pub fn start_for_load() -> Broker {
        Broker::start_with(FAST, None)
    }

    /// As [`Broker::start_for_load`], behind a proxy that all clients come by.
    pub fn start_behind_proxy() -> (Broker, Proxy) {
        let (listener, advertised) = Proxy::listen();
        let mut broker = Broker::start_with(FAST, Some(advertised));
        let port = broker.port;
        broker.address = format!("127.0.0.1:{advertised}");
        (broker, Proxy::start(listener, port))
    }

    fn start_with(jvm: &[&str], advertised: Option<u16>) -> Broker {
        let libs = libs();
        let mut failure = String::new();
        // Between the choice of a port and its use another process may take it: then try others.
        for _ in 0..5 {
            let mut broker = Broker::prepare(&libs, jvm, advertised);
            match broker.launch() {
                Ok(()) => return broker,
                Err(reason) => failure = reason,
            }
        }
        panic!("{failure}");
    }

    /// A formatted folder and a keeper; Kafka itself does not run yet.
    fn prepare(libs: &Path, jvm: &[&str], advertised: Option<u16>) -> Broker {
        let [port, controller_port] = free_ports();
        let settings = |folder: &Path| server_properties(folder, port, controller_port, advertised.unwrap_or(port));
        Broker::prepare_with(libs, jvm, &new_cluster_id(), port, settings)
    }

    /// As one of a cluster: its settings follow from its folder.
    pub(super) fn prepare_with(
        libs: &Path,
        jvm: &[&str],
        cluster_id: &str,
        port: u16,
        settings: impl FnOnce(&Path) -> String,
    ) -> Broker {
        let folder = Keeper::folder();
        let properties = folder.join("server.properties");
        fs::write(&properties, settings(&folder)).expect("Kafka's settings");
        let class_path = format!("{}/*", libs.display());
        let mut java = Command::new("java");
        java.arg("-Xshare:auto")
            .args(jvm)
            .args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", &class_path, "kafka.Kafka"])
            .arg(&properties);
        let keeper = Keeper::of(folder, &java);
        format_storage(&class_path, &properties, cluster_id);
        Broker { address: format!("127.0.0.1:{port}"), port, cluster_id: cluster_id.to_owned(), keeper }
    }

    /// Starts Kafka and waits until it is this one that answers.
    fn launch(&mut self) -> Result<(), String> {
        self.begin();
        self.await_ready()
    }

    /// Starts Kafka; those of one cluster wait for each other.
    pub(super) fn begin(&mut self) {
        self.keeper.start();
    }

    pub(super) fn await_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if !self.keeper.is_running() {
                return Err(format!("Kafka ended while it started. The end of its log:\n{}", self.log_tail()));
            }
            if kafka::cluster_id(&self.address).as_ref() == Some(&self.cluster_id) {
                return Ok(());
            }
        }
        Err(format!("Kafka was not ready after {READY_WITHIN:?}. The end of its log:\n{}", self.log_tail()))
    }

    /// Stops Kafka as an operator does (SIGTERM). Its data stays.
    pub fn stop(&mut self) {
        self.keeper.stop();
    }

    /// Ends Kafka at once (SIGKILL). Its data stays as it lies.
    pub fn kill(&mut self) {
        self.keeper.kill();
    }

    /// Lets Kafka hang (SIGSTOP): connections stay open and nothing answers.
    pub fn pause(&mut self) {
        self.keeper.pause();
    }

    /// Ends a [`Broker::pause`].
    pub fn resume(&mut self) {
        self.keeper.resume();
    }

    /// Starts a stopped or killed Kafka again, with its data and on its ports, and waits until it answers.
    pub fn restart(&mut self) {
        if let Err(reason) = self.launch() {
            panic!("{reason}");
        }
    }

    /// Kafka's process, while it runs.
    pub fn pid(&mut self) -> Option<u32> {
        self.keeper.pid()
    }

    pub fn log(&self) -> String {
        self.keeper.log()
    }

    fn log_tail(&self) -> String {
        keeper::tail(&self.log(), 40)
    }
}

fn support(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support").join(name)
}

/// The folder with Kafka's jars, fetched if this checkout has none yet.
pub(super) fn libs() -> PathBuf {
    let output =
        Command::new(support("kafka-libs")).stderr(Stdio::inherit()).output().expect("tests/support/kafka-libs");
    assert!(output.status.success(), "tests/support/kafka-libs failed; tests/run installs what it needs");
    PathBuf::from(String::from_utf8(output.stdout).expect("a path in UTF-8").trim_end())
}

fn format_storage(class_path: &str, properties: &Path, cluster_id: &str) {
    let output = Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", class_path, "kafka.tools.StorageTool"])
        // In one word with its name: an id may begin with a hyphen.
        .args(["format", &format!("--cluster-id={cluster_id}"), "--config"])
        .arg(properties)
        .output()
        .expect("java; tests/run installs it");
    assert!(output.status.success(), "Kafka's folder: {}", String::from_utf8_lossy(&output.stderr));
}

pub(super) fn new_cluster_id() -> String {
    URL_SAFE_NO_PAD.encode(random_bytes())
}

/// Ports that nobody listens on. They lie below the range that the system gives to outgoing connections, so that no
/// such connection can take them while a broker is down.
pub(super) fn free_ports<const N: usize>() -> [u16; N] {
    let free = || loop {
        let [high, low, ..] = random_bytes();
        if let Ok(held) = TcpListener::bind(("127.0.0.1", 20_000 + u16::from_be_bytes([high, low]) % 12_000)) {
            return held;
        }
    };
    // All are held until all are found, so that they differ.
    let held = [(); N].map(|()| free());
    held.map(|held| held.local_addr().expect("a bound address").port())
}

/// 16 bytes that differ from process to process and from call to call.
fn random_bytes() -> [u8; 16] {
    let half = || RandomState::new().hash_one(Instant::now()).to_be_bytes();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&half());
    bytes[8..].copy_from_slice(&half());
    bytes
}

/// The short session is what a killed broker waits for before its successor may register: 9 s by default.
fn server_properties(folder: &Path, port: u16, controller_port: u16, advertised: u16) -> String {
    format!(
        "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={}/data
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=400
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
message.max.bytes=52428800
log.cleaner.dedupe.buffer.size=16777216
",
        folder.display()
    )
}
