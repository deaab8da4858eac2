//! Who works there: people named by their role, mail servers of several generations, nested distribution lists.

use std::collections::{BTreeMap, HashMap};

/// What a mail server is, and so the form of its journal reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Generation {
    /// Exchange Online.
    Online,
    /// Exchange 2010 to 2019: extended fields, the network message id from 2013 on.
    OnPremises,
    Exchange2007,
    /// Exchange 2003: the text names recipients, not how they were addressed.
    Exchange2003,
    WorkMail,
}

#[derive(Clone, Debug)]
pub struct Server {
    pub name: String,
    pub generation: Generation,
    /// As in `EnvelopeEvent.server_version`.
    pub version: &'static str,
    /// Journals what its own mailboxes receive, besides what they send.
    pub journals_received: bool,
}

#[derive(Clone, Debug)]
pub struct Person {
    pub name: String,
    pub address: String,
    /// Index into the servers.
    pub home: usize,
}

/// Someone or something that mail is addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Addressee {
    /// Index into the people.
    Person(usize),
    /// Index into the lists.
    List(usize),
    /// The number of a client outside.
    Client(usize),
}

#[derive(Clone, Debug)]
pub struct List {
    pub name: String,
    pub address: String,
    /// The server that expands it.
    pub server: usize,
    pub members: Vec<Addressee>,
}

#[derive(Clone, Debug)]
pub struct Directory {
    pub servers: Vec<Server>,
    pub people: Vec<Person>,
    pub lists: Vec<List>,
    /// Whose mailbox lies on which server, by address.
    pub homes: HashMap<String, usize>,
}

/// The servers, by index.
pub const ONLINE: usize = 0;
pub const LONDON_2019: usize = 1;
pub const PARIS_2010: usize = 2;
pub const ZURICH_2007: usize = 3;
pub const GENEVA_2007: usize = 4;
pub const MILAN_2003: usize = 5;
pub const WORKMAIL: usize = 6;

const SERVERS: [(&str, Generation, &str, bool); 7] = [
    ("am0pr01mb0042.prod.outlook.example", Generation::Online, "15.20.8466.13", false),
    ("mx19-london.contoso.example", Generation::OnPremises, "15.2.1544.4", false),
    ("mx10-paris.contoso.example", Generation::OnPremises, "14.3.513.0", false),
    ("mx07-zurich.contoso.example", Generation::Exchange2007, "8.3.485.1", true),
    ("mx07-geneva.contoso.example", Generation::Exchange2007, "8.3.485.1", true),
    ("mx03-milan.contoso.example", Generation::Exchange2003, "6.5.7638.1", true),
    ("workmail.contoso.example", Generation::WorkMail, "", false),
];

/// Role, how many, home servers in turn.
const ROLES: [(&str, &str, usize, &[usize]); 12] = [
    ("ceo", "Chief Executive", 1, &[ONLINE]),
    ("cfo", "Chief Financial Officer", 1, &[ONLINE]),
    ("board", "Board Member", 5, &[ONLINE, LONDON_2019]),
    ("trader", "Trader", 24, &[LONDON_2019, ZURICH_2007, LONDON_2019, PARIS_2010]),
    ("analyst", "Analyst", 12, &[ONLINE, GENEVA_2007, ONLINE]),
    ("counsel", "Counsel", 6, &[ONLINE, PARIS_2010]),
    ("compliance", "Compliance Officer", 5, &[ONLINE]),
    ("accounts", "Accounts Clerk", 10, &[PARIS_2010, MILAN_2003, PARIS_2010]),
    ("sales", "Sales Manager", 18, &[ONLINE, LONDON_2019, ONLINE, PARIS_2010]),
    ("operations", "Operations", 12, &[ZURICH_2007, LONDON_2019, ONLINE]),
    ("helpdesk", "Help Desk", 6, &[GENEVA_2007, ONLINE]),
    ("branch", "Branch Office", 4, &[WORKMAIL]),
];

/// The first of operations: who runs the scheduled jobs. Index into the people.
pub const OPERATOR: usize = 82;

/// Name, roles whose people are members, lists that are members, expanding server. Inner lists stand first.
const LISTS: [(&str, &[&str], &[&str], usize); 11] = [
    ("trading", &["trader"], &[], ZURICH_2007),
    ("research", &["analyst"], &[], GENEVA_2007),
    ("legal", &["counsel", "compliance"], &[], ONLINE),
    ("finance", &["cfo", "accounts"], &[], PARIS_2010),
    ("sales-team", &["sales"], &[], ONLINE),
    ("back-office", &["operations", "helpdesk"], &[], LONDON_2019),
    ("branches", &["branch"], &[], LONDON_2019),
    ("board-all", &["ceo", "board"], &[], ONLINE),
    ("floor", &[], &["trading", "research"], LONDON_2019),
    ("support", &[], &["back-office", "branches", "finance"], PARIS_2010),
    ("all-staff", &["ceo"], &["floor", "support", "legal", "sales-team"], ONLINE),
];

/// The lists, by index.
pub const TRADING: usize = 0;
pub const RESEARCH: usize = 1;
pub const FLOOR: usize = 8;
pub const ALL_STAFF: usize = 10;

impl Directory {
    pub fn new() -> Directory {
        let servers = SERVERS.map(|(name, generation, version, journals_received)| Server {
            name: name.to_owned(),
            generation,
            version,
            journals_received,
        });
        let mut people: Vec<Person> = Vec::new();
        let mut by_role: BTreeMap<&str, Vec<Addressee>> = BTreeMap::new();
        for (role, title, count, homes) in ROLES {
            for number in 1..=count {
                by_role.entry(role).or_default().push(Addressee::Person(people.len()));
                people.push(person(role, title, number, count, homes[(number - 1) % homes.len()]));
            }
        }
        let homes = people.iter().map(|person| (person.address.clone(), person.home)).collect();
        Directory { servers: servers.into(), people, lists: lists(&by_role), homes }
    }

    pub fn address(&self, addressee: Addressee) -> String {
        match addressee {
            Addressee::Person(index) => self.people[index].address.clone(),
            Addressee::List(index) => self.lists[index].address.clone(),
            Addressee::Client(number) => format!("client.{number:04}@fabrikam.example"),
        }
    }

    /// As a header prints it: `Trader 07 <trader.07@contoso.example>`.
    pub fn mailbox(&self, addressee: Addressee) -> String {
        match addressee {
            Addressee::Person(index) => format!("{} <{}>", self.people[index].name, self.people[index].address),
            Addressee::List(index) => format!("{} <{}>", self.lists[index].name, self.lists[index].address),
            Addressee::Client(number) => format!("Client {number:04} <client.{number:04}@fabrikam.example>"),
        }
    }

    /// The server that someone's mail is submitted at: outsiders' mail comes in at Exchange Online.
    pub fn home(&self, addressee: Addressee) -> usize {
        match addressee {
            Addressee::Person(index) => self.people[index].home,
            Addressee::List(index) => self.lists[index].server,
            Addressee::Client(_) => ONLINE,
        }
    }
}

impl Default for Directory {
    fn default() -> Directory {
        Directory::new()
    }
}

fn person(role: &str, title: &str, number: usize, count: usize, home: usize) -> Person {
    if count == 1 {
        return Person { name: title.to_owned(), address: format!("{role}@contoso.example"), home };
    }
    Person { name: format!("{title} {number:02}"), address: format!("{role}.{number:02}@contoso.example"), home }
}

fn lists(by_role: &BTreeMap<&str, Vec<Addressee>>) -> Vec<List> {
    let index_of = |name: &str| LISTS.iter().position(|list| list.0 == name).expect("a list names lists of the table");
    LISTS
        .iter()
        .map(|(name, roles, inner, server)| List {
            name: format!("List {name}"),
            address: format!("{name}@contoso.example"),
            server: *server,
            members: roles
                .iter()
                .flat_map(|role| by_role[role].iter().copied())
                .chain(inner.iter().map(|name| Addressee::List(index_of(name))))
                .collect(),
        })
        .collect()
}
