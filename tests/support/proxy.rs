//! What lies between mailjournal and a broker: a TCP proxy that can be told to be a bad network.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// What is done to all traffic of a proxy from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fair,
    /// Each buffer comes so much later.
    Slow(Duration),
    /// All connections together take so many bytes a second towards the broker.
    Narrow(u32),
    /// Of some buffers the first half is passed on, then the connection is cut.
    Halving,
    /// What clients say does not come through; what the broker says does.
    DeafToClients,
    /// What the broker says does not come through; what clients say does.
    DeafToBroker,
    /// Connections stay open and nothing comes through.
    Hole,
    /// Connections are refused.
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToBroker,
    ToClient,
}

/// How many buffers a connection passes on between two that are halved: a request and its answer get through often
/// enough that work goes on.
const WHOLE_BETWEEN_HALVES: u64 = 7;

/// How often those who wait look whether the weather has changed.
const LOOK: Duration = Duration::from_millis(10);

pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    weather: Mutex<Weather>,
    /// Every connection that may be open.
    open: Mutex<Vec<Arc<Connection>>>,
    buffers: AtomicU64,
    /// When a narrow way has passed on all that it was given.
    free_at: Mutex<Instant>,
}

struct Connection {
    client: TcpStream,
    broker: TcpStream,
    cut: AtomicBool,
}

impl Connection {
    fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.broker.shutdown(Shutdown::Both);
    }
}

impl Proxy {
    /// Listens on a port of its own; `target` says where to later, since a broker has to know this port before it starts.
    pub fn listen() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        (listener, port)
    }

    pub fn start(listener: TcpListener, target: u16) -> Proxy {
        let port = listener.local_addr().expect("a bound address").port();
        let shared = Arc::new(Shared {
            weather: Mutex::new(Weather::Fair),
            open: Mutex::new(Vec::new()),
            buffers: AtomicU64::new(0),
            free_at: Mutex::new(Instant::now()),
        });
        let serving = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A broker that is down refuses; so does its proxy.
                if serving.weather() != Weather::Closed {
                    let _ = serving.connect(client, target);
                }
            }
        });
        Proxy { port, shared }
    }

    pub fn set(&self, weather: Weather) {
        *self.shared.weather.lock().expect("no panic") = weather;
        if weather == Weather::Closed {
            self.cut();
        }
    }

    /// Cuts every connection, once.
    pub fn cut(&self) {
        for connection in self.shared.open.lock().expect("no panic").drain(..) {
            connection.cut();
        }
    }
}

impl Shared {
    fn weather(&self) -> Weather {
        *self.weather.lock().expect("no panic")
    }

    fn connect(self: &Arc<Shared>, client: TcpStream, target: u16) -> io::Result<()> {
        let broker = TcpStream::connect(("127.0.0.1", target))?;
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        let connection = Arc::new(Connection { client, broker, cut: AtomicBool::new(false) });
        let mut open = self.open.lock().expect("no panic");
        open.retain(|connection| !connection.cut.load(Ordering::Relaxed));
        open.push(connection.clone());
        drop(open);
        for direction in [Direction::ToBroker, Direction::ToClient] {
            let (shared, connection) = (self.clone(), connection.clone());
            thread::spawn(move || {
                // However one direction ends, so does the other.
                let _ = shared.pump(direction, &connection);
                connection.cut();
            });
        }
        Ok(())
    }

    fn pump(&self, direction: Direction, connection: &Connection) -> io::Result<()> {
        let (mut from, mut to) = match direction {
            Direction::ToBroker => (&connection.client, &connection.broker),
            Direction::ToClient => (&connection.broker, &connection.client),
        };
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = from.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            match self.weather() {
                Weather::Slow(delay) => thread::sleep(delay),
                Weather::Narrow(rate) if direction == Direction::ToBroker => thread::sleep(self.pass(read, rate)),
                _ => {}
            }
            while self.holds(direction) && !connection.cut.load(Ordering::Relaxed) {
                thread::sleep(LOOK);
            }
            let number = self.buffers.fetch_add(1, Ordering::Relaxed);
            if self.weather() == Weather::Halving && number.is_multiple_of(WHOLE_BETWEEN_HALVES + 1) {
                return to.write_all(&buffer[..read / 2]);
            }
            to.write_all(&buffer[..read])?;
        }
    }

    /// How long it takes until a narrow way has passed on so many bytes more.
    fn pass(&self, bytes: usize, rate: u32) -> Duration {
        let now = Instant::now();
        let mut free_at = self.free_at.lock().expect("no panic");
        *free_at = (*free_at).max(now) + Duration::from_secs_f64(bytes as f64 / f64::from(rate));
        *free_at - now
    }

    fn holds(&self, direction: Direction) -> bool {
        match self.weather() {
            Weather::Hole => true,
            Weather::DeafToClients => direction == Direction::ToBroker,
            Weather::DeafToBroker => direction == Direction::ToClient,
            _ => false,
        }
    }
}
