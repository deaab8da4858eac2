use mailjournal::sample::*;
fn main() {
    let o = Organisation::with(Options::showcase(std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(1)));
    let mut n = 0;
    for m in o.messages() {
        println!(
            "{} {:?} {:?} rcpts {} groups {:?} missing {:?}",
            m.index,
            m.oddity,
            m.truth.message_id,
            m.truth.recipients.len(),
            m.truth.groups,
            m.truth.missing
        );
        for a in &m.arrivals {
            n += 1;
            match &a.what {
                What::Mail(x) => println!(
                    "    +{} mail {} {:?} {:?}",
                    a.at.0 - o.written_at(m.index).0,
                    x.bytes.len(),
                    x.server,
                    x.journal_recipients
                ),
                What::Event(e) => println!(
                    "    +{} event {:?} {} rcpts {}",
                    a.at.0 - o.written_at(m.index).0,
                    e.stage,
                    e.server,
                    e.recipients.len()
                ),
            }
        }
    }
    println!("{n}");
    let o = Organisation::with(Options { messages: 20000, ..Options::new(1) });
    let t = std::time::Instant::now();
    let (mut b, mut c, mut e) = (0, 0, 0);
    for a in o.arrivals() {
        let k = a.mail_bytes();
        b += k;
        c += 1;
        if k == 0 {
            e += 1
        }
    }
    println!(
        "{b} bytes {c} arrivals {e} events in {:?}: {:.0} MB/s",
        t.elapsed(),
        b as f64 / 1e6 / t.elapsed().as_secs_f64()
    );
}
